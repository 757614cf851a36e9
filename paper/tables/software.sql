/*
title: Software
caption: >-
  Versions that the runs were made with.
order: 61
key: [library, version]
group: [library]
columns:
  library: {head: Library}
  version: {head: Version, written: code}
  runs: {head: Runs, written: count}
*/
SELECT j.key AS library, j.value ->> '$' AS version, count(*) AS runs
FROM run, json_each(software) AS j
GROUP BY ALL
ORDER BY library, version
