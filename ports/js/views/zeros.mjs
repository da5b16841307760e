// The zeros of the squared ReLU: most of the feed-forward is not there for a given word.

import { change, state } from "../state.mjs";
import { count, fill, h, paint, percent, strip, zerosOf } from "./draw.mjs";

export const title = "The zeros";
export const text = `Where the gate is negative, max(0, gate)² is exactly 0, and whatever hangs on it need not be computed.
  What is left are a few strong numbers, different ones for each word.`;
export const links = { notebook: "notebooks/07_feedforward.py", module: "minibitnet/feedforward.py", line: "return np.square(np.maximum(gate, 0))" };

let bars, cells, sentence, strips;

export function create(root) {
  bars = h("div", { className: "bars" });
  sentence = h("p", { className: "sentence", "aria-live": "polite" });
  cells = h("canvas", { className: "cells", role: "img" });
  strips = h("div", { className: "strips still" });
  root.append(h("h3", {}, "Share of zeros, block by block"), bars, sentence, cells, h("h3", {}, "Before and after"), strips);
}

export function update() {
  const { L, F } = state.model;
  const shares = Array.from({ length: L }, (_, layer) => zerosOf(state.stages.get(`layers.${layer}.relu2_gate`).array) / F);
  const focused = bars.contains(document.activeElement);
  fill(bars, ...shares.map((share, layer) => {
    const fillOf = h("span", { className: "bar" });
    fillOf.style.width = percent(share).replace(" ", "");
    return h("button", { type: "button", "aria-pressed": String(layer === state.layer), onclick: () => change({ layer, place: null }) },
      h("span", {}, `block ${layer}`), h("span", { className: "track" }, fillOf), h("span", {}, percent(share)));
  }));
  if (focused) bars.children[state.layer].focus();
  const get = (name) => state.stages.get(`layers.${state.layer}.${name}`).array, values = get("relu2_gate");
  const zeros = zerosOf(values), codes = zerosOf(get("ffn_out.codes"));
  fill(sentence, `In block ${state.layer}, `, h("b", {}, `${count(zeros)} of ${count(F)}`), ` numbers are 0; after rounding to 8 bits `,
    h("b", {}, count(codes)), `. Each square below is one of them, the blank ones are 0.`);
  const width = Math.ceil(Math.sqrt(F * 3));
  paint(cells, values, width, Math.ceil(F / width));
  cells.setAttribute("aria-label", `relu2_gate: ${F} numbers, ${zeros} of them 0`);
  const named = (name) => h("div", { className: "named" }, h("span", {}, name), strip(get(name), name));
  fill(strips, named("gate"), named("up"), named("relu2_gate"), named("ffn_out.codes"));
}
