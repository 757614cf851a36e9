// A run, opened: where it counts, its curves and spectra, and what it was set to that others were not.
const NAMES = { reward: "Reward", loss: "Loss", grad_norm: "Gradient norm", entropy: "Entropy", completion_length: "Completion length" };
const UNITS = { reward: "mean over completions", loss: "as the trainer logs it", grad_norm: "before clipping", entropy: "nats a token", completion_length: "tokens" };
const FACT_NAMES = { algorithm: "Algorithm", method: "Method", updates: "Updates", first_update_norm: "Norm of the first update", final_update_norm: "Norm of the final update", trainable_parameters: "Trained parameters" };
let known = null;

function runs() {
  known ??= JSON.parse(document.getElementById("runs").textContent);
  return known;
}

// Return the numbers of a series; null where there is none.
function numbers(text) {
  return text === "" ? [] : text.split(" ").map((each) => (each === "" ? null : Number(each)));
}

function byStep(text, steps) {
  return steps.length ? text.split(";").map(numbers) : [];
}

function quoted(text) {
  return `'${text.replaceAll("'", "''")}'`;
}

function colour(i, n) {
  return `color-mix(in oklab, var(--first), var(--last) ${n > 1 ? Math.round((100 * i) / (n - 1)) : 100}%)`;
}

// Return the view of a run, or what is said where the report has none of this name.
function runView(id) {
  const all = runs();
  const place = all.id.indexOf(id);
  const head = element("h1", { tabindex: "-1", id: "run-title" }, id);
  if (place < 0) return [head, element("p", {}, "This report has no run of this name. "), element("p", {}, element("a", { href: "#overview" }, "All verdicts"))];
  const counts = all.verdicts.flatMap((verdict) => verdict.runs.filter((run) => run[0] === id).map((run) => ({ verdict, run })));
  return [
    element("p", { class: "over" }, "Run"),
    head,
    facts(all, place, counts),
    countsTable(counts),
    ...section("Curves", curves(all, place, id), "No curve was recorded."),
    ...section("Spectra of the update", spectra(all, place, id), "No spectrum was kept."),
    ...settings(all, place),
    ...siblings(all, id, counts),
  ];
}

function facts(all, place, counts) {
  const list = element("dl");
  const add = (name, text) => list.append(element("dt", {}, name), element("dd", {}, text));
  const { run } = counts[0];
  const labels = [...new Set(counts.map((each) => each.run[3]))];
  const start = all.starts[place];
  add("Label", labels.join(" or "));
  add("Accuracy", `${run[4].toFixed(3)} on the held-out problems${start === null ? "" : `; it starts from ${start.toFixed(3)}`}`);
  add("Cell", run[1]);
  add("Seed", `number ${run[2]}`);
  add("Base", run[5]);
  for (const [name, values] of Object.entries(all.facts)) if (values[place] !== null) add(FACT_NAMES[name] ?? name, typeof values[place] === "number" ? told(values[place]) : values[place]);
  return list;
}

function limit(value) {
  return element("td", {}, value === null ? "" : value.toFixed(3));
}

function countsTable(counts) {
  const body = element("tbody");
  for (const { verdict, run } of counts) {
    body.append(element("tr", {}, element("th", { scope: "row", class: "wraps" }, element("a", { href: `#${verdict.anchor}` }, verdict.title)), element("td", {}, verdict.whose), element("td", {}, verdict.outcome), element("td", {}, run[3]), limit(verdict.collapsed_below), limit(verdict.trained_above)));
  }
  const head = element("tr");
  for (const name of ["Counts for", "Verdict", "Outcome", "Label there", "Collapsed below", "Trained above"]) head.append(element("th", { scope: "col" }, name));
  const table = element("table", {}, element("caption", {}, element("span", {}, "Verdicts that rest on it")), element("thead", {}, head), body);
  return element("div", { class: "scroll", role: "group", tabindex: "0", "aria-label": "Verdicts that rest on it" }, table);
}

function section(title, charts, otherwise) {
  const body = charts.length ? element("div", { class: "charts" }) : element("p", { class: "note" }, otherwise);
  charts.forEach((said, i) => body.append(chartFigure(said, `chart-${title.length}-${i}`)));
  return [element("h2", {}, title), body];
}

function curves(all, place, id) {
  const updates = all.updates[all.at[place]];
  const thinned = all.of[place] > updates.length ? `${updates.length} of ${all.of[place]} updates, evenly chosen.` : "";
  return Object.entries(all.curves).filter(([, runs]) => runs[place]).map(([name, runs]) => {
    const logged = numbers(runs[place]);
    const points = updates.map((update, i) => [update, logged[i]]);
    const values = points.map(([, y]) => y).filter((y) => y !== null);
    return {
      title: NAMES[name],
      says: `${NAMES[name]} (${UNITS[name]}) over ${all.of[place]} updates: first ${told(values[0])}, last ${told(values.at(-1))}, least ${told(Math.min(...values))}, most ${told(Math.max(...values))}.`,
      x: "update",
      note: [`${UNITS[name][0].toUpperCase()}${UNITS[name].slice(1)}.`, thinned].filter(Boolean).join(" "),
      sql: `SELECT step, ${name} FROM step WHERE run_id = ${quoted(id)} ORDER BY step`,
      series: [{ name: NAMES[name].toLowerCase(), points, colour: "var(--last)" }],
    };
  });
}

function spectra(all, place, id) {
  const kept = all.kept[all.kept_at[place]];
  if (!kept.length) return [];
  const [values, rank] = [all.spectra, all.ranks].map((of) => Object.fromEntries(["update", "null"].map((target) => [target, byStep(of[target][place], kept)])));
  const series = (of, points) => ["null", "update"].flatMap((target) => kept.map((step, i) => ({
    name: `${target === "null" ? "random, " : ""}update ${step}`,
    key: target === "update" ? `update ${step}` : i === kept.length - 1 ? "random, of the same form and norm" : "",
    points: points(of[target][i] ?? []),
    colour: colour(i, kept.length),
    null: target === "null",
  }))).filter((each) => each.points.some(([, y]) => y !== null));
  const leading = series(values, (found) => found.map((value, i) => [i + 1, value]));
  const layers = all.layers[all.layers_at[place]];
  const ranks = series(rank, (found) => found.map((value, i) => [layers[i], value]));
  const last = (of, target) => of[target].at(-1) ?? [];
  const from = `FROM spectrum WHERE run_id = ${quoted(id)} AND target IN ('update', 'null')`;
  return [
    {
      title: "Leading singular values",
      says: `Singular values relative to the first, median over modules, after updates ${kept.join(", ")}, beside those of random updates of the same form and norm. At the last, number ${last(values, "update").length} is ${told(last(values, "update").at(-1))} of the first; of the random update ${told(last(values, "null").at(-1))}.`,
      x: "index", log: true, whole: true,
      note: "Relative to the first, median over modules. Logarithmic.",
      sql: `SELECT step, target, module, singular_values[1:16] AS leading ${from} ORDER BY step, target, module`,
      series: leading,
    },
    {
      title: "Effective rank by layer",
      says: `Effective rank of the update, median over the modules of each layer. After the last kept update: ${layers.map((layer, i) => `${layer < 0 ? "outside the layers" : `layer ${layer}`} ${told(last(rank, "update")[i])}, random ${told(last(rank, "null")[i])}`).join("; ")}.`,
      x: layers.includes(-1) ? "layer (\u22121: outside the layers)" : "layer", whole: true,
      note: "exp(entropy of \u03c3 / \u03a3\u03c3), median over the modules of a layer.",
      sql: `SELECT step, target, layer, median(effective_rank) AS effective_rank ${from} GROUP BY ALL ORDER BY ALL`,
      series: ranks,
    },
  ].filter((each) => each.series.length);
}

function settings(all, place) {
  const body = element("tbody");
  for (const { name, values, of } of all.settings) {
    const value = all.patterns[of][place];
    const text = value === null ? "not set" : values[value];
    body.append(element("tr", {}, element("th", { scope: "row", class: "code" }, name), element("td", { class: "code wraps" }, text)));
  }
  const said = `Settings in which the runs of this report differ; ${all.common} more are the same for all.`;
  if (!body.rows.length) return [element("h2", {}, "Settings"), element("p", { class: "note" }, said)];
  const head = element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Setting"), element("th", { scope: "col" }, "Value")));
  const table = element("table", { class: "settings" }, element("caption", {}, element("span", {}, said)), head, body);
  return [element("h2", {}, "Settings"), element("div", { class: "scroll", role: "group", tabindex: "0", "aria-label": "Settings" }, table)];
}

function siblings(all, id, counts) {
  const { verdict, run } = counts[0];
  const others = verdict.runs.filter((each) => each[1] === run[1] && each[5] === run[5] && each[0] !== id && all.id.includes(each[0]));
  if (!others.length) return [];
  const list = element("ul", { class: "siblings" });
  for (const other of others) list.append(element("li", {}, element("a", { href: `#run/${encodeURIComponent(other[0])}` }, `seed ${other[2]}`), `: ${other[3]}, accuracy ${other[4].toFixed(3)}`));
  return [element("h2", {}, "Runs of the same cell"), list];
}
