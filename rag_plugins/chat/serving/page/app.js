// The chat's page: asks, shows the answer as it comes, and beside it what the answer is made of.
// Whatever comes from documents or models is put in as text, never as markup.

import { answerNodes } from "./answer.js";
import { evidence, point } from "./evidence.js";
import { documents } from "./documents.js";

const $ = (id) => document.getElementById(id);
const KEPT = "rag-plugins conversation";

let history = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
let running = null;
let filter = null;

export async function call(path, options = {}) {
  const response = await fetch(path, options);
  if (!response.ok) {
    const told = await response.json().catch(() => ({ error: response.statusText }));
    throw new Error(told.error);
  }
  return response;
}

function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// ---- a turn: question, answer, evidence ---------------------------------------------------------------------

function showTurn(question) {
  $("start").hidden = true;
  const answer = make("div", { className: "answer working" });
  const tools = make("div", { className: "tools", hidden: true });
  const turn = make("li", { className: "turn" }, make("p", { className: "asked", textContent: question }), answer, tools);
  $("turns").append(turn);
  turn.scrollIntoView({ block: "end" });
  return { turn, answer, tools };
}

function render(answer, text, sources) {
  const atEnd = $("turns").scrollHeight - $("turns").scrollTop - $("turns").clientHeight < 80;
  answer.replaceChildren(...answerNodes(text, (number, quote, button) => cite(sources, number, quote, button)));
  if (atEnd) $("turns").scrollTop = $("turns").scrollHeight;
}

function cite(sources, number, quote, button) {
  document.querySelectorAll(".cite[aria-current]").forEach((each) => each.removeAttribute("aria-current"));
  button?.setAttribute("aria-current", "true");
  if ($("sources").dataset.of !== sources.id) showEvidence(sources);
  $("evidence").classList.add("open");
  point(number, quote);
}

function showEvidence(sources) {
  $("sources").dataset.of = sources.id;
  evidence($("sources"), sources.list);
}

function addTools(tools, question, text, sources) {
  const copy = make("button", { type: "button", textContent: "Copy" });
  copy.onclick = async () => {
    await navigator.clipboard.writeText(text);
    copy.textContent = "Copied";
    setTimeout(() => (copy.textContent = "Copy"), 1500);
  };
  const again = make("button", { type: "button", textContent: "Ask again" });
  again.onclick = () => ask(question);
  tools.replaceChildren(copy, again);
  if (sources.list.length) {
    const show = make("button", { type: "button", textContent: "Evidence" });
    show.onclick = () => {
      showEvidence(sources);
      $("evidence").classList.add("open");
      $("evidence").focus();
    };
    tools.append(show);
  }
  tools.hidden = false;
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const blocks = (rest + part.value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const lines = Object.fromEntries(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
      yield [lines.event, JSON.parse(lines.data)];
    }
  }
}

async function ask(question) {
  if (running) return;
  running = new AbortController();
  busy(true);
  const { answer, tools } = showTurn(question);
  const sources = { id: crypto.randomUUID?.() ?? String(Math.random()), list: [] };
  let text = "";
  try {
    const body = JSON.stringify({ question, history, filter });
    const response = await call("api/ask", { method: "POST", body, signal: running.signal, headers: { "Content-Type": "application/json" } });
    for await (const [kind, data] of events(response)) {
      if (kind === "evidence") {
        sources.list = data.sources;
        showEvidence(sources);
      } else if (kind === "text") {
        text += data.piece;
        render(answer, text, sources);
      } else if (kind === "error") throw new Error(data.message);
      else if (kind === "end") {
        answer.classList.toggle("nothing", data.kind === "nothing");
        if (data.note) answer.append(make("p", { className: "note", textContent: data.note }));
      }
    }
    history = [...history, { role: "user", text: question }, { role: "assistant", text }].slice(-20);
    sessionStorage.setItem(KEPT, JSON.stringify(history));
  } catch (error) {
    if (error.name === "AbortError") answer.append(make("p", { className: "note", textContent: "Stopped." }));
    else {
      answer.classList.add("failed");
      answer.append(make("p", { textContent: error.message }));
    }
  } finally {
    answer.classList.remove("working");
    addTools(tools, question, text, sources);
    running = null;
    busy(false);
    $("turns").scrollTop = $("turns").scrollHeight;
  }
}

function busy(yes) {
  $("send").hidden = yes;
  $("stop").hidden = !yes;
}

// ---- the rest of the page -----------------------------------------------------------------------------------

function sheet(button, panel) {
  button.onclick = () => {
    panel.hidden = !panel.hidden;
    button.setAttribute("aria-expanded", String(!panel.hidden));
    if (!panel.hidden) panel.querySelector("input, select, button")?.focus();
  };
}

function forget() {
  running?.abort();
  history = [];
  sessionStorage.removeItem(KEPT);
  $("turns").replaceChildren();
  $("start").hidden = false;
  $("question").focus();
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  localStorage.setItem("theme", name);
}

function grow() {
  $("question").style.height = "auto";
  $("question").style.height = `${$("question").scrollHeight}px`;
}

function readFilter() {
  const parts = [];
  if ($("filter-document").value) parts.push({ key: "doc_id", operator: "==", value: $("filter-document").value });
  if ($("filter-key").value.trim()) {
    parts.push({ key: $("filter-key").value.trim(), operator: $("filter-operator").value, value: $("filter-value").value });
  }
  filter = parts.length ? parts : null;
  $("open-filters").textContent = filter ? `Filter (${parts.length})` : "Filter";
}

function restore() {
  for (let n = 0; n + 1 < history.length; n += 2) {
    const { answer, tools } = showTurn(history[n].text);
    answer.classList.remove("working");
    render(answer, history[n + 1].text, { id: "", list: [] });
    addTools(tools, history[n].text, history[n + 1].text, { list: [] });
  }
}

async function start() {
  setTheme(localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
  const about = await (await call("api/about")).json();
  $("name").textContent = about.name;
  document.title = `Ask ${about.name}`;
  $("about").textContent = about.answers;
  $("lead").textContent = about.lead;
  $("examples").replaceChildren(
    ...about.examples.map((text) => make("li", {}, make("button", { type: "button", textContent: text, onclick: () => ask(text) }))),
  );
  $("filter-keys").replaceChildren(...about.keys.map((key) => make("option", { value: key })));
  $("drop").hidden = !about.upload;
  documents($, call, make);
  restore();
}

$("theme").onclick = () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
$("new-chat").onclick = forget;
$("stop").onclick = () => running?.abort();
$("close-evidence").onclick = () => $("evidence").classList.remove("open");
sheet($("open-documents"), $("documents"));
sheet($("open-filters"), $("filters"));
$("question").oninput = grow;
$("question").onkeydown = (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("ask").requestSubmit();
  }
};
$("ask").onsubmit = (event) => {
  event.preventDefault();
  const question = $("question").value.trim();
  if (!question || running) return;
  $("question").value = "";
  grow();
  ask(question);
};
$("filters").onsubmit = (event) => {
  event.preventDefault();
  readFilter();
};
$("clear-filters").onclick = () => {
  $("filters").reset();
  readFilter();
};
document.onkeydown = (event) => {
  if (event.key === "Escape") {
    if (running) running.abort();
    else $("evidence").classList.remove("open");
  } else if (event.altKey && event.key.toLowerCase() === "n") forget();
  else if (event.altKey && event.key.toLowerCase() === "d") $("theme").click();
};
start().catch((error) => ($("about").textContent = error.message));
