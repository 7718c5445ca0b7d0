// The model's own thread: messages { id, texts, pairs } in, { id, answers, milliseconds } or { id, error } out.
import { Predictor } from "./efficientbert.js";

const progress = (file, bytes, total) => postMessage({ progress: { file, bytes, total } });
const loaded = Predictor.load("model/", { progress });
loaded.then(
  (model) => postMessage({ description: model.description }),
  (error) => postMessage({ error: error.message }),
);

onmessage = async ({ data: { id, texts, pairs } }) => {
  try {
    const model = await loaded;
    const start = performance.now();
    const answers = model.answers(texts, { pairs });
    postMessage({ id, answers, milliseconds: performance.now() - start });
  } catch (error) {
    postMessage({ id, error: error.message });
  }
};
