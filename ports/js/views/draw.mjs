// Elements, numbers and colours: what all views draw with.

export function h(tag, properties = {}, ...children) { // an element; a name with "-", and role, is an attribute
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const fill = (element, ...children) => element.replaceChildren(...children.filter((child) => child !== null));

const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const count = (n) => plain.format(n).replace("-", "−");

export function short(x) { // three digits
  if (Number.isInteger(x)) return count(x);
  return String(Number(x.toPrecision(3))).replace("-", "−");
}

export const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`;

export const largestOf = (array) => array.reduce((most, x) => Math.max(most, Math.abs(x)), 0);

export const zerosOf = (array) => array.reduce((zeros, x) => zeros + (x === 0), 0);

// ---- colours: orange above 0, blue below, the paper for 0 ----

function rgb(name) {
  const value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((i) => parseInt(value.slice(i, i + 2), 16));
}

export const colours = () => ({ plus: rgb("--plus"), minus: rgb("--minus"), zero: rgb("--zero") });

export function paint(canvas, values, width, height, largest = largestOf(values) || 1) { // a value is a pixel
  const { plus, minus, zero } = colours(), context = canvas.getContext("2d");
  [canvas.width, canvas.height] = [width, height];
  const image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    const x = values[i] ?? 0, share = Math.min(1, Math.sqrt(Math.abs(x) / largest)), full = x > 0 ? plus : minus;
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = zero[c] + (full[c] - zero[c]) * share;
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

const WIDEST = 700; // pixels of a strip

export function strip(array, label) { // a row of colours; of values that share a pixel the largest shows
  const width = Math.min(array.length, WIDEST), shown = new Float64Array(width);
  array.forEach((x, i) => {
    const at = Math.floor((i * width) / array.length);
    if (Math.abs(x) > Math.abs(shown[at])) shown[at] = x;
  });
  return paint(h("canvas", { className: "strip", role: "img", "aria-label": label }), shown, width, 1);
}

// ---- controls ----

export function choice(label, options, chosen, choose) { // buttons of which one is pressed: [value, what it says]
  const buttons = options.map(([value, text]) =>
    h("button", { type: "button", "aria-pressed": String(value === chosen), "data-value": value, onclick: () => choose(value) }, text));
  return h("div", { className: "choice", role: "group", "aria-label": label }, h("span", { className: "label" }, label), ...buttons);
}

export function press(group, chosen) {
  for (const button of group.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.value === String(chosen)));
}

export function slider(label, { min, max, step, value, show = String }, move) {
  const output = h("output", {}, show(value));
  const input = h("input", { type: "range", min, max, step, value, "aria-label": label });
  input.oninput = () => {
    output.textContent = show(Number(input.value));
    move(Number(input.value));
  };
  const element = h("label", { className: "slider" }, h("span", {}, label), input, output);
  element.set = (value, most = max) => {
    input.max = most;
    input.value = value;
    output.textContent = show(Number(value));
  };
  return element;
}

export const visible = (text) => (text.trim() ? text.trim() : text.replaceAll("\n", "↵").replaceAll(" ", "␣")) || "▪"; // a token as a word among others
