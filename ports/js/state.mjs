// What the page shows at the moment, and who wants to know when it changes.

export const state = {
  model: null, // its sizes
  story: null, // { number, tokens: [{ id, text }], prompt, status }
  at: null, // which token of the story is looked at: how did it come to be?
  stages: null, // by name, { array, shape }: what was computed from the token before it
  layer: 0,
  matrix: "q",
  row: 0,
  column: 0, // how far the sum of the row has come
  head: 0,
  stage: null, // which row of the map is open
  sampling: { temperature: 0, topK: 0, topP: 1 },
  view: "next",
};

const listeners = [];

export const onChange = (listener) => listeners.push(listener);

export function change(news) {
  Object.assign(state, news);
  for (const listener of listeners) listener(news);
}
