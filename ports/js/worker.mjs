// The model at work beside the page, so that the page never waits: it answers what engine.mjs asks.

import * as right from "./bitnet.mjs";
import { firstDifference } from "./bugs.mjs";
import { checkIds, load, parse } from "./checkpoint.mjs";
import { bytesOf, encode, readTokenizer } from "./tokenizer.mjs";

let config, weights, tokenizer, current; // `current` is what is being written
let kept; // the story that can be looked at: { functions, model, ids, cache }
const models = new Map(); // the right one, and the last with a bug, by its source

const { port1, port2 } = new MessageChannel(), paused = []; // several may write at once, until the older ones see it

port1.onmessage = () => paused.shift()();

function pause() { // a question may have come
  return new Promise((resolve) => {
    paused.push(resolve);
    port2.postMessage(0);
  });
}

async function portOf({ source, bits }) { // -> the functions of bitnet.mjs, or of what `source` makes of it, and a model
  const key = source ?? "right";
  if (!models.has(key)) {
    const url = source && URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const functions = url ? await import(url) : right;
    for (const old of models.keys()) if (old !== "right") models.delete(old); // they are large
    models.set(key, { functions, model: functions.prepare(config, weights) });
  }
  const { functions, model } = models.get(key);
  return { functions, model: bits ? { ...model, bits } : model };
}

function spell(ids) { // what ids stand for: bytes, or a name
  const names = new Map([...tokenizer.special].map(([name, id]) => [id, name]));
  return ids.map((id) => ({ id, bytes: bytesOf(tokenizer, id), name: names.get(id) ?? null }));
}

function choice({ temperature, topK, topP }) {
  if (!temperature) return right.greedy;
  return (logits) => right.pick(right.probabilities(logits, temperature, topK, topP), Math.random());
}

const ANSWERS = {
  async load({ files }) { // the bytes of each file by its name; what was there before stays if they are refused
    for (const name of ["config.json", "tokenizer.json"]) if (!files[name]) throw new Error(`expected ${name} among the files`);
    if (!Object.keys(files).some((name) => name.endsWith(".safetensors"))) throw new Error("expected model.safetensors among the files");
    const loaded = load(files), speaks = readTokenizer(parse(files["tokenizer.json"])), made = right.prepare(loaded.config, loaded.weights);
    right.forward(made, [0], []); // a file may lack an array, or have one of another size
    ({ config, weights } = loaded);
    tokenizer = speaks;
    models.clear();
    kept = undefined;
    models.set("right", { functions: right, model: made });
    const { D, F, H, G, d } = made, ternary = made.layers.flatMap((layer) => Object.values(layer.matrices));
    return {
      D, F, H, G, d, L: made.layers.length, V: config.vocab_size, context: config.max_position_embeddings,
      ends: [config.eos_token_id].flat(), ternary: ternary.reduce((sum, { M, N }) => sum + M * N, 0),
      weights: Object.values(loaded.weights).reduce((sum, { dtype, data }) => sum + (dtype === "U8" ? 4 : 1) * data.length, 0),
      bytes: Object.values(files).reduce((sum, file) => sum + file.length, 0),
    };
  },

  async write({ story, text, ids = encode(tokenizer, text), prompt = ids.length, n, port = {}, keep = false, ...how }, tell) {
    current = story;
    checkIds(ids, config.vocab_size);
    const context = config.max_position_embeddings, choose = choice(how);
    if (ids.length > context) throw new Error(`the beginning has ${ids.length} tokens, and there is room for ${context}`);
    tell({ begun: spell(ids), prompt });
    const { functions, model } = await portOf(port), cache = [], all = [...ids];
    if (keep) kept = { story, functions, model, ids: all, cache };
    for (let unread = ids; all.length < Math.min(context + 1, ids.length + n) && current === story; ) { // the last is not read
      const token = choose(functions.forward(model, unread, cache).subarray(-config.vocab_size));
      all.push(token);
      tell({ token: spell([token])[0] });
      if ([config.eos_token_id].flat().includes(token)) return "end";
      unread = [token];
      await pause();
    }
    return current !== story ? "stopped" : all.length > context ? "full" : "long";
  },

  async stop() {
    current = null;
  },

  async spell({ ids }) {
    return spell(ids);
  },

  async look({ story, at }) { // every array that was made of token `at`: it is read once more, the cache cut off before it
    if (kept?.story !== story) return null; // another one has begun
    const { functions, model, ids, cache } = kept, { G, d } = model, rows = at * G * d, stages = [];
    const before = at ? cache.map(({ k, v }) => ({ k: k.subarray(0, rows), v: v.subarray(0, rows) })) : [];
    functions.forward(model, [ids[at]], before, (name, array, shape) => stages.push({ name, array: array.slice(), shape }));
    return stages;
  },

  async matrix({ layer, stage }) {
    const { M, N, codes, scale } = (await portOf({})).model.layers[layer].matrices[stage];
    return { M, N, codes, scale };
  },

  async compare({ source, ids, prompt }) { // where does what `source` computes part from what is right?
    const [expected, found] = [await portOf({}), await portOf({ source })];
    return firstDifference(...[expected, found].map(({ functions, model }) => ({ forward: functions.forward, model })), ids, prompt);
  },
};

self.onmessage = async ({ data: { number, ask, ...question } }) => {
  try {
    const answer = await ANSWERS[ask](question, (news) => self.postMessage({ number, news }));
    self.postMessage({ number, answer });
  } catch (error) {
    self.postMessage({ number, error: error.message });
  }
};
