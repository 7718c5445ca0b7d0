"""Models with classes of their own, exported to ONNX by `optimum`, which knows no such architecture and is told that it is as BERT.

    optimum_export.py ROOT GUIDE    ROOT/expected.json names the models and their heads; says `done`

It runs with transformers 4.57, since `optimum` takes none of version 5.
"""

import json
import os
import re
import shutil
import sys
import tempfile
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_MODULES_CACHE"] = tempfile.mkdtemp()
warnings.filterwarnings("ignore")

import numpy
import onnxruntime
import torch
import transformers
from optimum.exporters.onnx import main_export
from optimum.exporters.onnx.model_configs import BertOnnxConfig

transformers.logging.set_verbosity_error()
torch.set_num_threads(1)
TASKS = {
    "classification": ("text-classification", transformers.AutoModelForSequenceClassification),
    "multi_label": ("text-classification", transformers.AutoModelForSequenceClassification),
    "regression": ("text-classification", transformers.AutoModelForSequenceClassification),
    "span": ("question-answering", transformers.AutoModelForQuestionAnswering),
    "tags": ("token-classification", transformers.AutoModelForTokenClassification),
    "embedding": ("feature-extraction", transformers.AutoModel),
    "words": ("fill-mask", transformers.AutoModelForMaskedLM),
}
# One of each class, a student with layers that lack a part, and a plain one with a narrow word table.
MODELS = ["drawn-0", "narrow", "head-squad-v1", "head-names", "head-means", "searched-words"]
TOLERANCE = 1e-4

assert transformers.__version__.startswith("4."), transformers.__version__
root = sys.argv[1]
with open(f"{root}/expected.json") as file:
    expected = json.load(file)
models = {model["name"]: model for model in expected["models"]}
for name in MODELS:
    heads = models[name]["heads"]
    task, auto = TASKS[heads[0]["kind"] if heads else "words"]
    folder, out = f"{root}/{name}", tempfile.mkdtemp()
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=True)
    main_export(
        folder, out, task=task, library_name="transformers", trust_remote_code=True, do_validation=False,
        custom_onnx_configs={"model": BertOnnxConfig(config, task=task)},
    )
    session = onnxruntime.InferenceSession(f"{out}/model.onnx")
    tokens = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    model = auto.from_pretrained(folder, trust_remote_code=True).eval()
    worst = 0.0
    for count in (1, 3, 8):
        batch = tokens(expected["texts"][:count], padding=True, truncation=True, return_tensors="np")
        found = session.run(None, {value.name: batch[value.name] for value in session.get_inputs()})
        with torch.no_grad():
            wanted = model(**{key: torch.tensor(values) for key, values in batch.items()})
        for output, values in zip(session.get_outputs(), found):
            worst = max(worst, float(numpy.abs(values - wanted[output.name].numpy()).max()))
    print(f"{name} ({task}): {worst:.1e}")
    assert worst <= TOLERANCE, (name, worst)
# What docs/transformers.md shows.
with open(sys.argv[2]) as file:
    blocks = [block for block in re.findall(r"```python\n(.*?)```", file.read(), re.DOTALL) if "optimum" in block]
assert len(blocks) == 1, len(blocks)
os.chdir(tempfile.mkdtemp())
shutil.copytree(f"{root}/head-reviews", "student")
exec(blocks[0], {})
assert os.path.isfile("onnx/model.onnx")
print("done")
