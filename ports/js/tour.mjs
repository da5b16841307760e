// Ten steps for somebody who has never seen a language model from the inside.

import { state, change } from "./state.mjs";
import { count, h } from "./views/draw.mjs";

// where to look; which view; a title; what to say of the model m; what of the place must be seen, if not its start
const STEPS = [
  ["writing", null, "A story, word by word", (m) => `What you see is written here and now, by ${count(m.weights)} numbers in this page. The model
    does one thing: it reads what is there and says which piece of text, which token, could come next. Then it reads that, too.`],
  ["writing", null, "Click a word", (m) => `Every word was one of ${count(m.V)} possible tokens. Click any word of the story, or walk with the arrow
    keys: the views beside it show how just that word came to be.`],
  ["inside", "next", "It could have been another", () => `These are the candidates, with their probabilities. Click another one, and the story goes on
    with it. Temperature makes unlikely ones likelier.`],
  ["inside", "map", "How it gets there", (m) => `A word becomes a row of ${count(m.D)} numbers. ${m.L} blocks, one after the other, each add something to it;
    the line on the left carries it from top to bottom. Open a stage to see its numbers.`],
  ["inside", "map", "Attention, then feed-forward", () => `In its first half a block fetches what earlier words have to say; in its second half it
    works on what it has. The weights are in seven matrices: q, k, v, o, gate, up, down.`],
  ["inside", "linear", "What −1, 0 and +1 do", () => `A usual model multiplies fractions. Here a weight only says: add, subtract, or skip.
    Press “Add it up” and watch a row of the matrix make one number.`, "#view-linear h3"],
  ["inside", "linear", "Four weights in a byte", (m) => `Three values fit in two bits, so a byte holds four weights, where usual models take two bytes for
    one. That is how ${count(m.ternary)} weights fit in a page.`, "#view-linear .result"],
  ["inside", "attention", "Who reads whom", (m) => `${m.H} heads look back, each for something of its own. Choose one and see what it reads.`],
  ["inside", "zeros", "Most of it is nothing", () => `Most gates of the feed-forward are closed: exactly 0, for this word. For another word others are open.`],
  ["inside", "broken", "Now break it", () => `Change one line, as others did without noticing. The story goes wrong, sometimes so little that
    nobody sees; the arrays see it at once. That is what this project is for.`],
];

let at = 0, panel, opener;

function show() {
  const [place, view, title, text, part] = STEPS[at];
  if (view) change({ view });
  document.getElementById("tour-count").textContent = `${at + 1} of ${STEPS.length}`;
  document.getElementById("tour-title").textContent = title;
  document.getElementById("tour-text").textContent = text(state.model).replace(/\s+/g, " ");
  document.getElementById("tour-back").disabled = at === 0;
  document.getElementById("tour-next").textContent = at === STEPS.length - 1 ? "Done" : "Next";
  document.querySelectorAll(".pointed").forEach((element) => element.classList.remove("pointed"));
  const target = document.getElementById(place);
  target.classList.add("pointed");
  (part ? document.querySelector(part) : target).scrollIntoView({ block: "start" });
}

function go(step) {
  at += step;
  if (at >= STEPS.length) end();
  else show();
}

function end() {
  panel.hidden = true;
  document.body.classList.remove("touring");
  document.querySelectorAll(".pointed").forEach((element) => element.classList.remove("pointed"));
  opener.focus();
}

export function startTour(button) {
  if (!state.model) return;
  [at, opener] = [0, button];
  change({ plain: false });
  panel.hidden = false;
  document.body.classList.add("touring");
  show();
  document.getElementById("tour-next").focus();
}

export function createTour(root) {
  const button = (id, text, act, className = "quiet") => h("button", { type: "button", id, className, onclick: act }, text);
  panel = root;
  root.append(
    h("div", { "aria-live": "polite" }, h("span", { id: "tour-count" }), h("h2", { id: "tour-title" }), h("p", { id: "tour-text" })),
    h("div", { className: "controls" }, button("tour-end", "End the tour", end), button("tour-back", "Back", () => go(-1)),
      button("tour-next", "Next", () => go(1), "primary")));
  root.onkeydown = ({ key }) => {
    if (key === "Escape") end();
  };
}
