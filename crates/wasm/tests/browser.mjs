// A static server and a headless Chromium, spoken to over two pipes (its DevTools protocol), so that nothing but Node is needed.
// EFFICIENTBERT_CHROMIUM names another browser.

import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";

const BROWSER = process.env.EFFICIENTBERT_CHROMIUM || "chromium";
/** Nothing here takes as long; what waits longer has failed. */
const PATIENCE = 60_000;

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json" };

/** A static server on this machine; `close` ends it with all its connections. */
export async function serve(folder) {
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname));
    const file = join(folder, path.endsWith("/") ? path + "index.html" : path);
    try {
      const bytes = readFileSync(file);
      response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream", "content-length": bytes.length });
      response.end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => new Promise((resolve) => (server.close(resolve), server.closeAllConnections()));
  return { url: `http://127.0.0.1:${server.address().port}/`, close };
}

/** A headless browser and its only page. */
export class Browser {
  #next = 0;
  #waiting = new Map();
  #session;

  static async open() {
    const browser = new Browser();
    browser.folder = mkdtempSync(join(tmpdir(), "efficientbert-page-"));
    const options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
      "--window-size=800,700", `--user-data-dir=${browser.folder}`, "--remote-debugging-pipe", "about:blank"];
    browser.process = spawn(BROWSER, options, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    const started = new Promise((resolve, reject) => {
      browser.process.once("error", (error) => reject(new Error(`cannot start ${BROWSER}: ${error.message}; is it installed?`)));
      browser.process.once("spawn", resolve);
    });
    await started;
    let buffer = "";
    browser.process.stdio[4].setEncoding("utf8").on("data", (data) => {
      const messages = (buffer + data).split("\0");
      buffer = messages.pop();
      messages.map((message) => JSON.parse(message)).forEach((message) => browser.#receive(message));
    });
    const { targetId } = await browser.send("Target.createTarget", { url: "about:blank" });
    browser.#session = (await browser.send("Target.attachToTarget", { targetId, flatten: true })).sessionId;
    await browser.send("Page.enable");
    return browser;
  }

  #receive({ id, result, error }) {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    this.#waiting.delete(id);
    error ? waiting.reject(new Error(error.message)) : waiting.resolve(result);
  }

  send(method, params = {}) {
    const id = ++this.#next;
    const message = { id, method, params, ...(this.#session && { sessionId: this.#session }) };
    this.process.stdio[3].write(JSON.stringify(message) + "\0");
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  async value(expression) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true });
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
    return result.value;
  }

  /** Waits until an expression is true in the page. */
  async until(expression) {
    const end = Date.now() + PATIENCE;
    while (!(await this.value(expression).catch(() => false))) {
      const shown = () => this.value("document.body?.innerText").catch((error) => error.message);
      if (Date.now() > end) throw new Error(`waited for ${expression}; the page shows: ${await shown()}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async open(url) {
    const { errorText } = await this.send("Page.navigate", { url });
    if (errorText) throw new Error(`${url}: ${errorText}`);
    await this.until('document.body?.dataset.state === "ready"');
  }

  /** Types into a field as a person does, in place of what is there. */
  async type(id, text) {
    await this.value(`document.getElementById("${id}").select()`);
    await this.send("Input.insertText", { text });
    await this.until(`document.body.dataset.state === "ready" && document.getElementById("${id}").value === ${JSON.stringify(text)}`);
  }

  /** Labels and scores that are shown. */
  async shown() {
    const line = '[...document.querySelectorAll("#answers li")].map((li) => [li.children[1].textContent, Number(li.children[2].textContent)])';
    return Object.fromEntries(await this.value(line));
  }

  async close() {
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.send("Browser.close").catch(() => {});
    await ended;
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
