// BitNet b1.58 2B4T in JavaScript: one_page.py again, function for function and name for name.
//
// JavaScript computes in float64. One operation on float32 numbers, computed in float64 and rounded, is
// the float32 operation: `f32` rounds a number, a Float32Array whatever is put into it. Sums of floats are
// carried in float64 and rounded once, as on the page.
//
// T tokens now, S tokens so far, D hidden size, H query heads, G key/value heads, d head size,
// F feed-forward size, V vocabulary size; a matrix has M rows (outputs) and N columns (inputs).
// Arrays are flat, the last axis runs fastest: x (T, N) has x[t * N + n].

const f32 = Math.fround;
const TIES_TO_EVEN = 1.5 * 2 ** 52; // a float64 of this size has no fraction left, so adding it rounds

export const rint = (x) => x + TIES_TO_EVEN - TIES_TO_EVEN;

const clip = (x, low, high) => Math.min(Math.max(x, low), high);

// ---- weights ----

const view = new DataView(new ArrayBuffer(4));

export function half(bits) { // float16: a sign, 5 bits of exponent, 10 of fraction
  const exponent = (bits >> 10) & 31, fraction = bits & 1023;
  const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
  return bits & 0x8000 ? -size : size;
}

export function widen({ dtype, data }) { // bfloat16, the upper half of a float32, is kept as its 16 bits
  if (dtype === "BF16") return new Float32Array(Uint32Array.from(data, (bits) => bits << 16).buffer);
  return Float32Array.from(data, dtype === "F16" ? half : (x) => x);
}

export function unpack(packed, M, N) { // (M / 4, N) bytes -> (M, N) codes: a byte has rows r, R + r, 2R + r, 3R + r
  const codes = new Int8Array(M * N), R = Math.ceil(M / 4);
  for (let m = 0; m < M; m++) {
    const r = m % R, shift = 2 * Math.floor(m / R);
    for (let n = 0; n < N; n++) codes[m * N + n] = ((packed[r * N + n] >> shift) & 3) - 1; // stored as code + 1
  }
  return codes;
}

export function pack(codes, M, N) { // the other way round
  const R = Math.ceil(M / 4), packed = new Uint8Array(R * N);
  for (let m = 0; m < M; m++)
    for (let n = 0; n < N; n++) packed[(m % R) * N + n] |= (codes[m * N + n] + 1) << (2 * Math.floor(m / R));
  return packed;
}

export function quantizeWeights(W) { // float32 (M, N) -> codes -1, 0, +1 and one scale: only for masters
  let sum = 0;
  for (const w of W) sum += Math.abs(w);
  const scale = Math.max(f32(sum / W.length), f32(1e-5));
  return { codes: Int8Array.from(W, (w) => clip(rint(f32(w / scale)), -1, 1)), scale };
}

export function ternary(config, weights, name, M, N) { // -> codes (M, N) and the scale that multiplies them
  const stored = weights[name + ".weight"];
  if (stored.dtype !== "U8") return quantizeWeights(widen(stored)); // a master in full precision
  const scale = widen(weights[name + ".weight_scale"])[0];
  const how = config.quantization_config; // in 2B4T, and where it is so called, it multiplies
  const multiplies = how.linear_class === "autobitlinear" || "offline_quantization" in how;
  return { codes: unpack(stored.data, M, N), scale: multiplies ? scale : f32(1 / scale) };
}

// ---- the product: x_codes (T, N) and codes (M, N) -> acc int32 (T, M) ----

export function masks(codes, M, N) { // the definition: add where the weight is +1, subtract where it is -1, skip 0
  return (x, T) => {
    const acc = new Int32Array(T * M);
    for (let t = 0; t < T; t++)
      for (let m = 0; m < M; m++)
        for (let n = 0; n < N; n++) {
          const w = codes[m * N + n];
          if (w === 1) acc[t * M + m] += x[t * N + n];
          if (w === -1) acc[t * M + m] -= x[t * N + n];
        }
    return acc;
  };
}

const GROUP = 5, SUMS = 3 ** GROUP; // five weights are one of 243 numbers, which fit in a byte

export function tables(codes, M, N) { // the same, faster: all sums that five columns can give, then one of them a row
  const groups = Math.ceil(N / GROUP), index = new Uint8Array(groups * M), sums = new Int32Array(SUMS);
  for (let g = 0; g < groups; g++)
    for (let m = 0; m < M; m++)
      for (let n = (g + 1) * GROUP - 1; n >= g * GROUP; n--) { // columns beyond N have weight 0
        const w = n < N ? codes[m * N + n] : 0;
        index[g * M + m] = 3 * index[g * M + m] + w + 1;
      }
  return (x, T) => {
    const acc = new Int32Array(T * M);
    for (let t = 0; t < T; t++)
      for (let g = 0; g < groups; g++) {
        sums[0] = 0;
        for (let j = 0, size = 1; j < GROUP; j++, size *= 3) {
          const n = g * GROUP + j, value = n < N ? x[t * N + n] : 0;
          for (let i = 0; i < size; i++) {
            const sum = sums[i];
            sums[i] = sum - value; // digit 0: the weight is -1
            sums[size + i] = sum;
            sums[2 * size + i] = sum + value;
          }
        }
        for (let m = 0; m < M; m++) acc[t * M + m] += sums[index[g * M + m]];
      }
    return acc;
  };
}

// ---- the steps ----

export function quantizeActivations(x, T, N, bits = 8) { // -> int8 codes (T, N) and a scale per token (T, 1)
  const codes = new Int8Array(T * N), scale = new Float32Array(T), most = 2 ** (bits - 1) - 1; // 127
  for (let t = 0; t < T; t++) {
    let largest = f32(1e-5);
    for (let n = 0; n < N; n++) largest = Math.max(largest, Math.abs(x[t * N + n]));
    const factor = f32(most / largest);
    for (let n = 0; n < N; n++) codes[t * N + n] = clip(rint(f32(x[t * N + n] * factor)), -most - 1, most);
    scale[t] = largest / most;
  }
  return { codes, scale };
}

export function rescale(acc, T, M, xScale, wScale) {
  const y = new Float32Array(T * M);
  for (let t = 0; t < T; t++) {
    const scale = f32(xScale[t] * wScale);
    for (let m = 0; m < M; m++) y[t * M + m] = f32(acc[t * M + m]) * scale;
  }
  return y;
}

export function rmsNorm(x, T, N, gain, eps) {
  const y = new Float32Array(T * N);
  for (let t = 0; t < T; t++) {
    let squares = 0;
    for (let n = 0; n < N; n++) squares += x[t * N + n] ** 2;
    const root = f32(Math.sqrt(squares / N + eps));
    for (let n = 0; n < N; n++) y[t * N + n] = f32(x[t * N + n] / root) * gain[n];
  }
  return y;
}

export function rotations(positions, d, theta) { // cosine and sine (T, d / 2) of each pair's angle
  const T = positions.length, cos = new Float32Array((T * d) / 2), sin = new Float32Array((T * d) / 2);
  for (let j = 0; j < d / 2; j++) {
    const frequency = f32(1 / f32(theta ** f32((2 * j) / d)));
    for (let t = 0; t < T; t++) {
      const angle = f32(positions[t] * frequency);
      cos[(t * d) / 2 + j] = Math.cos(angle);
      sin[(t * d) / 2 + j] = Math.sin(angle);
    }
  }
  return { cos, sin };
}

export function rotate(x, T, heads, d, { cos, sin }) { // coordinate j is paired with j + d / 2, not with j + 1
  const y = new Float32Array(x.length), pairs = d / 2;
  for (let t = 0; t < T; t++)
    for (let head = 0; head < heads; head++)
      for (let j = 0; j < pairs; j++) {
        const first = (t * heads + head) * d + j, second = first + pairs, c = cos[t * pairs + j], s = sin[t * pairs + j];
        y[first] = f32(x[first] * c) - f32(x[second] * s); // rounded before they are added
        y[second] = f32(x[second] * c) + f32(x[first] * s);
      }
  return y;
}

export function softmax(scores) { // float64 (S,)
  const largest = scores.reduce((a, b) => Math.max(a, b));
  const powers = scores.map((score) => Math.exp(score - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

export function attend(q, k, v, T, S, H, G, d) { // q (T, H, d), k and v (S, G, d) -> attn (T, H * d), attn_weights (H, T, S)
  const attn = new Float32Array(T * H * d), attnWeights = new Float32Array(H * T * S);
  for (let head = 0; head < H; head++) {
    const group = Math.floor(head / (H / G)); // H / G neighbours share a key and a value
    for (let t = 0; t < T; t++) {
      const seen = S - T + t + 1; // a token sees itself and those before it
      const scores = new Float64Array(seen), sums = new Float64Array(d), query = (t * H + head) * d;
      for (let s = 0; s < seen; s++) {
        let score = 0;
        for (let j = 0; j < d; j++) score += k[(s * G + group) * d + j] * q[query + j];
        scores[s] = score * d ** -0.5;
      }
      const probabilities = softmax(scores);
      attnWeights.set(probabilities, (head * T + t) * S); // only to be looked at
      for (let s = 0; s < seen; s++)
        for (let j = 0; j < d; j++) sums[j] += probabilities[s] * v[(s * G + group) * d + j];
      attn.set(sums, query);
    }
  }
  return { attn, attnWeights };
}

export const relu2 = (gate) => f32(Math.max(gate, 0) ** 2);

export const silu = (gate) => f32(gate / (1 + Math.exp(-gate))); // other models only: in 2B4T it gives fluent nonsense

const add = (a, b) => a.map((x, i) => x + b[i]);

function join(a, b) { // one behind the other
  const both = new a.constructor(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

export function logitsOf(h, T, D, head) { // h (T, D), head (V, D) -> (T, V)
  const V = head.length / D, logits = new Float32Array(T * V);
  for (let t = 0; t < T; t++)
    for (let row = 0; row < V; row++) {
      let sum = 0;
      for (let n = 0; n < D; n++) sum += h[t * D + n] * head[row * D + n];
      logits[t * V + row] = sum;
    }
  return logits;
}

// ---- the model ----

export function shapesOf(config) { // sizes by their letters, and of each matrix, by stage, the name in the file, M and N
  const D = config.hidden_size, F = config.intermediate_size;
  const H = config.num_attention_heads, G = config.num_key_value_heads, d = config.head_dim ?? D / H;
  const matrices = {
    q: ["self_attn.q_proj", H * d, D], k: ["self_attn.k_proj", G * d, D], v: ["self_attn.v_proj", G * d, D],
    o: ["self_attn.o_proj", D, H * d], gate: ["mlp.gate_proj", F, D], up: ["mlp.up_proj", F, D],
    down: ["mlp.down_proj", D, F],
  };
  return { D, F, H, G, d, matrices };
}

// What is laid out once and used for every token: widened arrays, and a function for each ternary matrix.
export function prepare(config, weights, product = tables) {
  const { D, F, H, G, d, matrices: shapes } = shapesOf(config);
  const layers = [];
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const prefix = `model.layers.${layer}.`, matrices = {};
    for (const [stage, [name, M, N]] of Object.entries(shapes)) {
      const { codes, scale } = ternary(config, weights, prefix + name, M, N);
      matrices[stage] = { M, N, codes, scale, multiply: product(codes, M, N) };
    }
    const gain = (name) => weights[prefix + name + ".weight"] && widen(weights[prefix + name + ".weight"]);
    layers.push({
      matrices,
      input_layernorm: gain("input_layernorm"), attn_sub_norm: gain("self_attn.attn_sub_norm"),
      post_attention_layernorm: gain("post_attention_layernorm"), ffn_sub_norm: gain("mlp.ffn_sub_norm"),
    });
  }
  const embedding = widen(weights["model.embed_tokens.weight"]), head = weights["lm_head.weight"];
  return {
    config, D, F, H, G, d, layers, embedding, norm: widen(weights["model.norm.weight"]),
    lmHead: head ? widen(head) : embedding, // in 2B4T the embedding once more
    activation: config.hidden_act === "relu2" ? relu2 : silu, bits: 8,
  };
}

export function forward(model, ids, cache, trace = null) { // ids (T,) -> logits (T, V)
  const { config, D, F, H, G, d } = model, T = ids.length, eps = config.rms_norm_eps;
  const start = cache.length ? cache[0].k.length / (G * d) : 0, S = start + T; // the cache holds `start` tokens
  let prefix = "", layer;

  function stage(name, array, ...shape) { // every array of the computation has a name
    if (trace) trace(prefix + name, array, shape);
    return array;
  }

  function linear(x, name, ...outputs) { // matrices that read the same input
    const { N } = layer.matrices[outputs[0]];
    const { codes, scale } = quantizeActivations(x, T, N, model.bits);
    stage(name + ".codes", codes, T, N);
    stage(name + ".scale", scale, T, 1);
    return outputs.map((output) => {
      const { M, multiply, scale: wScale } = layer.matrices[output];
      const acc = stage(output + ".acc", multiply(codes, T), T, M);
      return stage(output, rescale(acc, T, M, scale, wScale), T, M);
    });
  }

  const positions = Int32Array.from({ length: T }, (_, t) => start + t);
  const turns = rotations(positions, d, config.rope_theta);
  let h = new Float32Array(T * D);
  for (let t = 0; t < T; t++) h.set(model.embedding.subarray(ids[t] * D, (ids[t] + 1) * D), t * D);
  stage("embed", h, T, D);
  for (let l = 0; l < model.layers.length; l++) {
    prefix = `layers.${l}.`;
    layer = model.layers[l];

    let x = stage("attn_norm", rmsNorm(h, T, D, layer.input_layernorm, eps), T, D);
    let [q, k, v] = linear(x, "attn_in", "q", "k", "v");
    q = stage("q.rope", rotate(q, T, H, d, turns), T, H, d);
    k = stage("k.rope", rotate(k, T, G, d, turns), T, G, d);
    if (start) [k, v] = [join(cache[l].k, k), join(cache[l].v, v)];
    cache[l] = { k, v }; // (S, G, d) each
    const { attn, attnWeights } = attend(q, k, v, T, S, H, G, d);
    stage("attn_weights", attnWeights, H, T, S);
    x = stage("attn", attn, T, H * d);
    if (layer.attn_sub_norm) x = stage("attn_sub_norm", rmsNorm(x, T, H * d, layer.attn_sub_norm, eps), T, H * d);
    const [o] = linear(x, "attn_out", "o");
    h = stage("attn_residual", add(h, o), T, D);

    x = stage("ffn_norm", rmsNorm(h, T, D, layer.post_attention_layernorm, eps), T, D);
    const [gate, up] = linear(x, "ffn_in", "gate", "up");
    x = stage("relu2_gate", gate.map((g, i) => model.activation(g) * up[i]), T, F);
    if (layer.ffn_sub_norm) x = stage("ffn_sub_norm", rmsNorm(x, T, F, layer.ffn_sub_norm, eps), T, F);
    const [down] = linear(x, "ffn_out", "down");
    h = stage("ffn_residual", add(h, down), T, D);
  }
  prefix = "";
  h = stage("final_norm", rmsNorm(h, T, D, model.norm, eps), T, D);
  return stage("logits", logitsOf(h, T, D, model.lmHead), T, config.vocab_size);
}

// ---- the next token ----

export function greedy(logits) { // the largest; of equals the first
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
  return best;
}

export function probabilities(logits, temperature, topK, topP) { // (V,) -> p float64 (V,), what may come next
  const largest = logits[greedy(logits)], kept = new Float64Array(logits.length);
  const order = [...logits.keys()].sort((a, b) => logits[b] - logits[a] || a - b); // of equals the lowest id first
  const likely = order.slice(0, topK || order.length);
  const powers = softmax(likely.map((i) => (logits[i] - largest) / temperature));
  let before = 0; // the mass of those more likely
  likely.forEach((i, rank) => {
    if (before < topP || topP === 1) kept[i] = powers[rank];
    before += powers[rank];
  });
  const sum = kept.reduce((a, b) => a + b, 0);
  return kept.map((power) => power / sum);
}

export function pick(p, u) { // the first token whose running sum of p is above u, from 0 to 1
  let sum = 0;
  return p.findIndex((x) => (sum += x) > u);
}

export function* generate(model, ids, n, choose = greedy) { // at most n new ids, as they come
  const ends = [model.config.eos_token_id].flat(), cache = [], V = model.config.vocab_size;
  for (let unread = ids, i = 0; i < n; i++) {
    const token = choose(forward(model, unread, cache).subarray(-V));
    yield token;
    if (ends.includes(token)) return;
    unread = [token];
  }
}
