// Files come in here: sent with their progress, then read on the server, page by page.

export function documents($, call, make) {
  async function list() {
    const found = await (await call("api/documents")).json();
    $("list").replaceChildren(
      ...found.documents.map(({ id, name, passages }) => {
        const remove = make("button", { type: "button", textContent: "Delete", title: `Delete ${name}` });
        remove.onclick = async () => {
          if (!confirm(`Delete ${name} from the collection?`)) return;
          await call(`api/documents?id=${encodeURIComponent(id)}`, { method: "DELETE" });
          await list();
        };
        const row = make("li", {}, make("span", { className: "name", textContent: name }), make("span", { className: "soft", textContent: `${passages} passages` }));
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
    const form = new FormData();
    for (const file of files) form.append("files", file, file.name);
    const request = new XMLHttpRequest();
    request.upload.onprogress = (event) => (bar.value = event.lengthComputable ? event.loaded / event.total : 0);
    request.onerror = () => fail(row, "The connection was lost.");
    request.onload = () => {
      const told = JSON.parse(request.responseText || "{}");
      if (request.status >= 400) fail(row, told.error ?? request.statusText);
      else watch(told.job, row, bar, said);
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
      if (state.total) Object.assign(bar, { max: state.total, value: state.done });
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
