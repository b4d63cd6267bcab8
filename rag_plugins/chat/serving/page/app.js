// The chat's page: asks, shows the answer as it comes, and beside it what the answer is made of.
// Whatever comes from documents or models is put in as text, never as markup.

import { answerNodes } from "./answer.js";
import { documents } from "./documents.js";
import { $, call, make } from "./dom.js";
import { evidence, point } from "./evidence.js";

const KEPT = "rag-plugins conversation";
const REMEMBERED = 10;

let turns = []; // { question, text, kind, note, sources, notices }, oldest first
let running = null;
let filter = null;
let opener = null; // what had the focus before the evidence did

// ---- a turn: question, answer, evidence ---------------------------------------------------------------------

function showTurn(turn) {
  $("start").hidden = true;
  turn.answer = make("div", { className: "answer" });
  turn.tools = make("div", { className: "tools", hidden: true });
  turn.row = make("li", { className: "turn" }, make("p", { className: "asked", textContent: turn.question }), turn.answer, turn.tools);
  $("turns").append(turn.row);
  toEnd();
}

function toEnd() {
  $("turns").scrollTop = $("turns").scrollHeight;
}

function render(turn) {
  const atEnd = $("turns").scrollHeight - $("turns").scrollTop - $("turns").clientHeight < 80;
  const known = new Set(turn.sources.map((source) => source.number));
  turn.answer.replaceChildren(...answerNodes(turn.text, known, (number, quote, button) => cite(turn, number, quote, button)));
  turn.answer.classList.toggle("nothing", turn.kind === "nothing");
  if (turn.note) turn.answer.append(make("p", { className: "note", textContent: turn.note }));
  if (atEnd) toEnd();
}

function cite(turn, number, quote, button) {
  document.querySelectorAll(".cite[aria-current]").forEach((each) => each.removeAttribute("aria-current"));
  button.setAttribute("aria-current", "true");
  openEvidence(turn, button);
  point(number, quote);
}

function openEvidence(turn, button) {
  opener = button;
  showEvidence(turn);
  $("evidence").classList.add("open");
  $("evidence").focus({ preventScroll: true });
}

function closeEvidence() {
  $("evidence").classList.remove("open");
  opener?.focus();
  opener = null;
}

let shownTurn = null;

function showEvidence(turn) {
  if (shownTurn === turn.sources) return;
  shownTurn = turn.sources;
  evidence($("sources"), turn.sources, turn.notices);
}

function addTools(turn) {
  const tool = (text, onclick) => make("button", { type: "button", textContent: text, onclick });
  const copy = tool("Copy", async () => {
    await navigator.clipboard.writeText(turn.text);
    copy.textContent = "Copied";
    setTimeout(() => (copy.textContent = "Copy"), 1500);
  });
  const show = tool("Evidence", () => openEvidence(turn, show));
  turn.tools.replaceChildren(copy, tool("Ask again", () => askAgain(turn)), ...(turn.sources.length ? [show] : []));
  turn.tools.hidden = false;
}

function askAgain(turn) {
  if (running) return;
  if (turn.row === $("turns").lastElementChild) {
    turn.row.remove();
    turns = turns.filter((each) => each !== turn);
  }
  ask(turn.question);
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

async function listen(turn) {
  const history = turns.flatMap(({ question, text }) => [{ role: "user", text: question }, { role: "assistant", text }]);
  const body = JSON.stringify({ question: turn.question, history, filter });
  const response = await call("api/ask", { method: "POST", body, signal: running.signal, headers: { "Content-Type": "application/json" } });
  for await (const [kind, data] of events(response)) {
    if (kind === "error") throw new Error(data.message);
    if (kind === "evidence") {
      Object.assign(turn, { sources: data.sources, notices: data.notices });
      showEvidence(turn);
    } else {
      if (kind === "text") turn.text += data.piece;
      else Object.assign(turn, { kind: data.kind, note: data.note });
      render(turn);
    }
  }
  if (!turn.kind) throw new Error("The answer broke off: is the server still running?");
}

async function ask(question) {
  if (running) return;
  running = new AbortController();
  const mine = running;
  busy(true);
  const turn = { question, text: "", kind: "", note: "", sources: [], notices: [] };
  showTurn(turn);
  turn.answer.classList.add("working");
  turn.answer.setAttribute("aria-busy", "true");
  try {
    await listen(turn);
    turns = [...turns, turn].slice(-REMEMBERED);
    keep();
  } catch (error) {
    const stopped = mine.signal.aborted;
    turn.answer.append(make("p", { className: stopped ? "note" : "failed", textContent: stopped ? "Stopped." : error.message }));
  } finally {
    turn.answer.classList.remove("working");
    turn.answer.removeAttribute("aria-busy");
    addTools(turn);
    running = null;
    busy(false);
    if (turn.kind) toEnd();
  }
}

function busy(yes) {
  const focused = document.activeElement === $("send") || document.activeElement === $("stop");
  $("send").hidden = yes;
  $("stop").hidden = !yes;
  if (focused) $(yes ? "stop" : "send").focus();
}

// ---- what a reload finds again ------------------------------------------------------------------------------

function keep() {
  const plain = turns.map(({ question, text, kind, note, sources, notices }) => ({ question, text, kind, note, sources, notices }));
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(plain));
  } catch {
    // There is only so much room: texts go before evidence does.
    sessionStorage.setItem(KEPT, JSON.stringify(plain.map((turn) => ({ ...turn, sources: [] }))));
  }
}

function restore() {
  turns = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
  for (const turn of turns) {
    showTurn(turn);
    render(turn);
    addTools(turn);
  }
  if (turns.length) showEvidence(turns.at(-1));
  toEnd();
}

function forget() {
  running?.abort();
  turns = [];
  sessionStorage.removeItem(KEPT);
  $("turns").replaceChildren();
  $("evidence").classList.remove("open");
  shownTurn = null;
  $("sources").replaceChildren(make("p", { className: "soft", textContent: $("sources").dataset.empty }));
  $("start").hidden = false;
  $("question").focus();
}

// ---- the rest of the page -----------------------------------------------------------------------------------

function sheet(button, panel) {
  const show = (yes) => {
    panel.hidden = !yes;
    button.setAttribute("aria-expanded", String(yes));
  };
  button.onclick = () => {
    show(panel.hidden);
    if (!panel.hidden) panel.querySelector("input, select, button")?.focus();
  };
  panel.onkeydown = (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    show(false);
    button.focus();
  };
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  localStorage.setItem("theme", name);
}

function grow() {
  $("question").style.height = "auto";
  $("question").style.height = `${$("question").scrollHeight + 2}px`;
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

async function start() {
  setTheme(localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
  restore();
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
  documents(about.megabytes);
}

$("theme").onclick = () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
$("new-chat").onclick = forget;
$("stop").onclick = () => running?.abort();
$("close-evidence").onclick = closeEvidence;
$("sources").dataset.empty = $("sources").textContent;
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
    else closeEvidence();
  } else if (event.altKey && event.key.toLowerCase() === "n") forget();
  else if (event.altKey && event.key.toLowerCase() === "d") $("theme").click();
};
start().catch((error) => ($("about").textContent = error.message));
