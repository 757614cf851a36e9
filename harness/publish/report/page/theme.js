"use strict";
// The colour scheme: the reader's system's, until another is chosen here, which stays.
const scheme = {
  kept() { try { return localStorage.getItem("rlvr-harness-scheme"); } catch { return null; } },
  keep(name) { try { localStorage.setItem("rlvr-harness-scheme", name); } catch { /* a page from a file may keep nothing */ } },
  system: matchMedia("(prefers-color-scheme: dark)"),
  dark() { return (document.documentElement.dataset.scheme || (scheme.system.matches ? "dark" : "light")) === "dark"; },
};
if (["light", "dark"].includes(scheme.kept())) document.documentElement.dataset.scheme = scheme.kept();

function schemeButton() {
  const button = element("button", { type: "button" }, "Dark colours");
  const show = () => button.setAttribute("aria-pressed", String(scheme.dark()));
  button.addEventListener("click", () => {
    document.documentElement.dataset.scheme = scheme.dark() ? "light" : "dark";
    scheme.keep(document.documentElement.dataset.scheme);
    show();
  });
  scheme.system.addEventListener("change", show);
  show();
  return button;
}

// Return an element with attributes and children; texts become text nodes, never markup.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
