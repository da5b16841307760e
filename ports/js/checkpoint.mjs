// The files of a checkpoint, in bytes, to config and weights. What is not understood is refused.

import { shapesOf, widen } from "./bitnet.mjs";

const WIDTHS = { U8: 1, BF16: 2, F16: 2, F32: 4 };
const ARRAYS = { U8: Uint8Array, BF16: Uint16Array, F16: Uint16Array, F32: Float32Array };
const KNOWN = new Set( // the keys that are read, and those that change no number
  `architectures model_type hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads head_dim
  vocab_size hidden_act rms_norm_eps rope_theta rope_parameters rope_scaling quantization_config eos_token_id tie_word_embeddings
  max_position_embeddings bos_token_id pad_token_id auto_map attention_dropout dtype torch_dtype initializer_range
  transformers_version use_cache`.split(/\s+/),
);
const QUANTIZATION = new Set(["quant_method", "linear_class", "quantization_mode", "offline_quantization", "modules_to_not_convert"]);

function expect(right, what, found) {
  if (!right) throw new Error(`expected ${what}, found ${JSON.stringify(found)?.slice(0, 80)}`);
}

export const parse = (bytes) => JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));

const isWhole = (x) => Number.isSafeInteger(x) && x >= 0;

export function readTensors(bytes) { // one safetensors file: a header that says where each array is, and the arrays
  bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length); // whatever it was, its slices are copies
  expect(bytes.length >= 8, "a header of 8 bytes or more", bytes.length);
  const size = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  expect(size <= bytes.length - 8, "a header inside the file", size);
  const text = bytes.subarray(8, 8 + size), header = parse(text), data = bytes.subarray(8 + size), tensors = {};
  expect(header && typeof header === "object" && !Array.isArray(header), "an object as header", header);
  expect(text[0] === 123, "a header that begins with {", text[0]);
  refuseTwice(new TextDecoder().decode(text));
  let end = 0;
  const entries = Object.entries(header).filter(([name]) => name !== "__metadata__");
  for (const [name, { dtype, shape, data_offsets: [first, last] = [] }] of entries.sort((a, b) => start(a) - start(b))) {
    expect(dtype in WIDTHS, `${name}: U8, BF16, F16 or F32`, dtype);
    expect(Array.isArray(shape) && shape.length <= 2 && shape.every((n) => isWhole(n) && n > 0), `${name}: one or two axes`, shape);
    const count = shape.reduce((a, b) => a * b, 1);
    expect(first === end && last - first === count * WIDTHS[dtype], `${name}: ${count * WIDTHS[dtype]} bytes from ${end}`, [first, last]);
    expect(last <= data.length, `${name}: bytes inside the file`, last);
    tensors[name] = { dtype, shape, data: new ARRAYS[dtype](data.slice(first, last).buffer) };
    end = last;
  }
  expect(end === data.length, "arrays that end with the file", data.length - end);
  return tensors;
}

const start = ([, entry]) => entry?.data_offsets?.[0];

function refuseTwice(text) { // JSON.parse takes the last of two equal names
  const names = [...text.matchAll(/"((?:[^"\\]|\\.)*)"\s*:\s*\{\s*"(?:dtype|shape|data_offsets)"/g)].map(([, name]) => name);
  expect(new Set(names).size === names.length, "each name once", names);
}

export function readConfig(content, generation = {}) { // what JSON.parse makes of config.json, and of generation_config.json
  expect(content && typeof content === "object" && !Array.isArray(content), "an object", content);
  for (const [key, value] of Object.entries(content)) expect(KNOWN.has(key) || !value, "no such key", key);
  const config = { rope_theta: 500000, rms_norm_eps: 1e-5, ...content, ...content.rope_parameters }; // a missing key means these
  config.eos_token_id = generation.eos_token_id ?? config.eos_token_id; // 2B4T's config.json has one of its two
  const how = config.quantization_config ?? {}, numbers = ["hidden_size", "intermediate_size", "num_hidden_layers"];
  for (const key of [...numbers, "num_attention_heads", "num_key_value_heads", "vocab_size", "max_position_embeddings"])
    expect(isWhole(config[key]) && (config[key] > 0 || key === "num_hidden_layers"), `${key}: a whole number`, config[key]);
  const ends = [config.eos_token_id ?? []].flat(); // none: a text ends where there is no more room
  expect(ends.every((id) => isWhole(id) && id < config.vocab_size), "eos_token_id: ids of the vocabulary", config.eos_token_id);
  const heads = config.num_attention_heads, d = config.head_dim ?? config.hidden_size / heads;
  expect(heads % config.num_key_value_heads === 0, "heads in equal groups", config.num_key_value_heads);
  expect(isWhole(d) && d > 0 && d % 2 === 0, "heads of an even size", d);
  expect(["bitnet", "llama"].includes(config.model_type), "model_type bitnet or llama", config.model_type);
  expect(["relu2", "silu"].includes(config.hidden_act), "hidden_act relu2 or silu", config.hidden_act);
  expect((content.rope_parameters?.rope_type ?? "default") === "default" && !content.rope_scaling, "no scaling of RoPE", content.rope_scaling);
  for (const [key, value] of Object.entries(how)) expect(QUANTIZATION.has(key) || !value, "no such key", key);
  expect((how.quant_method ?? "bitnet") === "bitnet", "quant_method bitnet", how.quant_method);
  expect(["autobitlinear", "bitlinear", undefined].includes(how.linear_class), "autobitlinear or bitlinear", how.linear_class);
  expect(config.rms_norm_eps > 0 && config.rms_norm_eps < 1 && config.rope_theta >= 1, "rms_norm_eps and rope_theta in range", config.rms_norm_eps);
  return { ...config, quantization_config: how };
}

export function load(files) { // the bytes of each file by its name -> config and weights (name: dtype, shape, data)
  const generation = files["generation_config.json"] && parse(files["generation_config.json"]);
  const config = readConfig(parse(files["config.json"]), generation), weights = {};
  for (const name of Object.keys(files).filter((name) => name.endsWith(".safetensors")).sort())
    Object.assign(weights, readTensors(files[name]));
  for (const [name, { dtype, shape, data }] of Object.entries(weights)) {
    if (name.endsWith("weight_scale")) checkScale(widen({ dtype, data })[0]);
    if (dtype === "U8") checkPacked(data, shape[0], 4 * shape[0]);
  }
  checkShapes(config, weights);
  return { config, weights };
}

function checkShapes(config, weights) { // every array that the model needs, of its size, and no other
  const { D, F, H, d, matrices } = shapesOf(config), V = config.vocab_size;
  const needed = { "model.embed_tokens.weight": [V, D], "model.norm.weight": [D] }, allowed = { "lm_head.weight": [V, D] };
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const prefix = `model.layers.${layer}.`;
    expect(`${prefix}input_layernorm.weight` in weights, `${prefix}input_layernorm.weight`, "no such array"); // before there are lists of a million layers
    for (const [name, M, N] of Object.values(matrices)) {
      const packed = weights[`${prefix}${name}.weight`]?.dtype === "U8";
      needed[`${prefix}${name}.weight`] = packed ? [Math.ceil(M / 4), N] : [M, N];
      if (packed) needed[`${prefix}${name}.weight_scale`] = [1];
    }
    for (const name of ["input_layernorm", "post_attention_layernorm"]) needed[`${prefix}${name}.weight`] = [D];
    Object.assign(allowed, { [`${prefix}self_attn.attn_sub_norm.weight`]: [H * d], [`${prefix}mlp.ffn_sub_norm.weight`]: [F] });
  }
  const sizes = { ...needed, ...allowed };
  for (const name of Object.keys(needed)) expect(name in weights, name, "no such array");
  for (const [name, { dtype, shape }] of Object.entries(weights)) {
    expect(name in sizes, "no such array", name);
    expect((shape.length ? shape : [1]).join() === sizes[name].join(), `${name}: ${sizes[name].join(" x ")}`, shape);
    expect(dtype !== "U8" || /_proj\.weight$/.test(name), `${name}: numbers with a fraction`, dtype);
  }
}

export function checkPacked(packed, rows, M) {
  expect(rows === Math.ceil(M / 4), `${Math.ceil(M / 4)} rows of bytes`, rows);
  expect(packed.every((byte) => (byte & (byte >> 1) & 0x55) === 0), "codes 0, 1 and 2 in two bits", 3);
}

export function checkScale(scale) {
  expect(scale > 0 && scale < Infinity, "a scale above 0", String(scale));
}

export function checkIds(ids, V) {
  expect(ids.length > 0 && ids.every((id) => id >= 0 && id < V), `at least one id, from 0 to ${V - 1}`, [...ids].slice(0, 9));
}
