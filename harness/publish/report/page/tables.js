// Tables: sorted by their heads, filtered by a word, and every cell with its query.
const FEW = 5; // rows up to which a table needs no filter
const order = new Intl.Collator("en", { numeric: true });

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = element("button", { type: "button" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => compared(a.cells[column], b.cells[column], down));
      table.tBodies[0].append(...rows);
    });
  });
}

// Numbers by their unrounded values, then texts; what is empty stands last either way.
function compared(a, b, down) {
  const sign = down ? -1 : 1;
  const [left, right] = [a, b].map((cell) => cell.textContent.trim());
  if (!left || !right) return Number(!left) - Number(!right);
  const numbers = [a, b].map((cell) => ("value" in cell.dataset ? number(cell.dataset.value) : null));
  if (numbers.every((value) => value !== null)) return sign * (numbers[0] - numbers[1] || 0);
  return sign * order.compare(left, right);
}

function number(text) {
  return text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text);
}

function filterable(box) {
  const table = box.querySelector("table");
  const rows = [...table.tBodies[0].rows];
  if (rows.length <= FEW) return;
  const told = element("span", { role: "status" });
  const input = element("input", { type: "search", autocomplete: "off" });
  const label = element("label", {}, "Filter", element("span", { class: "unseen" }, ` ${named(box)}`), input);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    told.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
  });
  box.prepend(element("div", { class: "filter" }, label, told));
}

function named(box) {
  return box.querySelector(".scroll").getAttribute("aria-label");
}

// The query of one cell: what its column reads, from the table's statement, where its row is.
function cellQuery(table, row, column) {
  const statement = table.closest(".table").querySelector(".query .sql").dataset.whole;
  return `SELECT ${table.tHead.rows[0].cells[column].dataset.read} FROM (${statement}) WHERE ${row.dataset.where}`;
}

function queryable(box) {
  const [table, details] = [box.querySelector("table"), box.querySelector(".query")];
  const shown = details.querySelector(".sql");
  shown.dataset.whole = shown.textContent;
  details.addEventListener("toggle", () => picking(table, details, shown), { once: true });
  table.addEventListener("click", (event) => {
    const cell = event.target.closest("tbody th, tbody td");
    if (!cell || !details.open || event.target.closest("a")) return;
    picking(table, details, shown);
    const [rows, columns] = details.querySelectorAll("select");
    rows.value = String([...rows.options].findIndex((option) => option.row === cell.parentNode) - 1);
    columns.value = String(cell.cellIndex);
    columns.dispatchEvent(new Event("change"));
  });
}

function picking(table, details, shown) {
  if (details.querySelector(".pick")) return;
  const rows = element("select");
  const whole = element("option", { value: "-1" }, "the whole table");
  rows.append(whole);
  [...table.tBodies[0].rows].forEach((row, i) => {
    const option = element("option", { value: i }, `${i + 1}: ${row.cells[0].textContent.trim()}`);
    option.row = row;
    rows.append(option);
  });
  const columns = element("select");
  [...table.tHead.rows[0].cells].forEach((head, i) => columns.append(element("option", { value: i }, head.textContent)));
  const show = () => {
    const row = rows.selectedOptions[0].row;
    columns.disabled = !row;
    shown.textContent = row ? cellQuery(table, row, Number(columns.value)) : shown.dataset.whole;
  };
  rows.addEventListener("change", show);
  columns.addEventListener("change", show);
  const copy = element("button", { type: "button" }, "Copy");
  copy.addEventListener("click", () => {
    getSelection().selectAllChildren(shown);
    document.execCommand("copy"); // the newer way is refused to pages that are opened from a file
    copy.textContent = "Copied";
  });
  const pick = element("p", { class: "pick" }, element("label", {}, "Row", rows), element("label", {}, "Column", columns), copy);
  shown.before(pick);
  show();
}
