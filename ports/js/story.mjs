// The story: written token by token, and each token can be looked at.

import { ask } from "./engine.mjs";
import { change, state } from "./state.mjs";
import { h, visible } from "./views/draw.mjs";

const LONGEST = 300; // tokens of a story
const LOOK = 7; // which of the written tokens is looked at, if nobody chose another
let numbers = 0, tellings = 0;

export const beginning = () => document.getElementById("beginning").value;

// ---- tokens as text ----

function reads() { // bytes of one token after the other -> text; a character may be spread over tokens
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return ({ id, bytes, name }) => ({ id, name, text: decoder.decode(Uint8Array.from(bytes), { stream: true }) });
}

const hex = (bytes) => `‹${bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" ")}›`;

export async function spell(ids) { // each by itself
  return (await ask("spell", { ids })).map(({ bytes, name }) => {
    if (name) return ends(name);
    const text = new TextDecoder().decode(Uint8Array.from(bytes));
    return text.includes("\ufffd") ? hex(bytes) : text;
  });
}

const ends = (name) => (/end|eot/.test(name) ? "the end" : name);

function wordOf({ text, name }, i, prompt) {
  const [space] = text.match(/^\s*/), ink = space === text ? text : text.slice(space.length); // what is coloured
  const word = h("span", { className: i < prompt ? "token given" : "token" }, space === text ? "" : space, h("span", { className: "ink" }, ink));
  if (name) Object.assign(word, { className: "token special", textContent: i ? " ■" : "", title: name });
  else if (!text) word.classList.add("part");
  return word;
}

export function reader(element) { // shows a story as it comes
  return (token, i, prompt) => element.append(wordOf(token, i, prompt));
}

// ---- writing ----

export async function write(question, show) { // -> { number, ids, tokens, prompt, status }
  const story = { number: ++numbers, ids: [], tokens: [], prompt: 0, status: "" }, read = reads();
  const add = (spelled) => {
    story.ids.push(spelled.id);
    story.tokens.push(read(spelled));
    show(story.tokens.at(-1), story.ids.length - 1, story.prompt, story);
  };
  story.status = await ask("write", { story: story.number, ...question }, ({ begun, token, prompt }) => {
    if (begun) story.prompt = prompt;
    for (const spelled of begun ?? [token]) add(spelled);
  });
  return story;
}

const SAID = {
  end: "The model ended the story.", long: "Long enough.", full: "The context is full: the model can read no more.",
  stopped: "Stopped.",
};

async function tell(question) {
  const list = document.getElementById("story"), status = document.getElementById("status"), began = performance.now();
  const older = state.story, mine = ++tellings;
  let first = null;
  document.body.classList.add("writing");
  const show = (token, i, prompt, story) => {
    if (i === 0) {
      list.replaceChildren();
      change({ story, at: null, stages: null });
    }
    if (state.story !== story) return; // another one has begun
    const word = wordOf(token, i, prompt);
    Object.assign(word, { id: `token-${i}`, onclick: () => lookAt(i) });
    word.setAttribute("role", i ? "option" : "presentation");
    word.setAttribute("aria-selected", "false");
    list.append(word);
    if (i < prompt) return;
    first ??= performance.now();
    const seconds = (performance.now() - first) / 1000, written = i - prompt + 1;
    const tokens = written === 1 ? "1 token" : `${written} tokens`;
    status.textContent = written < 10 ? tokens : `${tokens}, ${Math.round(written / seconds)} a second`;
    if (i === prompt) state.firstToken = first - began;
    if (i === prompt + LOOK && !state.at) lookAt(i);
    list.scrollTop = list.scrollHeight;
  };
  try {
    const story = await write({ n: LONGEST, keep: true, ...state.sampling, ...question }, show);
    if (state.story !== story) return;
    status.textContent += `. ${SAID[story.status]}`;
    if (!state.at) await lookAt(story.tokens.length - 1);
    list.scrollTop = document.getElementById(`token-${state.at}`).offsetTop - list.offsetTop - list.clientHeight / 3;
  } catch (error) {
    status.textContent = error.message;
    if (state.story === older) change({});
  } finally {
    if (mine === tellings) document.body.classList.remove("writing");
  }
}

export const begin = () => tell({ text: beginning() });

export function writeOn(id) { // the story up to the token that is looked at, with another in its place
  const ids = [...state.story.ids.slice(0, state.at), id];
  return tell({ ids, prompt: Math.min(state.story.prompt, ids.length - 1) });
}

export const stop = () => ask("stop");

// ---- looking ----

export async function lookAt(at) { // how did this token come to be? From what was computed of the one before it
  if (!state.story || at < 1 || at >= state.story.tokens.length) return;
  const { story } = state, list = document.getElementById("story");
  list.querySelector('[aria-selected="true"]')?.setAttribute("aria-selected", "false");
  list.children[at].setAttribute("aria-selected", "true");
  list.setAttribute("aria-activedescendant", `token-${at}`);
  state.at = at;
  const stages = await ask("look", { story: story.number, at: at - 1 });
  if (!stages || state.story !== story || state.at !== at) return; // by now another is looked at
  change({ stages: new Map(stages.map(({ name, array, shape }) => [name, { array, shape }])) });
}

const STEPS = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10, Home: -Infinity, End: Infinity };

export function onKey(event) { // arrows go from word to word
  const step = STEPS[event.key];
  if (!step || !state.story) return;
  event.preventDefault();
  const at = Math.max(1, Math.min(state.story.tokens.length - 1, (state.at ?? 0) + step));
  lookAt(at);
  document.getElementById(`token-${at}`).scrollIntoView({ block: "nearest" });
}

export const nameOf = (at) => {
  const { text, name } = state.story.tokens[at];
  return name ? ends(name) : visible(text);
};
