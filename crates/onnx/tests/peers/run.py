"""Runs exported models by ONNX Runtime and OpenVINO, and says how far their outputs are from the expected ones.

run.py FOLDER: each folder in it has model.onnx and case.json. Prints one JSON object for each.
"""

import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from onnxruntime.transformers import optimizer

BATCHES = (1, 3, 8)


def batches(texts, size):
    """Token ids, masks and segments of `size` texts at a time, padded to the longest with an id that is a word."""
    for start in range(0, len(texts), size):
        some = texts[start : start + size]
        length = max(len(text["ids"]) for text in some)
        padded = {name: np.zeros((len(some), length), np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
        padded["input_ids"][:] = 1
        for row, text in enumerate(some):
            count = len(text["ids"])
            padded["input_ids"][row, :count] = text["ids"]
            padded["token_type_ids"][row, :count] = text["segments"]
            padded["attention_mask"][row, :count] = 1
        yield start, padded


def difference(case, run, inputs):
    """The largest difference of all outputs, relative to the largest expected value where that is above 1."""
    texts, most = case["texts"], 0.0
    scales = {o["name"]: max(1.0, max(np.abs(text).max() for text in o["expected"])) for o in case["outputs"]}
    for size in BATCHES:
        for start, padded in batches(texts, size):
            found = run({name: padded[name] for name in inputs})
            for output in case["outputs"]:
                for row, values in enumerate(found[output["name"]]):
                    expected = np.array(output["expected"][start + row], np.float32)
                    if output["by_token"]:
                        values = values[: len(texts[start + row]["ids"])]
                    values = np.asarray(values, np.float32).reshape(-1)
                    assert values.shape == expected.shape, (output["name"], values.shape, expected.shape)
                    apart = np.abs(values - expected).max() / scales[output["name"]]
                    most = float(apart) if apart > most or np.isnan(apart) else most
    return most


def fused(path, case):
    """How many attentions and norms ONNX Runtime's optimizer for transformers makes of the graph."""
    model = optimizer.optimize_model(str(path), "bert", case["heads"], case["hidden"], opt_level=0)
    counts = model.get_fused_operator_statistics()
    return [counts["Attention"], counts["SkipLayerNormalization"]]


def compared(folder):
    case = json.loads((folder / "case.json").read_text())
    path = folder / "model.onnx"
    onnx.checker.check_model(str(path), full_check=True)
    onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True, data_prop=True)

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    inputs = [value.name for value in session.get_inputs()]
    result = {"name": folder.name, "inputs": inputs}
    result["onnxruntime"] = difference(case, lambda x: dict(zip(names, session.run(names, x))), inputs)

    core = openvino.Core()
    compiled = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "2"})
    result["openvino"] = difference(case, lambda x: {name: compiled(x)[name] for name in names}, inputs)
    if case["fuses"]:
        result["fused"] = fused(path, case)
    return result


for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    print(json.dumps(compared(folder)), flush=True)
