// The page: a text in, labels with scores and milliseconds out.

const at = (id) => document.getElementById(id);
const state = (name) => (document.body.dataset.state = name);
const worker = new Worker("worker.js", { type: "module" });
let asked = 0;
let waiting = false;
let latest = null;

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
const loading = new Map();

function described({ heads, max_tokens, precision }) {
  const spans = heads.some((head) => head.kind === "span");
  at("pair-row").hidden = heads.some((head) => head.kind === "tags");
  at("text-label").textContent = spans ? "Question" : "Text";
  at("pair-label").textContent = spans ? "Text that answers it" : "Second text, for a model that takes pairs";
  const tasks = heads.map((head) => head.task).join(", ") || "no head";
  at("model").textContent = `${tasks} · ${precision} · up to ${max_tokens} tokens · nothing you type leaves this page`;
  at("text").disabled = at("pair").disabled = false;
  at("text").focus();
  at("status").textContent = "";
  state("ready");
  ask();
}

/** Asks for what is typed now; while an answer is being computed, the last question waits and those before it are dropped. */
function ask() {
  const text = at("text").value.trim();
  const pair = at("pair-row").hidden ? "" : at("pair").value.trim();
  latest = text ? { id: ++asked, texts: [text], pairs: pair ? [pair] : null } : null;
  if (!latest) {
    at("answers").replaceChildren();
    at("time").textContent = "";
  } else if (!waiting && document.body.dataset.state !== "loading") {
    waiting = true;
    state("computing");
    worker.postMessage(latest);
  }
}

function row(name, value, share) {
  const line = document.createElement("li");
  const bar = document.createElement("span");
  bar.className = "bar";
  bar.style.width = `${100 * Math.min(1, Math.max(0, share ?? 0))}%`;
  const label = document.createElement("span");
  label.className = "label";
  label.textContent = name;
  const score = document.createElement("span");
  score.className = "score";
  score.textContent = value;
  line.append(bar, label, score);
  return line;
}

function rows(answer) {
  const score = (value) => value.toFixed(4);
  if (answer.probabilities) {
    const sorted = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]);
    return sorted.map(([label, probability]) => row(label, score(probability), probability));
  }
  if (answer.entities) {
    const entity = (e) => row(`${e.kind}: ${e.text}`, score(e.probability), e.probability);
    return answer.entities.length ? answer.entities.map(entity) : [row("no entity", "", 0)];
  }
  if (answer.n_best) return [row(answer.answer || "no answer", score(answer.probability), answer.probability)];
  if (answer.similarity !== undefined) return [row("similarity", score(answer.similarity), answer.similarity)];
  if (answer.vector) return [row(`a vector of ${answer.vector.length} numbers; a second text shows a similarity`, "", 0)];
  return [row(answer.task, score(answer.score), 0)];
}

worker.onmessage = ({ data }) => {
  if (data.progress) {
    loading.set(data.progress.file, data.progress.bytes);
    const bytes = [...loading.values()].reduce((sum, one) => sum + one, 0);
    at("status").textContent = `loading the model: ${megabytes(bytes)}`;
  } else if (data.description) {
    described(data.description);
  } else if (data.answers) {
    waiting = false;
    at("error").textContent = "";
    state("ready");
    // Meanwhile the field may have been emptied: then nothing is asked.
    if (!latest) return;
    at("answers").replaceChildren(...data.answers[0].flatMap(rows));
    at("time").textContent = `${data.milliseconds.toFixed(1)} ms`;
    if (latest.id !== data.id) ask();
  } else {
    waiting = false;
    at("status").textContent = at("time").textContent = "";
    at("answers").replaceChildren();
    at("error").textContent = data.error;
    state("failed");
    if (latest && data.id !== undefined && latest.id !== data.id) ask();
  }
};
worker.onerror = (event) => {
  at("error").textContent = `this browser cannot run the model: ${event.message ?? "WebAssembly with SIMD and module workers are needed"}`;
  state("failed");
};

at("text").addEventListener("input", ask);
at("pair").addEventListener("input", ask);

// Where the page is served over https or from this machine, everything is kept for the next time, with and without a network.
if ("serviceWorker" in navigator) {
  navigator.serviceWorker.register("service-worker.js").then(
    () => navigator.serviceWorker.ready.then(() => (at("offline").textContent = "works offline")),
    (error) => (at("offline").textContent = `works online only: ${error.message}`),
  );
}
