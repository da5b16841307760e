// How the page starts that is all in one file (tools/inline_page.py): its modules and the model are texts in it.

const text = (name) => document.getElementById(name).textContent;
const { modules, files, sources } = JSON.parse(text("contents"));

function addresses(modules) { // of all, each after those that it imports
  const urls = {};
  for (const [name, text] of modules) {
    const code = text.replace(/from "@([^"]+)"/g, (_, name) => `from "${urls[name]}"`);
    urls[name] = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  }
  return urls;
}

function bytes(name) {
  const letters = atob(text(name)), all = new Uint8Array(letters.length);
  for (let i = 0; i < all.length; i++) all[i] = letters.charCodeAt(i);
  return all;
}

// A worker of a page from disk may import only what it made itself. What is said to it before that is kept for it.
const worker = `${addresses}
  const early = [];
  self.onmessage = (event) => early.push(event);
  import(addresses(${JSON.stringify(modules)})["worker.mjs"]).then(() => early.forEach((event) => self.onmessage(event)));`;

globalThis.INLINED = {
  worker: URL.createObjectURL(new Blob([worker], { type: "text/javascript" })),
  bitnet: Object.fromEntries(modules)["bitnet.mjs"],
  sources,
  files: () => Object.fromEntries(files.map((name) => [name, bytes(name)])),
};
import(addresses(modules)["page.mjs"]);
