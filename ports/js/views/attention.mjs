// Attention on the words themselves: what each head reads of each earlier token.

import { change, state } from "../state.mjs";
import { choice, fill, h, paint, percent, press, visible } from "./draw.mjs";

export const title = "Who reads whom";
export const text = `Each head looks back at the words so far and takes from each a share: the stronger the colour, the more.
  Neighbouring heads share one key and value, which is what makes the memory of a long text small.`;
export const links = { notebook: "notebooks/09_attention.py", module: "minibitnet/attention.py", line: "group = head // (H // G)" };

let layers, heads, words, list, grid, note;

export function create(root) {
  layers = h("div");
  heads = h("div", { className: "heads" });
  words = h("p", { className: "words" });
  list = h("p", { className: "sentence", "aria-live": "polite" });
  grid = h("canvas", { className: "grid", role: "img" });
  note = h("p", { className: "note" });
  grid.onclick = ({ offsetY }) => change({ head: Math.floor((offsetY / grid.clientHeight) * state.model.H) });
  root.append(h("div", { className: "controls" }, layers), heads, words, list, h("h3", {}, "All heads at once"), grid, note);
}

function drawHeads() {
  const { H, G } = state.model, share = H / G;
  const groups = Array.from({ length: G }, (_, g) => choice(`Key/value ${g}`,
    Array.from({ length: share }, (_, i) => [g * share + i, `head ${g * share + i}`]), state.head, (head) => change({ head })));
  fill(heads, ...groups);
}

export function weightsOf(head) { // how much the head reads of each token
  const { array, shape: [, , S] } = state.stages.get(`layers.${state.layer}.attn_weights`);
  return array.subarray(head * S, (head + 1) * S);
}

export function update() {
  const { L, H } = state.model, key = `${L} ${H}`;
  if (layers.dataset.for !== key) {
    fill(layers, choice("Block", Array.from({ length: L }, (_, i) => [i, `${i}`]), state.layer, (layer) => change({ layer, place: null })));
    drawHeads();
    layers.dataset.for = key;
  }
  press(layers, state.layer);
  press(heads, state.head);
  const shares = weightsOf(state.head), tokens = state.story.tokens.slice(0, shares.length);
  fill(words, ...tokens.flatMap(({ text }, i) => {
    const space = i && text.trim() ? text.match(/^\s*/)[0] : "", word = h("span", { className: "word", title: percent(shares[i], 1) }, i ? text.slice(space.length) : "start");
    word.style.setProperty("--share", `${Math.round(100 * Math.sqrt(shares[i]))}%`);
    if (i === tokens.length - 1) word.classList.add("reader");
    if (!i) word.classList.add("start");
    return [space, word];
  }));
  const most = [...shares.keys()].sort((a, b) => shares[b] - shares[a]).slice(0, 4).filter((i) => shares[i] >= 0.005);
  fill(list, `Head ${state.head}, at the outlined word, reads `, ...most.flatMap((i, rank) => [
    rank ? ", " : "", h("b", {}, i ? `“${visible(tokens[i].text)}”` : "the start"), ` ${percent(shares[i])}`]), ".");
  const { array, shape: [, , S] } = state.stages.get(`layers.${state.layer}.attn_weights`);
  const start = Array.from({ length: H }, (_, head) => array[head * S]).reduce((a, b) => a + b, 0);
  paint(grid, array, S, H, 1);
  grid.setAttribute("aria-label", `attention weights of block ${state.layer}: ${H} heads by ${S} tokens`);
  note.textContent = `${H} rows are the heads, ${S} columns the tokens so far. The start of the text gets ${percent(start / H)} of it all: there a head rests when it finds nothing to read.`;
}
