// Ten steps for somebody who has never seen a language model from the inside.

import { state, change } from "./state.mjs";
import { h } from "./views/draw.mjs";

const STEPS = [
  ["story", null, "A story, word by word", `What you see is written here and now, by five million numbers in this page. The model does one thing:
    it reads what is there and says which piece of text, which token, could come next. Then it reads that, too.`],
  ["story", null, "Click a word", `Every word was one of 4,096 possible tokens. Click any word of the story, or walk with the arrow keys:
    the views beside it show how just that word came to be.`],
  ["view", "next", "It could have been another", `These are the candidates, with their probabilities. Click another one, and the story goes on with it.
    Temperature makes unlikely ones likelier.`],
  ["view", "map", "How it gets there", `A word becomes a row of numbers. Six blocks, one after the other, each add something to it; the line on the left
    carries it from top to bottom. Open a stage to see its numbers.`],
  ["view", "map", "Attention, then feed-forward", `In its first half a block fetches what earlier words have to say; in its second half it works on what it has.
    Nearly all the time goes into matrices: q, k, v, o, gate, up, down.`],
  ["view", "linear", "What −1, 0 and +1 do", `A usual model multiplies billions of fractions. Here a weight only says: add, subtract, or skip.
    Press “Add it up” and watch a row of the matrix make one number.`],
  ["view", "linear", "Four weights in a byte", `Three values need less than two bits, so that four weights fit in a byte, where others take two bytes or four for one.
    That is why the whole model fits into this page.`],
  ["view", "attention", "Who reads whom", `Eight heads look back, each for something else: the last mention of a name, the word before, the start of a sentence.
    Choose a head and see what it reads.`],
  ["view", "zeros", "Most of it is nothing", `The gates of the feed-forward are closed for most numbers: exactly 0, for this word. For another word others are open.`],
  ["view", "broken", "Now break it", `Change one line, as others did without noticing. The story goes wrong, sometimes so little that nobody sees;
    the arrays see it at once. That is what this project is for.`],
];

let at = 0, panel, opener;

function show() {
  const [, view, title, text] = STEPS[at];
  if (view) change({ view });
  document.getElementById("tour-count").textContent = `${at + 1} of ${STEPS.length}`;
  document.getElementById("tour-title").textContent = title;
  document.getElementById("tour-text").textContent = text;
  document.getElementById("tour-back").disabled = at === 0;
  document.getElementById("tour-next").textContent = at === STEPS.length - 1 ? "Done" : "Next";
  document.querySelectorAll(".pointed").forEach((element) => element.classList.remove("pointed"));
  const target = document.getElementById(view ? "view" : "writing");
  target.classList.add("pointed");
  target.scrollIntoView({ block: "nearest" });
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

export const tourLength = STEPS.length;
