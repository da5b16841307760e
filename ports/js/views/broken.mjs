// Break it: mistakes that real ports made, each a line of the model. What goes wrong first?

import { BUGS, mutate } from "../bugs.mjs";
import { ask, sourceOfModel } from "../engine.mjs";
import { beginning, reader, write } from "../story.mjs";
import { state } from "../state.mjs";
import { fill, h, short } from "./draw.mjs";
import { GROUPS, bare, meaning } from "./stages.mjs";

export const title = "Break it";
export const text = `Each of these is a mistake that a real port of such a model made, as the one line that it changes. Few crash; most still write,
  some fluently, and only the arrays tell: the first one that is not right says where to look.`;
export const links = { notebook: "notebooks/17_stages.py", module: "minibitnet/golden/zoo/__init__.py", line: "acc = stage(output + \".acc\"" };

const LENGTH = 50; // tokens

let select, diff, go, told, verdict, lights;

export function create(root) {
  select = h("select", { "aria-label": "Mistake", onchange: show }, ...Object.keys(BUGS).map((name) => h("option", { value: name }, name)));
  go = h("button", { type: "button", className: "primary", onclick: run }, "Break it");
  diff = h("div", { className: "diff" });
  told = h("div", { className: "versus" });
  verdict = h("p", { className: "sentence", "aria-live": "polite" });
  lights = h("div", { className: "lights" });
  root.append(h("div", { className: "controls" }, select, go), diff, told, verdict, lights);
  show();
}

function show() {
  const { right, wrong, symptom } = BUGS[select.value];
  fill(diff, h("pre", { className: "minus" }, `− ${right}`), h("pre", { className: "plus" }, `+ ${wrong}`), h("p", {}, h("span", { className: "label" }, "What users saw"), symptom));
  fill(told);
  fill(lights);
  verdict.textContent = "";
}

async function run() {
  go.disabled = select.disabled = true; // what is found is said of the mistake that is shown
  try {
    const name = select.value, source = mutate(await sourceOfModel(), name), text = beginning();
    const [right, wrong] = ["As it should be", "With the mistake"].map((title) => {
      const words = h("p", { className: "text" });
      told.append(h("div", {}, h("h3", {}, title), words));
      return words;
    });
    told.replaceChildren(right.parentNode, wrong.parentNode);
    verdict.textContent = "The wrong model is being made …";
    fill(lights);
    let story;
    for (const [port, words] of [[{}, right], [{ source }, wrong]]) {
      story = await write({ text, n: LENGTH, port }, reader(words));
      if (story.status === "stopped") return (verdict.textContent = "Stopped: another story is being written.");
    }
    verdict.textContent = "Looking for the first array that is not right …";
    const { ids, prompt } = story, found = await ask("compare", { source, ids, prompt });
    state.broken = { name, found, right: right.textContent, wrong: wrong.textContent };
    judge(found);
  } catch (error) {
    verdict.textContent = error.message;
  } finally {
    go.disabled = select.disabled = false;
  }
}

function judge(found) {
  if (!found) {
    verdict.textContent = "Every array is right: this model is too small for the mistake to show. That is why a port is tested with a model that is not.";
    return;
  }
  const { wrongs: [{ name, index, expected, found: there }], wrongs, stages, at } = found;
  fill(verdict, "The first array that is not right is ", h("b", {}, name), `, at token ${at}: number ${index} is ${short(there)}, not ${short(expected)}. `, meaning(name));
  const wrong = new Set(wrongs.map(({ name }) => name)), layer = name.match(/^layers\.\d+\./)?.[0] ?? "layers.0.";
  const inBlock = GROUPS.flatMap(([, , names]) => Object.keys(names)).map((stage) => layer + stage);
  const all = ["embed", ...inBlock, "final_norm", "logits"].filter((stage) => stages.includes(stage));
  fill(lights, ...all.map((stage) => h("span", {
    className: `light${stage === name ? " first" : wrong.has(stage) ? " wrong" : ""}`, "data-stage": stage,
  }, bare(stage))));
}

export const update = () => {};
