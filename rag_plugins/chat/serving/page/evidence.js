// What an answer is made of: each page with what was found on it, the text that was read, and how it was found.

import { make } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";

function page(source) {
  const image = make("img", { src: source.image, alt: `${source.name}, the page as it is`, loading: "lazy" });
  const overlay = document.createElementNS(SVG, "svg");
  overlay.setAttribute("viewBox", "0 0 1 1");
  overlay.setAttribute("preserveAspectRatio", "none");
  overlay.setAttribute("aria-hidden", "true");
  for (const box of source.boxes) overlay.append(rectangle(box));
  return make("div", { className: "page" }, image, overlay);
}

function rectangle([left, top, right, bottom]) {
  const shape = document.createElementNS(SVG, "rect");
  const sides = { x: left - 0.004, y: top - 0.003, width: right - left + 0.008, height: bottom - top + 0.006 };
  for (const [name, value] of Object.entries(sides)) shape.setAttribute(name, value);
  return shape;
}

function read(source) {
  const text = make("div", { className: "read", tabIndex: 0 });
  for (const [piece, doubt] of source.text) {
    text.append(doubt ? make("mark", { textContent: piece, title: "hard to recognise, may be misread" }) : document.createTextNode(piece));
  }
  return text;
}

function trace(hit) {
  const rows = hit.trace.map((stage) => {
    const name = make("th", { scope: "row", textContent: stage.name });
    name.append(make("span", { className: "kind", textContent: stage.kind }));
    if (stage.why) name.append(make("span", { className: "why", textContent: stage.why }));
    const bar = make("span", { className: "share" });
    for (const [leg, share] of stage.shares) {
      const part = make("span", { className: `leg-${((leg - 1) % 4) + 1}` });
      part.style.width = `${100 * share}%`;
      bar.append(part);
    }
    return make(
      "tr",
      {},
      name,
      make("td", { className: "num", textContent: stage.rank ? `#${stage.rank}` : "–" }),
      make("td", { className: "num", textContent: stage.score ?? "" }),
      make("td", {}, stage.shares.length ? bar : "", stage.remark ? make("span", { className: "kind", textContent: stage.remark }) : ""),
    );
  });
  const head = make("tr", {}, ...["stage", "rank", "score", "what it gave"].map((text) => make("th", { scope: "col", textContent: text })));
  return make("div", { className: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}

function card(source) {
  const number = make("span", { className: "number", textContent: source.number });
  const node = make("article", { className: "source" }, make("h3", {}, number, source.name), make("p", { className: "origin", textContent: source.origin }));
  node.id = `source-${source.number}`;
  node.tabIndex = -1;
  if (source.image) node.append(page(source));
  node.append(make("p", { className: "caption", textContent: "The text that was read:" }), read(source));
  for (const hit of source.hits) {
    node.append(make("details", {}, make("summary", { textContent: `How it was found (score ${hit.score})` }), trace(hit)));
  }
  return node;
}

let shown = [];

export function evidence(panel, sources, notices) {
  shown = sources;
  panel.replaceChildren(...notices.map((text) => make("p", { className: "note", textContent: text })), ...sources.map(card));
  if (!sources.length) panel.append(make("p", { className: "soft", textContent: "Nothing was found." }));
}

// The lines of a page that a quote stands on; where it is no quote, those that share most of their words with it.
function linesOf(source, quote) {
  const bare = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");
  const asked = bare(quote);
  let page = "";
  const spans = source.lines.map(({ text, box }) => {
    const start = page.length;
    page += bare(text);
    return { start, end: page.length, box };
  });
  const at = asked ? page.indexOf(asked) : -1;
  if (at < 0) return alike(source, quote);
  return spans.filter(({ start, end }) => start < at + asked.length && end > at).map(({ box }) => box);
}

function alike(source, quote) {
  const words = (text) => new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []);
  const wanted = words(quote);
  const scored = source.lines.map(({ text, box }) => {
    const own = words(text);
    const shared = [...own].filter((word) => wanted.has(word)).length;
    return { box, share: own.size ? shared / own.size : 0, shared };
  });
  return scored.filter(({ share, shared }) => share >= 0.5 && shared >= Math.min(2, wanted.size)).map(({ box }) => box);
}

export function point(number, quote) {
  document.querySelectorAll(".source.chosen").forEach((node) => node.classList.remove("chosen"));
  const node = document.getElementById(`source-${number}`);
  const source = shown.find((each) => each.number === number);
  if (!node || !source) return;
  node.classList.add("chosen");
  node.querySelectorAll("rect.cited").forEach((shape) => shape.remove());
  const overlay = node.querySelector("svg");
  const boxes = overlay ? linesOf(source, quote) : [];
  for (const box of boxes) {
    const shape = rectangle(box);
    shape.classList.add("cited");
    overlay.append(shape);
  }
  const target = overlay?.querySelector("rect.cited") ?? overlay?.querySelector("rect") ?? node;
  target.scrollIntoView({ block: "center", behavior: "smooth" });
  node.focus({ preventScroll: true });
}
