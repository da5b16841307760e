// What the next token could have been: the probabilities, and what temperature, top-k and top-p make of them.

import { probabilities } from "../bitnet.mjs";
import { spell, writeOn } from "../story.mjs";
import { change, state } from "../state.mjs";
import { fill, h, percent, slider, visible } from "./draw.mjs";

export const title = "The next word";
export const text = `The model gives every token of its vocabulary a probability, and one is picked.
  Temperature evens them out, top-k and top-p cut off the tail; click a word below to see the story go on with it instead.`;
export const links = { notebook: "notebooks/12_sampling.py", module: "minibitnet/sampling.py", line: "new.append(int(logits.argmax()))" };

const SHOWN = 10;

let list, sentence, sliders;

const turn = (name) => (value) => change({ sampling: { ...state.sampling, [name]: value } });

export function create(root) {
  const { temperature, topK, topP } = state.sampling;
  sliders = h("div", { className: "controls sliders" },
    slider("Temperature", { min: 0, max: 2, step: 0.1, value: temperature, show: (x) => (x ? x.toFixed(1) : "0: the most likely") }, turn("temperature")),
    slider("Top-k", { min: 0, max: 50, step: 1, value: topK, show: (k) => (k ? String(k) : "all") }, turn("topK")),
    slider("Top-p", { min: 0.05, max: 1, step: 0.05, value: topP, show: (p) => p.toFixed(2) }, turn("topP")));
  sentence = h("p", { className: "sentence", "aria-live": "polite" });
  list = h("ol", { className: "candidates" });
  root.append(sentence, list, h("h3", {}, "How to pick"), sliders);
}

export function candidates() { // -> the most likely tokens: id, probability before and after what the sliders say
  const logits = state.stages.get("logits").array, { temperature, topK, topP } = state.sampling;
  const before = probabilities(logits, 1, 0, 1);
  const after = temperature ? probabilities(logits, temperature, topK, topP) : null;
  const order = [...logits.keys()].sort((a, b) => logits[b] - logits[a] || a - b);
  const p = (id, rank) => (after ? after[id] : Number(rank === 0));
  return { best: order.slice(0, SHOWN).map((id, rank) => ({ id, before: before[id], after: p(id, rank) })), after, before };
}

export async function update() {
  const { best, after } = candidates(), chosen = state.story.tokens[state.at], texts = await spell(best.map(({ id }) => id));
  if (!state.stages) return; // another story has begun
  const possible = after ? after.reduce((n, p) => n + (p > 0), 0) : 1;
  fill(sentence, "After “", h("span", { className: "context" }, endOf(state.story.tokens.slice(1, state.at))), "” came ",
    h("b", {}, `“${visible(chosen?.text ?? "")}”`), `. With these settings ${possible === 1 ? "one token" : `${possible} tokens`} could come.`);
  fill(list, ...best.map(({ id, before, after }, i) => {
    const bar = (className, share) => Object.assign(h("span", { className }), { style: `width: ${100 * share}%` });
    const button = h("button", {
      type: "button", className: after ? "" : "out", "aria-current": String(id === chosen?.id), onclick: () => writeOn(id),
      "aria-label": `${visible(texts[i])}, ${percent(before, 1)}, with these settings ${percent(after, 1)}; write on with it`,
    }, h("span", { className: "name" }, texts[i].trim() ? texts[i] : visible(texts[i])), h("span", { className: "track" }, bar("bar ghost", before), bar("bar", after)),
      h("span", { className: "facts" }, percent(before, 1)));
    return h("li", {}, button);
  }));
}

function endOf(tokens) { // the last few words
  const text = tokens.map(({ text }) => text).join("");
  return text.length > 40 ? `…${text.slice(-40)}` : text || "the start";
}
