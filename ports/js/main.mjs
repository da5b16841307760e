// The port as a program, for Node.js:
//
//     node ports/js/main.mjs DIR TEXT-OR-IDS [N]        the next N tokens (20), each the most likely
//     node ports/js/main.mjs --trace FILE DIR IDS       every array of the computation
//     node ports/js/main.mjs --vectors SET OUT          answers to a set of test vectors

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import * as b from "./bitnet.mjs";
import { checkIds, checkPacked, checkScale, load, parse, readConfig, readTensors } from "./checkpoint.mjs";
import { chat, decode, encode, readTokenizer } from "./tokenizer.mjs";

const files = (directory) =>
  Object.fromEntries(
    readdirSync(directory)
      .filter((name) => name.endsWith(".json") || name.endsWith(".safetensors"))
      .map((name) => [name, readFileSync(join(directory, name))]),
  );

function open(directory) { // -> the model and its tokenizer
  const found = files(directory), { config, weights } = load(found), tokenizer = found["tokenizer.json"];
  return { model: b.prepare(config, weights), tokenizer: tokenizer && readTokenizer(parse(tokenizer)) };
}

// ---- text ----

function write(directory, prompt, n = "20") {
  const { model, tokenizer } = open(directory), isIds = /^\d+(,\d+)*$/.test(prompt);
  const ids = isIds ? prompt.split(",").map(Number) : encode(tokenizer, prompt), all = [...ids];
  checkIds(ids, model.config.vocab_size);
  for (const token of b.generate(model, ids, Number(n))) all.push(token);
  console.log(isIds ? all.slice(ids.length).join(" ") : decode(tokenizer, all));
}

// ---- traces: for each array a line NAME DTYPE DIM DIM ..., then its bytes ----

const DTYPES = { Int8Array: "int8", Int32Array: "int32", Float32Array: "float32" };

const raw = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength);

function writeTrace(file, directory, list) {
  const ids = list.split(",").map(Number), parts = [];
  const { model } = open(directory);
  checkIds(ids, model.config.vocab_size);
  parts.push(Buffer.from(`ids int64 ${ids.length}\n`), raw(BigInt64Array.from(ids, BigInt)));
  b.forward(model, ids, [], (name, array, shape) => {
    parts.push(Buffer.from(`${name} ${DTYPES[array.constructor.name]} ${shape.join(" ")}\n`), raw(array.slice()));
  });
  writeFileSync(file, Buffer.concat(parts));
}

// ---- test vectors ----

const ARRAYS = {
  int8: Int8Array, uint8: Uint8Array, uint16: Uint16Array, int32: Int32Array, float32: Float32Array, float64: Float64Array,
};

function draw({ kind, seed }, count) { // large inputs are not in files
  let s = seed >>> 0;
  return Uint8Array.from({ length: count }, () => {
    s = (Math.imul(1664525, s) + 1013904223) >>> 0;
    const v = ((s >>> 16) * 81) >>> 16; // four digits of base 3
    return kind === "codes" ? s >>> 24 : (v % 3) | (Math.floor(v / 3) % 3 << 2) | (Math.floor(v / 9) % 3 << 4) | (Math.floor(v / 27) << 6);
  });
}

function input(set, { dtype, shape, file, generator }) {
  const bytes = generator ? draw(generator, shape.reduce((a, c) => a * c, 1)) : readFileSync(join(set, file));
  return new ARRAYS[dtype](Uint8Array.from(bytes).buffer);
}

const text = (bytes) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);

function refused(check) {
  try {
    check();
    return Uint8Array.of(0);
  } catch {
    return Uint8Array.of(1);
  }
}

const CHECKS = { // what must be refused, by the name of the input
  packed: (x, p, shape) => checkPacked(x, shape[0], p.M),
  w_scale: (x) => checkScale(x[0]),
  ids: (x, p, shape, model) => checkIds(x, model().config.vocab_size),
  safetensors: (x) => readTensors(x),
  config: (x) => readConfig(parse(x)),
  tokenizer: (x) => readTokenizer(parse(x)),
};

const OPERATIONS = { // inputs x, their shapes n, parameters p, `open` of the model -> outputs by name
  unpack: (x, n, p) => ({ codes: b.unpack(x.packed, p.M, n.packed[1]) }),
  pack: (x, n) => ({ packed: b.pack(x.codes, ...n.codes) }),
  quantize_activations: (x, n) => b.quantizeActivations(x.x, ...n.x),
  quantize_weights: (x) => {
    const { codes, scale } = b.quantizeWeights(x.W);
    return { codes, scale: Float32Array.of(scale) };
  },
  product: (x, n, p) => {
    const [T, N] = n.x_codes, codes = b.unpack(x.packed, p.M, N);
    return { acc: b.tables(codes, p.M, N)(x.x_codes, T) };
  },
  rescale: (x, n, p) => ({ y: b.rescale(x.acc, ...n.acc, x.x_scale, p.divides ? Math.fround(1 / x.w_scale[0]) : x.w_scale[0]) }),
  rms_norm: (x, n, p) => ({ y: b.rmsNorm(x.x, ...n.x, x.gain, p.eps) }),
  rotations: (x, n, p) => b.rotations(x.positions, p.d, p.theta),
  rotate: (x, n) => ({ y: b.rotate(x.x, ...n.x, x) }),
  attend: (x, n) => b.attend(x.q, x.k, x.v, n.q[0], n.k[0], n.q[1], n.k[1], n.q[2]),
  relu2_gate: (x, n, p) => {
    const activation = p.activation === "relu2" ? b.relu2 : b.silu;
    return { y: x.gate.map((gate, i) => activation(gate) * x.up[i]) };
  },
  widen: (x) => ({ values: b.widen({ dtype: "BF16", data: x.bits }) }),
  logits: (x, n) => ({ logits: b.logitsOf(x.h, ...n.h, b.widen({ dtype: "BF16", data: x.head })) }),
  greedy: (x) => ({ id: Int32Array.of(b.greedy(x.logits)) }),
  probabilities: (x, n, p) => ({ p: b.probabilities(x.logits, p.temperature, p.top_k, p.top_p) }),
  pick: (x) => ({ id: Int32Array.of(b.pick(x.p, x.u[0])) }),
  encode: (x, n, p, open) => ({ ids: Int32Array.from(encode(open().tokenizer, text(x.text), p.bos)) }),
  decode: (x, n, p, open) => ({ text: new TextEncoder().encode(decode(open().tokenizer, x.ids)) }),
  chat: (x, n, p, open) => ({ ids: Int32Array.from(chat(open().tokenizer, JSON.parse(text(x.messages)))) }),
  forward: (x, n, p, open) => {
    const { model } = open(), cache = [], outputs = {};
    let at = 0;
    for (const size of p.pieces) {
      b.forward(model, x.ids.subarray(at, (at += size)), cache, (name, array) => (outputs[name] ??= []).push(raw(array.slice())));
    }
    return Object.fromEntries(Object.entries(outputs).map(([name, rows]) => [name, Uint8Array.from(Buffer.concat(rows))]));
  },
  generate: (x, n, p, open) => ({ ids: Int32Array.from(b.generate(open().model, [...x.ids], p.n)) }),
  refuse: (x, n, p, open) => {
    const [kind] = Object.keys(x);
    return { refused: refused(() => CHECKS[kind](x[kind], p, n[kind], () => open().model)) };
  },
};

function answerVectors(set, out) {
  const opened = {};
  for (const { operation, parameters, inputs, outputs } of parse(readFileSync(join(set, "manifest.json"))).vectors) {
    const named = (make) => Object.fromEntries(Object.entries(inputs).map(([name, x]) => [name, make(x)]));
    const model = () => (opened[parameters.model] ??= open(join(set, parameters.model)));
    const answers = OPERATIONS[operation]?.(named((x) => input(set, x)), named((x) => x.shape), parameters, model) ?? {};
    for (const [name, { file }] of Object.entries(outputs)) {
      if (!answers[name]) continue; // not attempted
      mkdirSync(dirname(join(out, file)), { recursive: true });
      writeFileSync(join(out, file), raw(answers[name]));
    }
  }
}

try {
  const [first, ...rest] = process.argv.slice(2);
  if (first === "--trace") writeTrace(...rest);
  else if (first === "--vectors") answerVectors(...rest);
  else write(first, ...rest);
} catch (error) {
  console.error(`bitnet.mjs: ${error.message}`);
  process.exitCode = 1;
}
