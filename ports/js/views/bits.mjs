// The same story with fewer bits for the activations: how few are enough?

import { beginning, reader, write } from "../story.mjs";
import { fill, h } from "./draw.mjs";

export const title = "Fewer bits";
export const text = `The weights have three values each; the numbers they read have 255, in 8 bits. Here the same beginning is told
  with codes of 8, 4, 3 and 2 bits, and the first word that differs is marked.`;
export const links = { notebook: "notebooks/02_absmax.py", module: "minibitnet/absmax.py", line: "np.clip(np.rint(x * (127 / largest)), -128, 127)" };

export const BITS = [8, 4, 3, 2];
const LENGTH = 60;

let go, list, failed;

export function create(root) {
  go = h("button", { type: "button", className: "primary", onclick: run }, "Tell it four times");
  list = h("div", { className: "tellings" });
  failed = h("p", { className: "sentence", role: "status" });
  root.append(h("div", { className: "controls" }, go), list, failed);
}

async function run() {
  go.disabled = true;
  failed.textContent = "";
  const text = beginning();
  try {
    const boxes = BITS.map((bits) => h("p", { className: "text", "data-bits": bits }));
    fill(list, ...BITS.map((bits, i) => h("div", {}, h("h3", {}, `${bits} bits`, h("span", {}, `${2 ** bits - 1} values`)), boxes[i])));
    let first = null;
    for (const [i, bits] of BITS.entries()) {
      const { tokens, status } = await write({ text, n: LENGTH, port: { bits } }, reader(boxes[i]));
      if (status === "stopped") return; // another story is being written
      first ??= tokens;
      const parted = tokens.findIndex(({ id }, at) => id !== first[at]?.id);
      boxes[i].children[parted]?.classList.add("parted");
    }
  } catch (error) {
    failed.textContent = error.message;
  } finally {
    go.disabled = false;
  }
}

export const update = () => {};
