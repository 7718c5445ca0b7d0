"""The peer of `efficientbert serve`: FastAPI and ONNX Runtime, as people put them together.

    python serve.py export --model DIR --out OUT      a classifier of transformers as model.onnx and model-int8.onnx (dynamic)
    python serve.py serve --model OUT --port 8902     POST /predict {"inputs": TEXT}, as text-embeddings-inference has it

Needs: torch, transformers, onnx, onnxruntime, fastapi, uvicorn with uvloop and httptools.
"""

import argparse
import os
from pathlib import Path


def export(args):
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForSequenceClassification.from_pretrained(args.model, attn_implementation="eager").eval()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(out)
    model.config.save_pretrained(out)
    example = tokenizer(["a quiet film", "a longer text than the other one"], padding=True, return_tensors="pt")
    names = ["input_ids", "attention_mask", "token_type_ids"]
    axes = {name: {0: "batch", 1: "tokens"} for name in names}

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask, token_type_ids):
            inputs = dict(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
            return self.model(**inputs).logits

    torch.onnx.export(
        Logits(),
        tuple(example[name] for name in names),
        out / "model.onnx",
        input_names=names,
        output_names=["logits"],
        dynamic_axes={**axes, "logits": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )
    quantize_dynamic(out / "model.onnx", out / "model-int8.onnx", weight_type=QuantType.QInt8, per_channel=True)


def application():
    """The application that uvicorn's workers import; the settings come from the environment."""
    import numpy as np
    import onnxruntime
    from fastapi import FastAPI
    from pydantic import BaseModel
    from transformers import AutoConfig, AutoTokenizer

    folder = Path(os.environ["PEER_MODEL"])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    labels = AutoConfig.from_pretrained(folder).id2label
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["PEER_THREADS"])
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / os.environ["PEER_FILE"], options, ["CPUExecutionProvider"])
    wanted = {entry.name for entry in session.get_inputs()}

    class Request(BaseModel):
        inputs: str

    def answer(request: Request):
        encoded = tokenizer(request.inputs, truncation=True, max_length=512, return_tensors="np")
        logits = session.run(None, {name: encoded[name] for name in wanted})[0][0]
        odds = np.exp(logits - logits.max())
        scores = odds / odds.sum()
        order = scores.argsort()[::-1]
        return [{"label": labels[int(i)], "score": float(scores[i])} for i in order]

    app = FastAPI()
    if os.environ["PEER_INLINE"] == "1":

        @app.post("/predict")
        async def predict_inline(request: Request):
            return answer(request)

    else:

        @app.post("/predict")
        def predict(request: Request):
            return answer(request)

    return app


def serve(args):
    import uvicorn

    os.environ["PEER_MODEL"] = str(Path(args.model).resolve())
    os.environ["PEER_FILE"] = args.file
    os.environ["PEER_THREADS"] = str(args.threads)
    os.environ["PEER_INLINE"] = "1" if args.inline else "0"
    os.chdir(Path(__file__).parent)
    uvicorn.run(
        "serve:application", factory=True, host="127.0.0.1", port=args.port, workers=args.workers, log_level="warning"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("export")
    one.add_argument("--model", required=True)
    one.add_argument("--out", required=True)
    one.set_defaults(run=export)
    two = commands.add_parser("serve")
    two.add_argument("--model", required=True)
    two.add_argument("--file", default="model-int8.onnx")
    two.add_argument("--port", type=int, default=8902)
    two.add_argument("--workers", type=int, default=1, help="processes")
    two.add_argument("--threads", type=int, default=1, help="threads of ONNX Runtime in each process")
    two.add_argument("--inline", action="store_true", help="answer on the event loop, not on a thread pool")
    two.set_defaults(run=serve)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
