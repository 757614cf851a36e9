// Line charts, drawn when a run opens. Numbers come rounded to three significant digits.
const SVG = "http://www.w3.org/2000/svg";
const FRAME = { width: 380, height: 220, left: 52, right: 12, top: 10, bottom: 40 };

function drawn(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function told(value) {
  if (value === null || value === undefined) return "";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en").replace("-", "\u2212");
  const text = value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6) ? value.toExponential() : String(value);
  return text.replaceAll("-", "\u2212");
}

// A scale from values to places; logarithmic where asked, its ends widened where they would be one. Below, a share of
// the range is left free, unless the least is zero.
function scale(values, from, to, log, free = 0) {
  const known = values.filter((value) => Number.isFinite(value) && (!log || value > 0));
  let [low, high] = [Math.min(...known), Math.max(...known)];
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  else if (!log && low !== 0 && free) low -= free * (high - low);
  const by = log ? Math.log10 : (value) => value;
  const place = (value) => from + ((by(value) - by(low)) / (by(high) - by(low))) * (to - from);
  return { place, ticks: log ? logTicks(low, high) : ticks(low, high) };
}

function ticks(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((by) => by * power).find((each) => each >= rough);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(Number((i * step).toPrecision(6)));
  return found;
}

function logTicks(low, high) {
  const wide = Math.log10(high / low) >= 2;
  const found = [];
  for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p++) {
    for (const by of wide ? [1] : [1, 2, 5]) {
      const value = Number((by * 10 ** p).toPrecision(3));
      if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
    }
  }
  return found.length > 1 ? found : [low, high].map((value) => Number(value.toPrecision(2)));
}

// A chart is {title, says, x, y, log, whole, series}; of each series {name, points, colour, null}.
function chart(said, id) {
  const points = said.series.flatMap((each) => each.points);
  const across = scale(points.map(([x]) => x), FRAME.left, FRAME.width - FRAME.right, said.logX);
  const up = scale(points.map(([, y]) => y), FRAME.height - FRAME.bottom, FRAME.top, said.log, 0.05);
  const svg = drawn("svg", { class: "chart", viewBox: `0 0 ${FRAME.width} ${FRAME.height}`, role: "img", "aria-labelledby": `${id}-title ${id}-desc` });
  svg.append(drawn("title", { id: `${id}-title` }, said.title), drawn("desc", { id: `${id}-desc` }, said.says));
  for (const value of up.ticks) {
    const y = up.place(value);
    svg.append(drawn("path", { class: "grid", d: `M${FRAME.left} ${y}H${FRAME.width - FRAME.right}` }));
    svg.append(drawn("text", { x: FRAME.left - 6, y: y + 4, "text-anchor": "end" }, told(value)));
  }
  for (const value of across.ticks.filter((each) => !said.whole || Number.isInteger(each))) {
    svg.append(drawn("text", { x: across.place(value), y: FRAME.height - FRAME.bottom + 16, "text-anchor": "middle" }, told(value)));
  }
  svg.append(drawn("path", { class: "axis", d: `M${FRAME.left} ${FRAME.height - FRAME.bottom}H${FRAME.width - FRAME.right}` }));
  svg.append(drawn("text", { x: (FRAME.left + FRAME.width) / 2, y: FRAME.height - 6, "text-anchor": "middle" }, said.x));
  for (const each of said.series) {
    const line = pathOf(each.points, across.place, up.place, said.log);
    svg.append(drawn("path", { class: each.null ? "series null" : "series", d: line, ...(each.null ? {} : { stroke: each.colour }) }));
  }
  return svg;
}

// A line that breaks where there is no value; a point alone becomes a dash.
function pathOf(points, across, up, log) {
  let path = "", begun = false;
  points.forEach(([x, y], i) => {
    const known = Number.isFinite(y) && (!log || y > 0);
    if (known) path += `${begun ? "L" : "M"}${across(x).toFixed(1)} ${up(y).toFixed(1)}`;
    if (known && !begun && !Number.isFinite(points[i + 1]?.[1])) path += "h2";
    begun = known;
  });
  return path;
}

// The figure of a chart with the key of its series and its numbers as a table.
function chartFigure(said, id) {
  const figure = element("figure", {}, element("h3", {}, said.title), chart(said, id));
  if (said.series.length > 1) {
    const keys = element("ul", { class: "keys" });
    for (const each of said.series.filter((one) => one.key)) {
      const sample = drawn("svg", { viewBox: "0 0 20 8", class: "chart", "aria-hidden": "true" });
      sample.append(drawn("path", { class: each.null ? "series null" : "series", d: "M0 4H20", ...(each.null ? {} : { stroke: each.colour }) }));
      keys.append(element("li", {}, sample, each.key));
    }
    figure.append(keys);
  }
  if (said.note) figure.append(element("p", { class: "note" }, said.note));
  const name = said.title.toLowerCase();
  const query = element("pre", { class: "sql", tabindex: "0", role: "group", "aria-label": `Query of ${name}` }, element("code", {}, said.sql));
  const details = element("details", { class: "query" }, element("summary", {}, `Numbers and query of ${name}`), query, numbersTable(said));
  figure.append(details);
  return figure;
}

function numbersTable(said) {
  const xs = [...new Set(said.series.flatMap((each) => each.points.map(([x]) => x)))].sort((a, b) => a - b);
  const head = element("tr", {}, element("th", { scope: "col", class: "number" }, said.x));
  for (const each of said.series) head.append(element("th", { scope: "col", class: "number" }, each.name));
  const body = element("tbody");
  const found = said.series.map((each) => new Map(each.points));
  for (const x of xs) {
    const row = element("tr", {}, element("th", { scope: "row", class: "number" }, told(x)));
    for (const values of found) row.append(element("td", { class: "number" }, told(values.get(x))));
    body.append(row);
  }
  const table = element("table", {}, element("caption", {}, element("span", {}, `${said.title}: what is drawn`)), element("thead", {}, head), body);
  return element("div", { class: "scroll", role: "group", tabindex: "0", "aria-label": `Numbers of ${said.title.toLowerCase()}` }, table);
}
