// Files come in here: sent with their progress, then read on the server, page by page.

import { $, call, make } from "./dom.js";

export function documents(megabytes) {
  async function list() {
    const found = await (await call("api/documents")).json();
    $("list").replaceChildren(
      ...found.documents.map(({ id, name, passages }) => {
        const remove = make("button", { type: "button", textContent: "Delete", title: `Delete ${name}` });
        remove.onclick = async () => {
          if (!confirm(`Delete ${name} from the collection?`)) return;
          const failed = (error) => fail($("jobs").appendChild(make("li")), error.message);
          await call(`api/documents?id=${encodeURIComponent(id)}`, { method: "DELETE" }).catch(failed);
          await list();
        };
        const row = make("li", {}, make("span", { className: "name", textContent: name }), make("span", { className: "soft", textContent: passages === 1 ? "1 passage" : `${passages} passages` }));
        if (found.deletable) row.append(remove);
        return row;
      }),
    );
    const chosen = $("filter-document").value;
    $("filter-document").replaceChildren(make("option", { value: "", textContent: "all" }), ...found.documents.map(({ id, name }) => make("option", { value: id, textContent: name })));
    $("filter-document").value = chosen;
  }

  function send(files) {
    const bar = make("progress", { max: 1, value: 0 });
    const said = make("span", { textContent: `Sending ${files.length === 1 ? files[0].name : `${files.length} files`}` });
    const row = make("li", {}, bar, said);
    $("jobs").prepend(row);
    const size = files.reduce((sum, file) => sum + file.size, 0);
    if (size > megabytes * 2 ** 20) return fail(row, `More than ${megabytes} MB at once: send fewer or smaller files.`);
    const form = new FormData();
    for (const file of files) form.append("files", file, file.name);
    const request = new XMLHttpRequest();
    request.upload.onprogress = (event) => (bar.value = event.lengthComputable ? event.loaded / event.total : 0);
    request.onerror = () => fail(row, "The connection was lost.");
    request.onload = () => {
      const told = JSON.parse(request.responseText || "{}");
      if (request.status >= 400) fail(row, told.error ?? request.statusText);
      else watch(told.job, row, bar, said).catch((error) => fail(row, error.message));
    };
    request.open("POST", "api/documents");
    request.send(form);
  }

  function fail(row, message) {
    row.replaceChildren(make("span", { className: "bad", textContent: message }));
  }

  async function watch(job, row, bar, said) {
    bar.removeAttribute("value");
    for (;;) {
      const state = await (await call(`api/jobs/${job}`)).json();
      said.textContent = state.told;
      if (state.finished) {
        bar.remove();
        for (const bad of state.bad) row.append(make("span", { className: "bad", textContent: bad }));
        await list();
        return;
      }
      await new Promise((resume) => setTimeout(resume, 300));
    }
  }

  const drop = $("drop");
  $("files").onchange = () => {
    if ($("files").files.length) send([...$("files").files]);
    $("files").value = "";
  };
  for (const name of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files.length) send([...event.dataTransfer.files]);
    });
  }
  list().catch((error) => fail($("jobs").appendChild(make("li")), error.message));
}
