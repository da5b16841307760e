// The page: the story on one side, and beside it a view of how the chosen word came to be.

import { ask, filesOfModel, source } from "./engine.mjs";
import { change, onChange, state } from "./state.mjs";
import { begin, lookAt, nameOf, onKey, stop } from "./story.mjs";
import { createTour, startTour } from "./tour.mjs";
import * as attention from "./views/attention.mjs";
import * as bits from "./views/bits.mjs";
import * as broken from "./views/broken.mjs";
import { count, fill, h } from "./views/draw.mjs";
import * as linear from "./views/linear.mjs";
import * as map from "./views/map.mjs";
import * as next from "./views/next.mjs";
import * as zeros from "./views/zeros.mjs";

const VIEWS = { next, map, linear, attention, zeros, broken, bits };
const get = (id) => document.getElementById(id);
const WITHOUT_WORD = new Set(["broken", "bits"]); // they tell stories of their own

// ---- views, one of which is shown ----

function createViews() {
  for (const [name, view] of Object.entries(VIEWS)) {
    const tab = h("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `view-${name}`, onclick: () => change({ view: name }) }, view.title);
    const { notebook, module, line } = view.links, code = `minibitnet/one_page.py#:~:text=${encodeURIComponent(line).replaceAll("-", "%2D")}`;
    const link = (path, says) => h("a", { href: source(path), target: "_blank", rel: "noreferrer" }, says);
    const body = h("div", { className: "body" });
    get("tabs").append(tab);
    get("view").append(h("section", { role: "tabpanel", id: `view-${name}`, "aria-labelledby": `tab-${name}` },
      h("p", { className: "lead" }, view.text.replace(/\s+/g, " ")), body,
      h("p", { className: "links" }, link(notebook, "Notebook"), link(module, "Module"), link(code, "Line of the page"), h("code", {}, line))));
    view.create(body);
  }
  get("tabs").onkeydown = (event) => {
    const names = Object.keys(VIEWS), step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    change({ view: names[(names.indexOf(state.view) + step + names.length) % names.length] });
    get(`tab-${state.view}`).focus();
  };
}

function showView() {
  for (const name of Object.keys(VIEWS)) {
    const chosen = name === state.view, tab = get(`tab-${name}`);
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    get(`view-${name}`).hidden = !chosen;
    if (chosen && get("tabs").scrollWidth > get("tabs").clientWidth) get("tabs").scrollLeft = tab.offsetLeft - 40;
  }
  const known = state.stages && state.story.tokens[state.at];
  fill(get("here"), ...(WITHOUT_WORD.has(state.view) || !known ? [] : ["How ", h("b", {}, `“${nameOf(state.at)}”`), ` came to be, from token ${state.at - 1}`]));
  document.body.classList.toggle("plain", state.plain);
  get("plain").setAttribute("aria-pressed", String(state.plain));
  get("view").classList.toggle("blank", !state.story && !WITHOUT_WORD.has(state.view)); // what was there is of another model
  if (known || WITHOUT_WORD.has(state.view)) VIEWS[state.view].update();
}

// ---- the model ----

async function open(files) {
  const status = get("status");
  try {
    const model = await ask("load", { files });
    state.loaded = performance.now(); // since the page was asked for
    change({ model: { ...model, number: (state.model?.number ?? 0) + 1 }, layer: 0, place: null, matrix: "q", row: 0, column: 0, head: 0, story: null, at: null, stages: null });
    get("facts").textContent = `${count(model.ternary)} weights of −1, 0 or +1 · ${model.L} blocks · ${(model.bytes / 1e6).toFixed(1)} MB · all of it computed in this page`;
    await begin();
  } catch (error) {
    status.textContent = `This model cannot be read: ${error.message}`;
  }
}

const LARGEST = 300e6; // bytes; more than that a page cannot hold well

async function openChosen(list) {
  const files = [...list], size = files.reduce((sum, file) => sum + file.size, 0);
  if (size > LARGEST) return (get("status").textContent = `These files have ${count(size / 1e6)} MB; this page reads up to ${LARGEST / 1e6}.`);
  await stop();
  const read = async (file) => [file.name, new Uint8Array(await file.arrayBuffer())];
  try {
    return await open(Object.fromEntries(await Promise.all(files.map(read))));
  } catch { // a folder, or a file that has gone
    get("status").textContent = `Not all of these can be read: expected files, not a folder (${files.map(({ name }) => name).join(", ")})`;
  }
}

function takeFiles() {
  const stopIt = (event) => event.preventDefault();
  document.addEventListener("dragover", (event) => {
    stopIt(event);
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", ({ relatedTarget }) => relatedTarget || document.body.classList.remove("dropping"));
  document.addEventListener("drop", (event) => {
    stopIt(event);
    document.body.classList.remove("dropping");
    openChosen(event.dataTransfer.files);
  });
  get("files").onchange = ({ target }) => {
    openChosen(target.files);
    target.value = ""; // so that the same files, mended, can be chosen again
  };
  get("open").onclick = () => get("files").click();
}

// ---- all of it ----

export { lookAt, state, change };

function start() {
  createViews();
  createTour(get("tour"));
  takeFiles();
  state.plain = false;
  state.view = location.hash.slice(1) in VIEWS ? location.hash.slice(1) : "next";
  onChange((news) => {
    if (news.view && news.view !== location.hash.slice(1)) history.replaceState(null, "", `#${news.view}`);
    showView();
  });
  get("form").onsubmit = (event) => {
    event.preventDefault();
    if (state.model) begin();
  };
  get("beginning").onkeydown = (event) => {
    if (event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    get("form").requestSubmit();
  };
  get("stop").onclick = stop;
  get("story").onkeydown = onKey;
  get("plain").onclick = () => change({ plain: !state.plain });
  get("start-tour").onclick = ({ target }) => startTour(target);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => requestAnimationFrame(showView));
  showView();
  filesOfModel().then(open, (error) => (get("status").textContent = `The model is not there: ${error.message}`));
}

start();
