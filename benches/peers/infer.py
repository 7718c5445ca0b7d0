#!/usr/bin/env python3
"""Times one forward pass in the engines that people use on the CPU, one engine at a time, when asked.

Everything is built first; then each line of the standard input names an engine, which runs a few passes and is timed. So a program that
drives this one can let the engines and itself take turns. Models have random weights; `peer_bench.py` (--script) describes them.

First line of the output: {"ready": [engines], "left_out": {engine: why}, "versions": {library: version}}. Then for each line of the input:
{"engine", "ms_median", "ms_min"}.

Engines: torch, torch-bf16, torch-compile, torch-compile-bf16, ort, ort-int8 (dynamic), ov, ov-bf16, ov-int8 (NNCF, 32 random texts), ct2,
ct2-int8 (CTranslate2; plain BERT shapes alone).
"""
import argparse
import importlib.util
import json
import logging
import os
import sys
import tempfile
import time
import warnings


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--script", required=True, help="peer_bench.py")
    parser.add_argument("--model", required=True)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seq", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("engines", nargs="+")
    args = parser.parse_args()
    # Answers go where nothing else is printed.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    import torch

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    spec = importlib.util.spec_from_file_location("peer_bench", args.script)
    peers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peers)
    shape = peers.spec_of(args.model)
    ids, mask = peers.batch(args)
    model = peers.Encoder(**shape).eval()
    folder = tempfile.TemporaryDirectory()
    onnx = os.path.join(folder.name, "model.onnx")
    torch.onnx.export(model, (ids, mask), onnx, input_names=["ids", "mask"], dynamo=False, opset_version=17,
                      dynamic_axes={"ids": {0: "b", 1: "s"}, "mask": {0: "b", 1: "s"}})
    feed = {"ids": ids.numpy(), "mask": mask.numpy()}
    versions = {"torch": torch.__version__.split("+")[0]}

    def in_torch(name):
        module = model
        if name.endswith("bf16"):
            module = peers.Encoder(**shape).eval().bfloat16()
        if "compile" in name:
            module = torch.compile(module)
        return lambda: module(ids, mask)

    def in_ort(name):
        import onnxruntime
        versions["onnxruntime"] = onnxruntime.__version__
        path = onnx
        if name == "ort-int8":
            from onnxruntime.quantization import QuantType, quantize_dynamic
            path = onnx + ".int8"
            quantize_dynamic(onnx, path, weight_type=QuantType.QInt8)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = args.threads
        # A thread that waits by spinning would take time from the engine whose turn is next.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, feed)

    def in_openvino(name):
        import openvino
        versions["openvino"] = openvino.__version__.split("-")[0]
        network = openvino.Core().read_model(onnx)
        if name == "ov-int8":
            import nncf
            versions["nncf"] = nncf.__version__
            generator = torch.Generator().manual_seed(1)
            texts = [{"ids": torch.randint(1000, 30000, tuple(ids.shape), generator=generator).numpy(), "mask": feed["mask"]} for _ in range(32)]
            network = nncf.quantize(network, nncf.Dataset(texts), model_type=nncf.ModelType.TRANSFORMER, subset_size=32)
        hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": args.threads, "INFERENCE_PRECISION_HINT": "f32" if name == "ov" else "bf16"}
        request = openvino.compile_model(network, "CPU", hints).create_infer_request()
        return lambda: request.infer(feed)

    def in_ctranslate2(name):
        import ctranslate2
        from transformers import BertConfig, BertModel, BertTokenizerFast
        versions["ctranslate2"] = ctranslate2.__version__
        if shape.get("embed"):
            raise ValueError("has plain BERT shapes alone")
        path = os.path.join(folder.name, name)
        config = BertConfig(vocab_size=30522, hidden_size=shape["hidden"], num_hidden_layers=len(shape["layers"]),
                            num_attention_heads=shape["heads"], intermediate_size=shape["layers"][0]["ffn"])
        BertModel(config).save_pretrained(path)
        written = json.load(open(f"{path}/config.json"))
        json.dump(written | {"position_embedding_type": "absolute"}, open(f"{path}/config.json", "w"))
        with open(f"{path}/vocab.txt", "w") as vocabulary:
            vocabulary.write("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [f"t{i}" for i in range(30517)]))
        BertTokenizerFast(vocab_file=f"{path}/vocab.txt").save_pretrained(path)
        kind = "int8" if name == "ct2-int8" else "float32"
        ctranslate2.converters.TransformersConverter(path).convert(f"{path}.ct2", quantization=kind)
        encoder = ctranslate2.Encoder(f"{path}.ct2", device="cpu", compute_type=kind, intra_threads=args.threads, inter_threads=1)
        texts = ids.tolist()
        return lambda: encoder.forward_batch(texts)

    makers = {"torch": in_torch, "ort": in_ort, "ov": in_openvino, "ct2": in_ctranslate2}
    passes, left_out = {}, {}
    with torch.inference_mode():
        for name in args.engines:
            try:
                passes[name] = makers[name.split("-")[0]](name)
                passes[name]()
            except Exception as why:  # whatever an engine says is passed on, and the others still run
                passes.pop(name, None)
                left_out[name] = f"{type(why).__name__}: {str(why).strip().splitlines()[0] if str(why).strip() else ''}"
        print(json.dumps({"ready": list(passes), "left_out": left_out, "versions": versions}), file=answers, flush=True)
        for line in sys.stdin:
            name = line.strip()
            run, times = passes[name], []
            for number in range(3 + args.runs):
                start = time.perf_counter()
                run()
                if number >= 3:
                    times.append((time.perf_counter() - start) * 1e3)
            times.sort()
            print(json.dumps({"engine": name, "ms_median": times[len(times) // 2], "ms_min": times[0]}), file=answers, flush=True)


if __name__ == "__main__":
    main()
