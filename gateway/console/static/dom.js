// Elements from values. Text is only ever set as text: nothing that a stranger wrote can become markup.

const $ = (selector) => document.querySelector(selector);

// Controls, bidi marks and invisible characters are shown as what they are.
const visible = (text) => String(text ?? "").replace(/[\p{C}\u2028\u2029]/gu, (c) => "\\u" + c.codePointAt(0).toString(16).padStart(4, "0"));

function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "style") Object.assign(element.style, value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  add(element, children);
  return element;
}

function add(element, children) {
  for (const child of children.flat(4)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    element.append(child instanceof Node ? child : document.createTextNode(visible(child)));
  }
}

// Put children in place of what was there; nothing is touched if it would look the same, so that focus and hover stay.
function fill(element, ...children) {
  const fresh = document.createElement(element.tagName);
  add(fresh, children);
  if (fresh.childNodes.length === element.childNodes.length && [...fresh.childNodes].every((n, i) => n.isEqualNode(element.childNodes[i]) && !n.matches?.("button,input,a") && !n.querySelector?.("button,input,a"))) return;
  element.replaceChildren(...fresh.childNodes);
}

const NS = "http://www.w3.org/2000/svg";

function svg(tag, properties, ...children) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(properties || {})) element.setAttribute(name, value);
  add(element, children);
  return element;
}

const icon = (name) => svg("svg", { class: "i", "aria-hidden": "true" }, svg("use", { href: "#" + name }));
const b = (...children) => h("b", {}, ...children);
const percent = (part) => Math.max(0, Math.min(100, part * 100)) + "%";
