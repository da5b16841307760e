// Ways to get it wrong: bugs of minibitnet/golden/zoo, each as the line of bitnet.mjs that it changes.
//
// Applied to the source, in a module of its own, a bug is a port that has it. `first` is the first stage that
// is not right, in a layer without its "layers.L."; `symptom` is what a user sees. Both are the zoo's.

const bug = (right, wrong, first, symptom) => ({ right, wrong, first, symptom });

export const BUGS = {
  "silu": bug(
    'activation: config.hidden_act === "relu2" ? relu2 : silu,', "activation: silu,",
    "relu2_gate", "Fluent text; perplexity 99.8 where 17.1 is right."),
  "no-sub-norms": bug(
    'const gain = (name) => weights[', 'const gain = (name) => !name.includes("sub_norm") && weights[',
    "attn_out.codes", "Nonsense, and norms that grow from layer to layer."),
  "rope-neighbours": bug(
    "const first = (t * heads + head) * d + j, second = first + pairs,",
    "const first = (t * heads + head) * d + 2 * j, second = first + 1,",
    "q.rope", "The first token or two are right, the rest is not."),
  "scale-divides": bug(
    'how.linear_class === "autobitlinear" ||', 'how.linear_class !== "autobitlinear" ||',
    "q", "Fluent text, other words."),
  "scale-missing": bug(
    "const scale = f32(xScale[t] * wScale);", "const scale = xScale[t];",
    "q", "Fluent text, other words: most of it is normed away, but not all."),
  "one-scale-for-all": bug(
    "for (let n = 0; n < N; n++) largest = Math.max(largest, Math.abs(x[t * N + n]));",
    "for (let n = 0; n < T * N; n++) largest = Math.max(largest, Math.abs(x[n]));",
    "attn_in.codes", "Nearly right; a prompt read at once gives another text than one read token by token."),
  "truncated-codes": bug(
    "clip(rint(f32(x[t * N + n] * factor)), -most - 1, most)", "clip(Math.trunc(f32(x[t * N + n] * factor)), -most - 1, most)",
    "attn_in.codes", "Nearly right: all codes are a little too small."),
  "high-bits-first": bug(
    "shift = 2 * Math.floor(m / R);", "shift = 6 - 2 * Math.floor(m / R);",
    "q.acc", "Nonsense. All counts of -1, 0 and +1 are right."),
  "neighbouring-rows": bug(
    "const r = m % R, shift = 2 * Math.floor(m / R);", "const r = Math.floor(m / 4), shift = 2 * (m % 4);",
    "q.acc", "Nonsense. All counts of -1, 0 and +1 are right."),
  "code-map": bug(
    "((packed[r * N + n] >> shift) & 3) - 1;", "[0, 1, -1, 0][(packed[r * N + n] >> shift) & 3];",
    "q.acc", "Nonsense, and norms that grow from layer to layer."),
  "int16-sums": bug(
    "acc[t * M + m] += sums[index[g * M + m]];", "acc[t * M + m] = ((acc[t * M + m] + sums[index[g * M + m]]) << 16) >> 16;",
    "q.acc", "Right for small models; garbage where a sum leaves 16 bits."),
  "position-restarts": bug(
    "(_, t) => start + t);", "(_, t) => t);",
    "q.rope", "The first new token is right; the rest repeats or falls apart."),
  "position-one-late": bug(
    "(_, t) => start + t);", "(_, t) => start + t + (start > 0));",
    "q.rope", "The first new token is right; the rest is a little worse."),
  "modulo-heads": bug(
    "const group = Math.floor(head / (H / G));", "const group = head % G;",
    "attn_weights", "Nonsense from the second token on."),
  "twice-the-heads": bug(
    "const H = config.num_attention_heads, G = config.num_key_value_heads,",
    "const H = 2 * config.num_attention_heads, G = 2 * config.num_key_value_heads,",
    "q.rope", "Nonsense from the second token on."),
  "no-causal-mask": bug(
    "const seen = S - T + t + 1;", "const seen = S;",
    "attn_weights", "A prompt read at once gives nonsense, token by token it does not."),
  "hidden-size-scores": bug(
    "scores[s] = score * d ** -0.5;", "scores[s] = score * (H * d) ** -0.5;",
    "attn_weights", "Dull text: every token looks at all others alike."),
  "gate-up-swapped": bug(
    "gate.map((g, i) => model.activation(g) * up[i])", "up.map((u, i) => model.activation(u) * gate[i])",
    "relu2_gate", "Nonsense, and norms of the usual size."),
  "eps-1e-6": bug(
    "eps = config.rms_norm_eps;", "eps = 1e-6;",
    "attn_norm", "Nearly right; worst where activations are small."),
  "no-final-norm": bug(
    'h = stage("final_norm", rmsNorm(h, T, D, model.norm, eps), T, D);', "",
    "logits", "The most likely token is mostly right, its probability is not."),
};

export function mutate(source, name) { // the source of bitnet.mjs -> one that has the bug
  const { right, wrong } = BUGS[name], found = source.split(right).length - 1;
  if (found !== 1) throw new Error(`${name}: expected its line once in bitnet.mjs, found it ${found} times`);
  return source.replace(right, () => wrong);
}

export function* differences(right, wrong, ids, prompt) { // two ports, { forward, model } each: a text read as it was written
  const caches = [[], []];
  for (let at = 0; at < ids.length; ) { // the prompt at once, then token by token
    const piece = ids.slice(at, at ? at + 1 : prompt), traces = [right, wrong].map(({ forward, model }, i) => {
      const trace = new Map();
      forward(model, piece, caches[i], (name, array) => trace.set(name, array));
      return trace;
    });
    at += piece.length;
    const [expected, found] = traces, wrongs = []; // what is not computed is not compared
    for (const [name, array] of found) {
      const i = array.findIndex((x, i) => !Object.is(x, expected.get(name)[i]));
      if (i >= 0) wrongs.push({ name, index: i, expected: expected.get(name)[i], found: array[i] });
    }
    yield { at: at - 1, wrongs, stages: [...expected.keys()] };
  }
}

export function firstDifference(right, wrong, ids, prompt) { // -> where: { at, wrongs, stages }; null if the two are one
  for (const difference of differences(right, wrong, ids, prompt)) if (difference.wrongs.length) return difference;
  return null;
}
