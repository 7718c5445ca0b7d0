"""What `transformers` computes with the model directories of a folder, beside what this program computed.

    compare.py ROOT    prints a line of JSON for every comparison; DIR/saved-CLASS is what the class then saved

A directory has texts.json (ids and segments) and expected.safetensors: `hidden` of every token, `head.N` of every head, `words`.
"""

import json
import os
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_MODULES_CACHE"] = tempfile.mkdtemp()

import torch
import transformers
from safetensors.torch import load_file

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)

CLASSES = {
    "classification": transformers.AutoModelForSequenceClassification,
    "multi_label": transformers.AutoModelForSequenceClassification,
    "regression": transformers.AutoModelForSequenceClassification,
    "span": transformers.AutoModelForQuestionAnswering,
    "tags": transformers.AutoModelForTokenClassification,
}


def batch_of(texts):
    """The texts as one padded batch, and the mask of its tokens. Padding is made of words that would show."""
    longest = max(len(text["ids"]) for text in texts)
    padded = lambda values, filling: torch.tensor([v + [filling] * (longest - len(v)) for v in values])
    mask = padded([[1] * len(text["ids"]) for text in texts], 0)
    return {
        "input_ids": padded([text["ids"] for text in texts], 7),
        "token_type_ids": padded([text["segments"] for text in texts], 0),
        "attention_mask": mask,
    }, mask.bool()


def load(cls, folder, **kwargs):
    """A model without a weight that is missing, left over or of another shape."""
    model, info = cls.from_pretrained(folder, trust_remote_code=True, output_loading_info=True, **kwargs)
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[key], (folder, cls.__name__, key, info[key])
    return model.eval()


def compared(name, what, found, expected):
    scale = max(1.0, expected.abs().max().item())
    assert found.shape == expected.shape, (name, what, found.shape, expected.shape)
    worst = (found - expected).abs().max().item() / scale
    print(json.dumps({"name": name, "what": what, "worst": worst if worst == worst else None}))


@torch.no_grad()
def check(root, name):
    folder = os.path.join(root, name)
    with open(f"{folder}/config.json") as file:
        config = json.load(file)
    with open(f"{folder}/texts.json") as file:
        batch, mask = batch_of(json.load(file))
    expected = load_file(f"{folder}/expected.safetensors")
    if config["model_type"] == "modernbert":
        del batch["token_type_ids"]
    if "auto_map" not in config:
        # Its heads are compared in the tests of `transformers`' own classes.
        for kind in ("sdpa", "eager"):
            if config["model_type"] == "mobilebert" and transformers.__version__.startswith("4."):
                # That class has no fused attention there.
                kind = "eager"
            model = transformers.AutoModel.from_pretrained(folder, attn_implementation=kind).eval()
            hidden = expected["hidden"]
            if config["model_type"] == "mobilebert":
                # That class sees the padding beside a text.
                rows = [model(**{k: v[i : i + 1, : m.sum()] for k, v in batch.items()})[0][0] for i, m in enumerate(mask)]
                found = torch.cat(rows)
            else:
                found = model(**batch).last_hidden_state[mask]
            compared(name, f"hidden, {kind}", found, hidden)
        if "words" in expected:
            # A class for each of the two heads, which has all weights that it needs.
            [head] = config["task_heads"]
            for auto, key in ((CLASSES[head["kind"]], "head.0"), (transformers.AutoModelForMaskedLM, "words")):
                model, info = auto.from_pretrained(folder, output_loading_info=True)
                assert not info["missing_keys"] and not info["mismatched_keys"], (name, info)
                rows = [model.eval()(**{k: v[i : i + 1, : m.sum()] for k, v in batch.items()})[0][0] for i, m in enumerate(mask)]
                found = torch.cat(rows) if key == "words" else torch.stack(rows)
                compared(name, f"{key}, {type(model).__name__}", found, expected[key])
        return
    first = True
    for kind in ("sdpa", "eager"):
        model = load(transformers.AutoModel, folder, attn_implementation=kind)
        assert type(model).__name__ == "EfficientBertModel" and model.config._attn_implementation == kind
        compared(name, f"hidden, {kind}", model(**batch).last_hidden_state[mask], expected["hidden"])
    model.save_pretrained(f"{folder}/saved-{type(model).__name__}")
    # A text alone has what it has in a batch.
    for at, kept in enumerate(mask):
        alone = model(**{key: values[at : at + 1, : kept.sum()] for key, values in batch.items()}).last_hidden_state[0]
        together = model(**batch).last_hidden_state[at, kept]
        assert torch.allclose(alone, together, atol=1e-5), (name, at)
    for at, head in enumerate(config.get("task_heads", [])):
        if head["kind"] not in CLASSES:
            continue
        for kind in ("sdpa", "eager"):
            model = load(CLASSES[head["kind"]], folder, attn_implementation=kind, task=head["task"])
            assert model.head == at and type(model).__module__.startswith("transformers_modules")
            labels = head.get("labels") or (["LABEL_0"] if head["kind"] == "regression" else None)
            assert labels is None or list(model.config.id2label.values()) == labels, (name, model.config.id2label)
            output = model(**batch)
            if head["kind"] == "span":
                found = torch.stack([output.start_logits, output.end_logits], dim=-1)[mask]
            else:
                found = output.logits[mask] if head["kind"] == "tags" else output.logits
            compared(name, f"{head['task']}, {kind}", found, expected[f"head.{at}"])
        if first:
            model.save_pretrained(f"{folder}/saved-{type(model).__name__}")
            again = load(CLASSES[head["kind"]], f"{folder}/saved-{type(model).__name__}", attn_implementation=kind, task=head["task"])
            assert torch.equal(again(**batch)[0], model(**batch)[0]), name
            first = False
    if "words" in expected:
        for kind in ("sdpa", "eager"):
            model = load(transformers.AutoModelForMaskedLM, folder, attn_implementation=kind)
            compared(name, f"words, {kind}", model(**batch).logits[mask], expected["words"])


root = sys.argv[1]
for name in sorted(os.listdir(root)):
    check(root, name)
