// The page's module against onnxruntime-web, in the same headless Chromium, on one thread, one text of 64 tokens, alternating.
//
//   npm install onnxruntime-web
//   node compare.mjs PAGE node_modules/onnxruntime-web/dist MODEL.onnx PRECISION
//
// PAGE is a folder of `cargo xtask browser`, MODEL.onnx the same model with the inputs of transformers. Ours reads the text too, theirs is given ids.

import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Browser, serve } from "./browser.mjs";

const [page, dist, onnx, precision] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), "efficientbert-compare-"));
cpSync(page, folder, { recursive: true });
cpSync(dist, join(folder, "ort"), { recursive: true });
cpSync(onnx, join(folder, "model.onnx"));
writeFileSync(join(folder, "compare.html"), '<!doctype html><body><script type="module" src="compare.js"></script>');
writeFileSync(join(folder, "compare.js"), `
  import * as ort from "./ort/ort.wasm.min.mjs";
  import { Predictor } from "./efficientbert.js";
  const TOKENS = 64, ROUNDS = 60;
  try {
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = new URL("./ort/", location.href).href;
    const session = await ort.InferenceSession.create("model.onnx", { executionProviders: ["wasm"], graphOptimizationLevel: "all" });
    const row = (value) => new ort.Tensor("int64", new BigInt64Array(TOKENS).fill(value), [1, TOKENS]);
    const feed = { input_ids: row(2143n), attention_mask: row(1n), token_type_ids: row(0n) };
    const model = await Predictor.load("model/", { precision: "${precision}" });
    const text = Array(TOKENS - 2).fill("film").join(" ");
    const times = { ours: [], ort: [] };
    const timed = async (name, work) => {
      const start = performance.now();
      await work();
      times[name].push(performance.now() - start);
    };
    for (let i = 0; i < ROUNDS + 10; i++) {
      await timed("ours", () => model.answers([text]));
      await timed("ort", () => session.run(feed));
    }
    const summary = (all) => {
      const sorted = all.slice(10).sort((a, b) => a - b);
      return { least: sorted[0], median: sorted[sorted.length / 2] };
    };
    window.result = { ours: summary(times.ours), ort: summary(times.ort) };
  } catch (error) {
    window.result = { error: String(error) };
  }
  document.body.dataset.state = "ready";
`);
const server = await serve(folder);
const browser = await Browser.open();
try {
  await browser.open(`${server.url}compare.html`);
  console.log(JSON.stringify(await browser.value("window.result")));
} finally {
  await browser.close();
  await server.close();
  rmSync(folder, { recursive: true });
}
