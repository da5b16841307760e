// The stages of a block in words: what each array is, and how it is made. The names are the ones they have everywhere.

const sums = (matrix) => [`Σ codes · w`, `For each row of ${matrix}: the codes are added where the weight is +1, subtracted where it is −1, skipped where it is 0.`];
const scaled = (matrix) => ["acc · scales", `The sums become real numbers: times the scale of the token, times the scale of ${matrix}.`];
const CODES = ["rint(x / scale)", "Each number becomes a whole one from −127 to 127, so that all that follows in the product is exact."];
const SCALE = ["max |x| / 127", "What one step of the codes is worth: the largest number of this token, over 127."];
const norm = (of) => [`RMSNorm(${of})`, "Divided by the root of the mean square, times a learned gain: all tokens get the same loudness."];

const OUTSIDE = {
  embed: ["E[id]", "The token's own row of the embedding: the only place where the model looks up what a word is."],
  final_norm: norm("h"),
  logits: ["E · final_norm", "How well the result fits each token of the vocabulary: the same embedding once more."],
};

const ATTENTION = {
  attn_norm: norm("h"),
  "attn_in.codes": CODES, "attn_in.scale": SCALE,
  "q.acc": sums("q"), q: scaled("q"), "k.acc": sums("k"), k: scaled("k"), "v.acc": sums("v"), v: scaled("v"),
  "q.rope": ["turned by position", "Pairs of numbers are turned by an angle that grows with the position, so that q · k tells how far apart two tokens are."],
  "k.rope": ["turned by position", "The key is turned in the same way, and kept for all tokens that follow."],
  attn_weights: ["softmax(q · k / √d)", "How much each head reads of each earlier token; for each head they add up to 1."],
  attn: ["Σ attn_weights · v", "What the heads have read: the values of the earlier tokens, mixed by these weights."],
  attn_sub_norm: norm("x"),
  "attn_out.codes": CODES, "attn_out.scale": SCALE,
  "o.acc": sums("o"), o: scaled("o"),
  attn_residual: ["h + o", "What was read is added to what the token carries, and nothing is ever taken away from the line but by adding."],
};

const FEED_FORWARD = {
  ffn_norm: norm("h"),
  "ffn_in.codes": CODES, "ffn_in.scale": SCALE,
  "gate.acc": sums("gate"), gate: scaled("gate"), "up.acc": sums("up"), up: scaled("up"),
  relu2_gate: ["max(0, gate)² · up", "Where the gate is negative, nothing goes on: most of these numbers are exactly 0."],
  ffn_sub_norm: norm("x"),
  "ffn_out.codes": CODES, "ffn_out.scale": SCALE,
  "down.acc": sums("down"), down: scaled("down"),
  ffn_residual: ["h + down", "What this block makes of it is added, and the next block reads on from here."],
};

export const GROUPS = [
  ["Attention", "what earlier words say", ATTENTION],
  ["Feed-forward", "what the block makes of it", FEED_FORWARD],
];
const WORDS = { ...OUTSIDE, ...ATTENTION, ...FEED_FORWARD };

export const bare = (name) => name.replace(/^layers\.\d+\./, "");

export const formula = (name) => WORDS[bare(name)][0];

export const meaning = (name) => WORDS[bare(name)][1];

export function exactness(array) { // what kind of number it is, if it is a whole one
  return { Int8Array: "int8", Int32Array: "int32" }[array.constructor.name] ?? null;
}
