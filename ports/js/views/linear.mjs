// BitLinear up close: one row of a matrix, and the sum that it makes of the codes.

import { ask } from "../engine.mjs";
import { change, state } from "../state.mjs";
import { choice, count, fill, h, paint, press, short, slider } from "./draw.mjs";

export const title = "−1, 0, +1";
export const text = `A row of weights reads the token: where a weight is +1 the code is added, where it is −1 subtracted, where it is 0 skipped.
  Nothing is multiplied until the end, when two scales turn the sum into a real number.`;
export const links = {
  notebook: "notebooks/05_bitlinear.py", module: "minibitnet/bitlinear.py",
  line: "x_codes.astype(np.int32) @ w_codes.astype(np.int32).T",
};

export const INPUTS = { q: "attn_in", k: "attn_in", v: "attn_in", o: "attn_out", gate: "ffn_in", up: "ffn_in", down: "ffn_out" };

let matrices, layers, picture, mark, rowInput, columns, strips, ledger, sentence, totals, result, byte, shown = {}, timer = null;

export function create(root) {
  matrices = choice("Matrix", Object.keys(INPUTS).map((name) => [name, name]), state.matrix, (matrix) => change({ matrix, row: 0, column: 0 }));
  layers = h("div");
  picture = h("canvas", { className: "matrix", role: "img" });
  mark = h("div", { className: "mark" });
  picture.onclick = ({ offsetY }) => change({ row: Math.min(shown.M - 1, Math.floor((offsetY / picture.clientHeight) * shown.M)) });
  rowInput = slider("Row", { min: 0, max: 1, step: 1, value: 0 }, (row) => change({ row }));
  strips = h("div", { className: "strips" });
  columns = slider("Column", { min: 0, max: 1, step: 1, value: 0 }, (column) => change({ column }));
  ledger = h("table", { className: "ledger" });
  sentence = h("p", { className: "sentence", "aria-live": "polite" });
  totals = h("div", { className: "totals" });
  result = h("p", { className: "result" });
  byte = h("div", { className: "byte" });
  const run = h("button", { type: "button", className: "quiet", onclick: animate }, "Add it up");
  root.append(
    h("div", { className: "controls" }, matrices, layers),
    h("div", { className: "picture" }, picture, mark), rowInput,
    h("h3", {}, "The sum of this row"), strips, h("div", { className: "controls" }, columns, run), ledger, sentence, totals, result,
    h("h3", {}, "The byte that holds this weight"), byte);
}

function animate() { // the sum from left to right, in four seconds
  clearInterval(timer);
  const { N } = shown;
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return change({ column: N - 1 });
  let step = 0;
  timer = setInterval(() => {
    if (step >= 100 || state.view !== "linear") clearInterval(timer);
    change({ column: Math.floor(((N - 1) * step++) / 100) });
  }, 40);
}

export const term = (w, x) => (w === 1 ? x : w === -1 ? -x : 0);

export function sumUp(codes, xCodes, row, N) { // a row of weights and the codes -> the sums so far, and what went into them
  const running = new Int32Array(N), parts = { 1: [0, 0], "-1": [0, 0], 0: [0, 0] }; // of each weight: how many, and their sum
  for (let n = 0, sum = 0; n < N; n++) {
    const w = codes[row * N + n];
    running[n] = sum += term(w, xCodes[n]);
    parts[w][0]++;
    parts[w][1] += xCodes[n];
  }
  return { running, parts };
}

export function byteOf(codes, M, N, row, column) { // -> the byte, and the rows that are in it, the lowest bits first
  const R = Math.ceil(M / 4), rows = [0, 1, 2, 3].map((band) => band * R + (row % R)).filter((m) => m < M);
  return { value: rows.reduce((sum, m, band) => sum + ((codes[m * N + column] + 1) << (2 * band)), 0), rows };
}

function line(running, N, column) { // the running sum as a curve
  const most = Math.max(1, ...running.map(Math.abs)), y = (sum) => 30 - (28 * sum) / most;
  const points = Array.from(running, (sum, n) => `${((n + 0.5) / N) * 1000},${y(sum).toFixed(2)}`).join(" ");
  const svg = h("div", { className: "curve" });
  svg.innerHTML = `<svg viewBox="0 0 1000 60" preserveAspectRatio="none" role="img" aria-label="running sum, from 0 to ${running[N - 1]}">
    <line x1="0" x2="1000" y1="30" y2="30" class="axis"/><polyline points="${points}"/></svg>`;
  return svg;
}

const named = (label, element) => h("div", { className: "named" }, h("span", {}, label), element);

async function wanted() {
  const key = `${state.layer} ${state.matrix} ${state.model.number}`;
  if (shown.key !== key) shown = { key, ...(await ask("matrix", { layer: state.layer, stage: state.matrix })) };
  return shown.key === key;
}

export async function update() {
  press(matrices, state.matrix);
  if (layers.dataset.for !== String(state.model.L)) {
    fill(layers, choice("Block", Array.from({ length: state.model.L }, (_, i) => [i, `${i}`]), state.layer, (layer) => change({ layer, place: null })));
    layers.dataset.for = state.model.L;
  }
  press(layers, state.layer);
  const before = shown.key;
  if (!(await wanted()) || !state.stages) return;
  const { M, N, codes, scale } = shown, row = Math.min(state.row, M - 1), column = Math.min(state.column, N - 1);
  if (before !== shown.key || picture.dataset.theme !== theme()) {
    paint(picture, codes, N, M, 1);
    picture.dataset.theme = theme();
    picture.setAttribute("aria-label", `matrix ${state.matrix} of block ${state.layer}: ${M} rows of ${N} weights`);
  }
  mark.style.top = `${(100 * (row + 0.5)) / M}%`;
  rowInput.set(row, M - 1);
  columns.set(column, N - 1);
  drawRow({ M, N, codes, scale, row, column });
}

const theme = () => getComputedStyle(document.documentElement).getPropertyValue("--zero");

function drawRow({ M, N, codes, scale, row, column }) {
  const prefix = `layers.${state.layer}.`, get = (name) => state.stages.get(prefix + name).array;
  const xCodes = get(`${INPUTS[state.matrix]}.codes`), xScale = get(`${INPUTS[state.matrix]}.scale`)[0];
  const { running, parts } = sumUp(codes, xCodes, row, N), weights = codes.subarray(row * N, (row + 1) * N);
  const terms = weights.map((w, n) => term(w, xCodes[n])), at = h("div", { className: "cursor" });
  at.style.left = `calc(var(--names) + (100% - var(--names)) * ${(column + 0.5) / N})`;
  const bar = (values, label, largest) => named(label, paint(h("canvas", { className: "strip", role: "img", "aria-label": label }), values, N, 1, largest));
  fill(strips, bar(weights, "weights", 1), bar(xCodes, "codes", 127), bar(terms, "to add", 127), named("sum so far", line(running, N)), at);
  strips.onclick = ({ clientX }) => {
    const { left, right } = strips.querySelector("canvas").getBoundingClientRect();
    if (clientX >= left) change({ column: Math.min(N - 1, Math.floor(((clientX - left) / (right - left)) * N)) });
  };
  drawLedger({ weights, xCodes, running, column });
  const w = weights[column], x = xCodes[column], sum = column ? running[column - 1] : 0;
  const signed = (x) => (x < 0 ? `(${count(x)})` : count(x));
  const does = { 1: `add: ${count(sum)} + ${signed(x)}`, "-1": `subtract: ${count(sum)} − ${signed(x)}`, 0: `skip: ${count(sum)}` }[w];
  fill(sentence, `Column ${column}: the weight is `, weight(w), `, the code is ${count(x)}; ${does} = `, h("b", {}, count(running[column])));
  const box = (w, words) => h("div", { className: `total w${w + 1}` }, weight(w), h("span", {}, words));
  fill(totals,
    box(1, `${count(parts[1][0])} codes added: ${count(parts[1][1])}`),
    box(-1, `${count(parts[-1][0])} codes subtracted: ${count(parts[-1][1])}`),
    box(0, `${count(parts[0][0])} codes skipped`));
  const acc = get(`${state.matrix}.acc`)[row], y = get(state.matrix)[row];
  fill(result, h("code", {}, `${state.matrix}.acc[${row}]`), ` = ${count(parts[1][1])} − ${signed(parts[-1][1])} = `, h("b", {}, count(acc)),
    h("br"), h("code", {}, `${state.matrix}[${row}]`), ` = ${count(acc)} · ${short(xScale)} · ${short(scale)} = `, h("b", {}, short(y)));
  Object.assign(result.dataset, { acc: running[N - 1], y });
  drawByte({ M, N, codes, row, column });
}

const WINDOW = 7; // columns that are written out

function drawLedger({ weights, xCodes, running, column }) { // the sum as one would do it on paper
  const from = Math.max(0, Math.min(column - 3, weights.length - WINDOW));
  const line = (name, cell) => h("tr", {}, h("th", { scope: "row" }, name),
    ...Array.from({ length: Math.min(WINDOW, weights.length) }, (_, i) => h("td", { className: from + i === column ? "now" : "" }, cell(from + i))));
  fill(ledger, line("weight", (n) => weight(weights[n])), line("code", (n) => count(xCodes[n])), line("sum so far", (n) => count(running[n])));
}

export const weight = (w) => h("b", { className: `weight w${w + 1}` }, { 1: "+1", "-1": "−1", 0: "0" }[w]);

function drawByte({ M, N, codes, row, column }) {
  const { value, rows } = byteOf(codes, M, N, row, column), bits = value.toString(2).padStart(8, "0");
  const pairs = rows.map((m, band) => {
    const two = bits.slice(6 - 2 * band, 8 - 2 * band), code = parseInt(two, 2);
    return h("div", { className: `pair${m === row ? " here" : ""}` },
      h("span", { className: "bits" }, two), h("span", {}, `${code} − 1 = `, weight(code - 1)), h("span", { className: "of" }, `row ${m}`));
  });
  byte.dataset.value = value;
  fill(byte, ...pairs.reverse(), h("p", {}, `Byte ${value}: four weights of column ${column}, two bits each, the lowest bits last. A quarter of the matrix lies between their rows.`));
}
