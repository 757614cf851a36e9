// What is shown: the report or one run, by the fragment of the address, so that back works and a run can be linked to.
const reading = { scroll: 0, left: null, before: "", title: "" };

function route() {
  const opened = location.hash.match(/^#run\/(.+)$/);
  if (opened) openRun(plain(opened[1]));
  else openReport();
}

function plain(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

function openRun(id) {
  const [report, run] = ["report", "run"].map((name) => document.getElementById(name));
  const back = element("a", { href: reading.before || "#overview" }, "Back to the report");
  back.addEventListener("click", (event) => {
    if (!reading.left) return;
    event.preventDefault();
    event.stopPropagation();
    returning();
  });
  run.replaceChildren(element("p", {}, back), ...runView(id));
  report.hidden = true;
  run.hidden = false;
  document.title = `${id}, ${reading.title}`;
  scrollTo({ top: 0, behavior: "instant" });
  document.getElementById("run-title").focus({ preventScroll: true });
}

// To where the reader left the report, whatever runs were opened since.
function returning() {
  const at = reading.before;
  if (at) location.hash = at;
  else {
    history.pushState(null, "", location.pathname + location.search);
    route();
  }
}

function openReport() {
  const [report, run] = ["report", "run"].map((name) => document.getElementById(name));
  const came = report.hidden;
  report.hidden = false;
  run.hidden = true;
  document.title = reading.title;
  const target = location.hash.length > 1 ? document.getElementById(plain(location.hash.slice(1))) : null;
  if (came && reading.left && location.hash === reading.before) {
    scrollTo({ top: reading.scroll, behavior: "instant" });
    reading.left.focus({ preventScroll: true });
  } else if (target) {
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    target.scrollIntoView();
    target.focus({ preventScroll: true });
  }
  reading.before = location.hash;
}

// All that is folded, unfolded: for paper, and for who would rather scroll.
function unfolding() {
  const button = element("button", { type: "button" }, "Unfold all");
  let folded = true;
  button.addEventListener("click", () => {
    for (const details of document.querySelectorAll("main details:not(.query)")) details.open = folded;
    folded = !folded;
    button.textContent = folded ? "Unfold all" : "Fold all";
  });
  return button;
}

function printing() {
  const before = new Map();
  const open = () => {
    for (const details of document.querySelectorAll("details")) {
      if (!before.has(details)) before.set(details, details.open);
      details.open = true;
    }
  };
  const restore = () => {
    for (const [details, was] of before) details.open = was;
    before.clear();
  };
  addEventListener("beforeprint", open);
  addEventListener("afterprint", restore);
  matchMedia("print").addEventListener("change", (event) => (event.matches ? open() : restore()));
}

document.addEventListener("DOMContentLoaded", () => {
  reading.title = document.title;
  if (document.querySelector("main details")) document.getElementById("controls").append(unfolding());
  document.getElementById("controls").append(schemeButton());
  const narrow = matchMedia("(max-width: 67.99rem)").matches;
  if (narrow) document.querySelector("nav details")?.removeAttribute("open");
  for (const box of document.querySelectorAll(".table")) {
    sortable(box.querySelector("table"));
    filterable(box);
    queryable(box);
  }
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    if (!link) return;
    const [opens, within] = [link.hash.startsWith("#run/"), !document.getElementById("report").hidden];
    if (opens && within) [reading.left, reading.scroll] = [link, scrollY];
    if (!opens) reading.left = null; // the reader asked for another place
  });
  printing();
  addEventListener("hashchange", route);
  if (location.hash.startsWith("#run/")) route();
  else reading.before = location.hash;
});
