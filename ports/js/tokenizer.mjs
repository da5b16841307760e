// Byte-pair encoding: text to ids and back, from tokenizer.json (minibitnet/bpe.py), and the chat template of 2B4T.

const L = "\\p{L}", N = "\\p{N}"; // a letter, a number
const SPACE = "\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"; // Unicode's; JavaScript's \s is another
const LLAMA_3 = // the pattern of Llama 3, as tokenizer.json has it
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const PIECE = new RegExp(
  "'(?:[sSſ]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])" + // the end of a contraction
    `|[^\\r\\n${L}${N}]?${L}+` + // a word, with one space or sign before it
    `|${N}{1,3}` + // a number, three digits at a time
    `| ?[^${SPACE}${L}${N}]+[\\r\\n]*` + // signs, with a space before and line ends after
    `|[${SPACE}]*[\\r\\n]+` + // line ends, with the white space before
    `|[${SPACE}]+(?![^${SPACE}])` + // white space, its last left to what follows
    `|[${SPACE}]+`,
  "gu",
);

// A token is spelled with a letter for each byte: its own where that can be seen, else one from U+0100 on.
const LETTERS = [];
for (let byte = 0, unseen = 0x100; byte < 256; byte++) {
  const seen = (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173);
  LETTERS.push(String.fromCharCode(seen ? byte : unseen++));
}
const BYTES = new Map(LETTERS.map((letter, byte) => [letter, byte]));

const expect = (right, what) => {
  if (!right) throw new Error(`tokenizer.json: expected ${what}`);
};

export function readTokenizer(content) { // what JSON.parse makes of tokenizer.json -> a tokenizer
  const model = content?.model, steps = content?.pre_tokenizer?.pretokenizers ?? [];
  expect(model?.type === "BPE" && content.decoder?.type === "ByteLevel", "byte-level BPE");
  expect(!content.normalizer, "no normalizer");
  expect(steps.length === 2 && steps[0].pattern?.Regex === LLAMA_3 && steps[1].type === "ByteLevel", "the pattern of Llama 3");
  const vocabulary = new Map(Object.entries(model.vocab)), spelled = [], special = new Map();
  for (const [token, id] of vocabulary) {
    expect([...token].every((letter) => BYTES.has(letter)), "letters that stand for bytes");
    spelled[id] = token;
  }
  for (const letter of LETTERS) expect(vocabulary.has(letter), "a token for each byte");
  for (const { id, content: text } of content.added_tokens) {
    special.set(text, id);
    spelled[id] = ""; // it stands for no text
  }
  const ranks = new Map(model.merges.map((pair, rank) => [Array.isArray(pair) ? pair.join(" ") : pair, rank]));
  const first = content.post_processor?.special_tokens ?? {}; // what to put before a text
  const bos = Object.values(first).flatMap((token) => token.ids);
  return { vocabulary, ranks, spelled, special, bos, ignoreMerges: model.ignore_merges === true };
}

function merge(letters, ranks) { // tokens of a piece: its letters, merged two by two, the lowest rank first
  const tokens = [...letters];
  for (;;) {
    let best = Infinity, at = -1;
    for (let i = 0; i + 1 < tokens.length; i++) {
      const rank = ranks.get(tokens[i] + " " + tokens[i + 1]);
      if (rank < best) [best, at] = [rank, i];
    }
    if (at < 0) return tokens;
    tokens.splice(at, 2, tokens[at] + tokens[at + 1]);
  }
}

function encodeOrdinary(tokenizer, text) { // a special token spelled out is text as any
  const { vocabulary, ranks, ignoreMerges } = tokenizer, ids = [];
  for (const [piece] of text.matchAll(PIECE)) {
    const letters = Array.from(new TextEncoder().encode(piece), (byte) => LETTERS[byte]).join("");
    const tokens = ignoreMerges && vocabulary.has(letters) ? [letters] : merge(letters, ranks);
    ids.push(...tokens.map((token) => vocabulary.get(token)));
  }
  return ids;
}

export function encode(tokenizer, text, bos = true) { // -> ids, with one begin-of-text before them
  const { special } = tokenizer, ids = [];
  for (let at = 0; at < text.length; ) {
    let next = text.length, found = "";
    for (const token of special.keys()) { // the first that comes; of two at one place the longer
      const place = text.indexOf(token, at);
      if (place >= 0 && (place < next || (place === next && token.length > found.length))) [next, found] = [place, token];
    }
    ids.push(...encodeOrdinary(tokenizer, text.slice(at, next)));
    if (found) ids.push(special.get(found));
    at = next + found.length;
  }
  return bos && ids[0] !== tokenizer.bos[0] ? [...tokenizer.bos, ...ids] : ids;
}

export function bytesOf(tokenizer, id) { // the bytes that an id stands for
  if (tokenizer.spelled[id] === undefined) throw new Error(`expected the id of a token, found ${id}`);
  return Array.from(tokenizer.spelled[id], (letter) => BYTES.get(letter));
}

export function decode(tokenizer, ids) { // no special tokens, and U+FFFD for bytes that are no text
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from([...ids].flatMap((id) => bytesOf(tokenizer, id))));
}

export function chat(tokenizer, messages) { // the template of 2B4T; a control token in a message is text and ends no turn
  const ids = [...tokenizer.bos], end = tokenizer.special.get("<|eot_id|>");
  for (const { role, content } of messages) {
    const name = role.slice(0, 1).toUpperCase() + role.slice(1).toLowerCase();
    ids.push(...encodeOrdinary(tokenizer, `${name}: ${content.trim()}`), end);
  }
  return [...ids, ...encodeOrdinary(tokenizer, "Assistant: ")];
}
