// The way of a token through the model: every array by its name, as colours.

import { change, state } from "../state.mjs";
import { choice, fill, h, largestOf, percent, press, short, strip, zerosOf } from "./draw.mjs";
import { GROUPS, bare, exactness, formula, meaning } from "./stages.mjs";

export const title = "The way through";
export const text = `A token enters as a row of numbers, and each block adds something to it; the line on the left is what it carries.
  Orange is above zero, blue below; what is marked int8 or int32 is a whole number, exact on every machine.`;
export const links = { notebook: "notebooks/10_model.py", module: "minibitnet/model.py", line: 'h = stage("attn_residual", h + o)' };

let layers, rows;

export function create(root) {
  layers = h("div");
  rows = h("div", { className: "map" });
  root.append(layers, rows);
}

const FIRST = 16; // values that are written out

function detail({ array }) {
  const values = [...array.subarray(0, FIRST)].map((x) => h("span", {}, short(x)));
  const more = array.length > FIRST ? ` … ${array.length - FIRST} more` : "";
  return h("div", { className: "values" }, ...values, more);
}

function row(name, { array, shape }, kind = "branch") {
  const open = state.stage === bare(name), exact = exactness(array), zeros = zerosOf(array) / array.length;
  const largest = short(largestOf(array)), share = zeros >= 0.005 ? percent(zeros) : "";
  const button = h("button", {
    type: "button", className: "stage", "data-stage": name, "aria-expanded": String(open),
    onclick: () => change({ stage: open ? null : bare(name) }),
  },
    h("span", { className: "name" }, bare(name), exact ? h("span", { className: "exact", title: "whole numbers: exact" }, exact) : null),
    h("span", { className: "formula" }, formula(name)),
    array.length > 1 ? strip(array, `${array.length} numbers as colours`) : h("span"),
    h("span", { className: "facts largest" }, h("span", { className: "unseen" }, "largest "), largest),
    h("span", { className: "facts zeros" }, share ? `${share} ` : "", share ? h("span", { className: "unseen" }, "zero") : null));
  const here = h("div", { className: "detail" }, h("p", {}, meaning(name), " ", h("span", { className: "shape" }, shape.join(" × "))));
  here.append(detail({ array }));
  return h("div", { className: `row ${kind}${exact ? " whole" : ""}${open ? " here" : ""}` }, button, open ? here : null);
}

function block() {
  const prefix = `layers.${state.layer}.`;
  return GROUPS.flatMap(([name, says, stages]) => {
    const found = Object.keys(stages).map((stage) => prefix + stage).filter((stage) => state.stages.has(stage));
    const last = found.at(-1);
    const heading = h("div", { className: "row main heading" }, h("h3", {}, name, h("span", {}, says)),
      h("span", { className: "facts largest", "aria-hidden": "true" }, "largest"), h("span", { className: "facts zeros", "aria-hidden": "true" }, "zeros"));
    return [heading, ...found.map((stage) => row(stage, state.stages.get(stage), stage === last ? "main plus" : "branch"))];
  });
}

export function update() {
  const outside = { first: "embed", last: "head" }, { L } = state.model;
  const options = [["first", "embed"], ...Array.from({ length: L }, (_, i) => [i, `${i}`]), ["last", "head"]];
  const place = state.place ?? state.layer;
  if (layers.dataset.for !== String(L)) {
    fill(layers, choice("Block", options, place, (value) => change({ place: value in outside ? value : null, ...(value in outside ? {} : { layer: value }) })));
    layers.dataset.for = L;
  }
  press(layers, place);
  const focused = document.activeElement?.dataset?.stage;
  if (place === "first") fill(rows, row("embed", state.stages.get("embed"), "main"));
  else if (place === "last") fill(rows, ...["final_norm", "logits"].map((name) => row(name, state.stages.get(name), "main")));
  else fill(rows, ...block());
  if (focused) rows.querySelector(`[data-stage="${focused}"]`)?.focus({ preventScroll: true });
}
