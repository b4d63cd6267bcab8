// An answer's text as nodes: paragraphs, lists, quotes, code, **bold**, and [1] as a button to its source.

import { make } from "./dom.js";

const INLINE = /\[(\d{1,2})\]|\*\*(.+?)\*\*|`([^`]+)`/g;

// Of what a document says only the number after it is ours: it may have any in it.
function inline(text, known, cite, quoted = false) {
  const nodes = [];
  let done = 0;
  for (const match of text.matchAll(INLINE)) {
    nodes.push(document.createTextNode(text.slice(done, match.index)));
    const number = Number(match[1]);
    const ours = !quoted || match.index + match[0].length === text.trimEnd().length;
    if (match[1] && !(ours && known.has(number))) nodes.push(document.createTextNode(match[0]));
    else if (match[1]) {
      const button = make("button", { type: "button", className: "cite", textContent: number, ariaLabel: `Source ${number}` });
      const before = text.slice(0, match.index);
      const quote = quoted ? before : (before.split(/(?<=[.!?。！？])\s+/).filter(Boolean).pop() ?? "");
      button.onclick = () => cite(number, quote, button);
      nodes.push(button);
    } else nodes.push(match[2] ? make("strong", { textContent: match[2] }) : make("code", { textContent: match[3] }));
    done = match.index + match[0].length;
  }
  nodes.push(document.createTextNode(text.slice(done)));
  return nodes;
}

function block(lines, known, cite) {
  const item = /^\s*(?:[-*•]|\d{1,2}[.)])\s+/;
  if (lines.every((line) => item.test(line))) {
    const list = make(/^\s*\d/.test(lines[0]) ? "ol" : "ul");
    for (const line of lines) {
      const entry = make("li");
      entry.append(...inline(line.replace(item, ""), known, cite));
      list.append(entry);
    }
    return list;
  }
  const quoted = lines.every((line) => line.startsWith(">"));
  const node = make(quoted ? "blockquote" : "p");
  lines.forEach((line, n) => {
    if (n) node.append(make("br"));
    node.append(...inline(quoted ? line.replace(/^>\s?/, "") : line.replace(/^#+\s+/, ""), known, cite, quoted));
  });
  return node;
}

export function answerNodes(text, known, cite) {
  const nodes = [];
  text.split("```").forEach((part, n) => {
    if (n % 2) {
      const pre = make("pre");
      pre.append(make("code", { textContent: part.replace(/^\w*\n/, "").trimEnd() }));
      nodes.push(pre);
    } else {
      let lines = [];
      for (const line of [...part.split("\n"), ""]) {
        const kind = (one) => (one.startsWith(">") ? ">" : /^\s*(?:[-*•]|\d{1,2}[.)])\s+/.test(one) ? "-" : "");
        if (lines.length && (!line.trim() || kind(line) !== kind(lines[0]))) {
          nodes.push(block(lines, known, cite));
          lines = [];
        }
        if (line.trim()) lines.push(line);
      }
    }
  });
  return nodes;
}
