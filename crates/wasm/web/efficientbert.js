// A model directory that answers texts in a page or in Node. The model computes where this module is loaded: in a page, do so in a worker
// (worker.js), so that the page stays alive meanwhile.

/** The files of a packed model directory, in the order of their numbers. */
export const MODEL_FILES = ["config.json", "model.safetensors", "tokenizer.json"];

/** Why a model cannot be loaded or does not answer. */
export class ModelError extends Error {}

/** The bytes at `url`; `progress(bytes, total)` hears how far it is, with `total` 0 where the server does not say. */
async function fetched(url, progress) {
  const response = await fetch(url);
  if (!response.ok) throw new ModelError(`${url}: ${response.status} ${response.statusText}`);
  const total = Number(response.headers.get("content-length") ?? 0);
  const parts = [];
  let length = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    length += value.length;
    progress?.(length, total);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

export class Predictor {
  #exports;
  #broken = null;
  /** What the model is: `heads` (each with `task`, `kind`, `labels`), `max_tokens`, `hidden_size`, `precision`. */
  description;

  /**
   * Loads the model in the folder `base`, an address that ends with a slash.
   *
   * @param {{precision?: "f32" | "bf16" | "int8", module?: string, progress?: (file: string, bytes: number, total: number) => void}} options
   *   `precision` is that of weights and products, `int8` unless given; `module` is the address of the WebAssembly module.
   */
  static async load(base, { precision = "int8", module, progress } = {}) {
    const report = (file) => progress && ((bytes, total) => progress(file, bytes, total));
    const code = module ?? new URL("efficientbert_wasm.wasm", import.meta.url);
    const urls = [code, ...MODEL_FILES.map((name) => new URL(name, new URL(base, import.meta.url)))];
    const names = ["efficientbert_wasm.wasm", ...MODEL_FILES];
    const [wasm, ...files] = await Promise.all(urls.map((url, at) => fetched(url, report(names[at]))));
    return Predictor.of(wasm, files, precision);
  }

  /** As `load`, of bytes: the module, and the files in the order of `MODEL_FILES`. */
  static async of(wasm, files, precision = "int8") {
    let memory;
    const random = (at, length) => crypto.getRandomValues(new Uint8Array(memory.buffer, at, length));
    const { instance } = await WebAssembly.instantiate(wasm, { efficientbert: { random } });
    memory = instance.exports.memory;
    const predictor = new Predictor();
    predictor.#exports = instance.exports;
    files.forEach((bytes, number) => {
      const at = predictor.#put(bytes);
      predictor.#run((exports) => exports.efficientbert_give(number, at, bytes.length));
    });
    predictor.description = JSON.parse(predictor.#call("efficientbert_load", precision));
    return predictor;
  }

  /**
   * What the heads answer to each text: an array for each text with an answer for each head, as `efficientbert predict --json` has them. With
   * `task` its head alone answers. `pairs` has the second text of each, or null.
   */
  answers(texts, { pairs = null, task = null } = {}) {
    return JSON.parse(this.#call("efficientbert_answer", JSON.stringify({ texts, pairs, task })));
  }

  /** Bytes where the module can read them. */
  #put(bytes) {
    const at = this.#run((exports) => exports.efficientbert_room(bytes.length));
    new Uint8Array(this.#exports.memory.buffer, at, bytes.length).set(bytes);
    return at;
  }

  /**
   * Runs a function of the module. Where it fails in there (memory has run out, for example), the module stays in the midst of its work, with its
   * model locked, and can't be used any more.
   */
  #run(work) {
    if (this.#broken) throw this.#broken;
    try {
      return work(this.#exports);
    } catch (error) {
      throw (this.#broken = new ModelError(`the model has stopped (${error.message}); reload the page`));
    }
  }

  #call(name, text) {
    const bytes = new TextEncoder().encode(text);
    const at = this.#put(bytes);
    const isFine = this.#run((exports) => exports[name](at, bytes.length));
    const said = new Uint8Array(
      this.#exports.memory.buffer, this.#exports.efficientbert_said(), this.#exports.efficientbert_said_len());
    const answer = new TextDecoder().decode(said);
    if (!isFine) throw new ModelError(answer);
    return answer;
  }
}
