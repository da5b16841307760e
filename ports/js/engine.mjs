// The page's side of the worker: a question is a function call, its answer a promise.

const inlined = globalThis.INLINED; // by `make playground`: the files of the page and of the model, in one file

function startWorker() {
  if (!inlined) return new Worker(new URL("worker.mjs", import.meta.url), { type: "module" });
  return new Worker(inlined.worker);
}

const worker = startWorker(), waiting = new Map();
let questions = 0;

worker.onmessage = ({ data: { number, answer, error, news } }) => {
  const { resolve, reject, tell } = waiting.get(number);
  if (news) return tell(news);
  waiting.delete(number);
  if (error === undefined) resolve(answer);
  else reject(new Error(error));
};

export function ask(what, question = {}, tell = () => {}) { // `tell` hears what comes before the answer
  const number = questions++;
  return new Promise((resolve, reject) => {
    waiting.set(number, { resolve, reject, tell });
    worker.postMessage({ number, ask: what, ...question });
  });
}

// ---- where things lie ----

const inRepository = /\/ports\/js\/(index\.html)?$/.test(location.pathname);
const MODEL = inRepository ? "../../minibitnet/stories/" : "model/";
const isOfModel = (name) => name.endsWith(".safetensors") || ["config.json", "tokenizer.json", "generation_config.json"].includes(name);
const SOURCES = inlined ? inlined.sources : inRepository ? "../../" : "source/";

export const source = (path) => SOURCES + path; // the address of a file of the repository

async function get(address) {
  const answer = await fetch(new URL(address, document.baseURI));
  if (!answer.ok) throw new Error(`${address}: ${answer.status} ${answer.statusText}`);
  return answer;
}

export async function filesOfModel() { // the bytes of each file by its name
  if (inlined) return inlined.files();
  const names = inRepository ? ["config.json", "tokenizer.json", "model.safetensors"] : (await (await get(MODEL)).json()).filter(isOfModel);
  const read = async (name) => [name, new Uint8Array(await (await get(MODEL + name)).arrayBuffer())];
  return Object.fromEntries(await Promise.all(names.map(read)));
}

export const sourceOfModel = async () => inlined ? inlined.bitnet : (await get("bitnet.mjs")).text(); // to put a bug in
