// What every part of the page uses: elements, and calls of the server.

export const $ = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

export async function call(path, options = {}) {
  const response = await fetch(path, options).catch((error) => {
    throw error.name === "AbortError" ? error : new Error("The server does not answer: is it still running?");
  });
  if (!response.ok) {
    const told = await response.json().catch(() => ({ error: response.statusText }));
    throw new Error(told.error);
  }
  return response;
}
