// The page in headless Chromium: typed text is answered with the labels of the program, then again with the server gone.
//
//   node page.mjs write-model DIR          writes a small random model
//   node page.mjs test PAGE PROGRAM        tests the page of a built folder against `efficientbert-predict`
//   node page.mjs screenshot PAGE FILE TEXT

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import assert from "node:assert/strict";

import { Browser, serve } from "./browser.mjs";

function writeModel(dir) {
  const words = "[PAD] [UNK] [CLS] [SEP] [MASK] a quiet film loud is not bad good , .".split(" ");
  // Products over more than 576 values are computed in two parts (`STEPS` of the kernel).
  const [hidden, wide, positions] = [64, 640, 64];
  let state = 1;
  const random = () => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 31 - 1) * 0.4;
  const tensors = new Map();
  const tensor = (name, ...shape) =>
    tensors.set(name, { shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, random) });
  const linear = (name, out, inside) => (tensor(`${name}.weight`, out, inside), tensor(`${name}.bias`, out));
  const norm = (name) => (tensor(`${name}.weight`, hidden), tensor(`${name}.bias`, hidden));
  tensor("bert.embeddings.word_embeddings.weight", words.length, hidden);
  tensor("bert.embeddings.position_embeddings.weight", positions, hidden);
  tensor("bert.embeddings.token_type_embeddings.weight", 2, hidden);
  norm("bert.embeddings.LayerNorm");
  for (let i = 0; i < 2; i++) {
    const layer = `bert.encoder.layer.${i}`;
    for (const part of ["self.query", "self.key", "self.value", "output.dense"]) linear(`${layer}.attention.${part}`, hidden, hidden);
    linear(`${layer}.intermediate.dense`, wide, hidden);
    linear(`${layer}.output.dense`, hidden, wide);
    norm(`${layer}.attention.output.LayerNorm`);
    norm(`${layer}.output.LayerNorm`);
  }
  linear("bert.pooler.dense", hidden, hidden);
  linear("classifier", 3, hidden);
  const header = {};
  const parts = [];
  let length = 0;
  for (const [name, { shape, data }] of [...tensors].sort(([a], [b]) => (a < b ? -1 : 1))) {
    header[name] = { dtype: "F32", shape, data_offsets: [length, length + data.byteLength] };
    parts.push(Buffer.from(data.buffer));
    length += data.byteLength;
  }
  let text = JSON.stringify(header);
  text += " ".repeat((8 - (text.length % 8)) % 8);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "model.safetensors"), Buffer.concat([size, Buffer.from(text), ...parts]));
  writeFileSync(join(dir, "vocab.txt"), words.join("\n") + "\n");
  const config = {
    model_type: "bert", vocab_size: words.length, hidden_size: hidden, num_hidden_layers: 2, num_attention_heads: 4,
    intermediate_size: wide, hidden_act: "gelu", max_position_embeddings: positions, type_vocab_size: 2,
    task_heads: [{ task: "films", kind: "classification", labels: ["bad", "good", "so so"] }],
  };
  writeFileSync(join(dir, "config.json"), JSON.stringify(config));
}

/** What the program answers with the page's model, in the page's number format. */
function expected(program, page, ...texts) {
  const line = execFileSync(program, ["--model", join(page, "model"), "--precision", "int8", ...texts], { encoding: "utf8" });
  return JSON.parse(line).answers[0].probabilities;
}

function same(shown, probabilities) {
  assert.deepEqual(Object.keys(shown).sort(), Object.keys(probabilities).sort());
  for (const [label, probability] of Object.entries(probabilities)) {
    // Attention is in f32 in the page and in bf16 in the program.
    assert.ok(Math.abs(shown[label] - probability) < 5e-3, `${label}: ${shown[label]} shown, ${probability} expected`);
  }
}

async function test(page, program) {
  let passed = 0;
  const check = async (name, work) => {
    await work();
    passed += 1;
    console.log(`ok: ${name}`);
  };
  let server = await serve(page);
  const browser = await Browser.open();
  try {
    await browser.open(server.url);
    await check("typed text is answered with the labels and scores of the program", async () => {
      // Of 5, 12 and 64 tokens, and of 7: rows are computed in fours, and the last four may be incomplete.
      for (const text of ["a quiet film", "not bad , not good . is a film loud", "film ".repeat(200), "a film , not bad"]) {
        await browser.type("text", text);
        await browser.until('document.querySelectorAll("#answers li").length === 3');
        same(await browser.shown(), expected(program, page, text));
      }
    });
    await check("a pair is answered as a pair", async () => {
      await browser.type("text", "a quiet film");
      const alone = await browser.shown();
      await browser.type("pair", "loud");
      same(await browser.shown(), expected(program, page, "a quiet film", "loud"));
      assert.notDeepEqual(await browser.shown(), alone);
    });
    await check("the time of an answer is shown", async () => {
      assert.match(await browser.value('document.getElementById("time").textContent'), /^\d+\.\d ms$/);
    });
    await check("a field that was emptied meanwhile has no answer", async () => {
      const before = await browser.value(`document.getElementById("pair").value = "";
      for (const text of ["a bad film", ""]) {
        document.getElementById("text").value = text;
        document.getElementById("text").dispatchEvent(new Event("input"));
      }
      document.body.dataset.state`);
      assert.equal(before, "computing");
      await browser.until('document.body.dataset.state === "ready"');
      assert.deepEqual(await browser.shown(), {});
      assert.equal(await browser.value('document.getElementById("time").textContent'), "");
    });
    await check("without its server the page loads and answers other text", async () => {
      await browser.until('document.getElementById("offline").textContent === "works offline"');
      const url = server.url;
      await server.close();
      server = null;
      await assert.rejects(fetch(url));
      await browser.open(url);
      await browser.type("text", "a bad , loud film");
      await browser.until('document.querySelectorAll("#answers li").length === 3');
      same(await browser.shown(), expected(program, page, "a bad , loud film"));
    });
    await check("a page without its model says so", async () => {
      const broken = mkdtempSync(join(tmpdir(), "efficientbert-broken-"));
      for (const name of ["index.html", "app.js", "worker.js", "efficientbert.js", "efficientbert_wasm.wasm"]) {
        writeFileSync(join(broken, name), readFileSync(join(page, name)));
      }
      server = await serve(broken);
      await browser.send("Page.navigate", { url: server.url });
      await browser.until('document.body?.dataset.state === "failed"');
      assert.match(await browser.value('document.getElementById("error").textContent'), /config\.json.*404/);
      await server.close();
      rmSync(broken, { recursive: true });
    });
    await check("a module that has failed is not asked again, and the page says what to do", async () => {
      const failing = mkdtempSync(join(tmpdir(), "efficientbert-failing-"));
      cpSync(page, failing, { recursive: true });
      const file = join(failing, "efficientbert.js");
      const code = readFileSync(file, "utf8");
      // More memory than there is.
      const trap = 'if (texts[0] === "loud") this.#put({ length: 0xffffffff });';
      const changed = code.replace(/^ {2}answers\(.*\{$/m, (line) => `${line}\n    ${trap}`);
      assert.notEqual(changed, code);
      writeFileSync(file, changed);
      server = await serve(failing);
      await browser.open(server.url);
      await browser.type("text", "a quiet film");
      await browser.until('document.querySelectorAll("#answers li").length === 3');
      for (const text of ["loud", "a film"]) {
        await browser.value('document.body.dataset.state = "";');
        await browser.value('document.getElementById("text").select()');
        await browser.send("Input.insertText", { text });
        await browser.until('document.body.dataset.state === "failed"');
        assert.match(await browser.value('document.getElementById("error").textContent'), /has stopped \(.+\); reload the page/);
        assert.deepEqual(await browser.shown(), {});
      }
      rmSync(failing, { recursive: true });
    });
  } finally {
    await browser.close();
    await server?.close();
  }
  console.log(`${passed} passed, 0 failed`);
}

async function screenshot(page, file, text) {
  const server = await serve(page);
  const browser = await Browser.open();
  try {
    await browser.open(server.url);
    // The first answer warms the code up.
    for (const typed of [text.slice(0, 5), text]) {
      await browser.type("text", typed);
      await browser.until('document.querySelectorAll("#answers li").length > 0');
    }
    await browser.until('document.getElementById("offline").textContent === "works offline"');
    const { data } = await browser.send("Page.captureScreenshot", { format: "png" });
    writeFileSync(file, Buffer.from(data, "base64"));
  } finally {
    await browser.close();
    await server.close();
  }
}

const [command, ...args] = process.argv.slice(2);
const commands = { "write-model": writeModel, test, screenshot };
if (!commands[command]) throw new Error(`unknown command ${command}: one of ${Object.keys(commands).join(", ")}`);
await commands[command](...args);
