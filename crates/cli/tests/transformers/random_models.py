"""Random BERTs and MobileBERTs of `transformers`, and what they compute.

    random_models.py make DIR COUNT SEED    writes COUNT models of each family below DIR, one folder each
    random_models.py check DIR              computes again with what stands in DIR/*/imported, prints a JSON line for each

A folder holds config.json and model.safetensors as `save_pretrained` writes them, vocab.txt, inputs.safetensors (what `encode`
takes), expected.safetensors (computed in 64 bits) and case.json.
"""

import glob
import json
import os
import random
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

import torch
import transformers
from safetensors.torch import load_file, save_file

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

ACTIVATIONS = [
    "gelu", "gelu_python", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_accurate", "relu", "silu", "swish",
    "tanh", "sigmoid", "leaky_relu",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# What a head answers to: outputs, and whether it reads pairs.
TASKS = {"sst-2": (2, False), "mnli": (3, True), "sts-b": (1, True)}


def common(rng):
    heads, per_head = rng.randint(1, 4), rng.choice([2, 3, 4, 6])
    return dict(
        vocab_size=rng.randint(20, 60),
        num_attention_heads=heads,
        num_hidden_layers=rng.randint(1, 3),
        intermediate_size=rng.randint(3, 40),
        hidden_act=rng.choice(ACTIVATIONS),
        max_position_embeddings=rng.randint(10, 24),
        type_vocab_size=rng.randint(2, 3),
        layer_norm_eps=rng.choice([1e-12, 1e-7, 1e-5, 1e-3, 0.1]),
        pad_token_id=rng.choice([0, 0, 3]),
        hidden_dropout_prob=rng.choice([0.0, 0.1]),
        classifier_dropout=rng.choice([None, 0.3]),
    ), heads * per_head


def bert_config(rng, _index):
    keys, width = common(rng)
    keys["chunk_size_feed_forward"] = rng.choice([0, 0, 1])
    keys["use_cache"] = rng.random() < 0.5
    return transformers.BertConfig(hidden_size=width, **keys)


def mobilebert_config(rng, index):
    keys, width = common(rng)
    keys.update(
        use_bottleneck=rng.random() < 0.75,
        trigram_input=rng.random() < 0.5,
        normalization_type=rng.choice(["no_norm", "layer_norm"]),
        use_bottleneck_attention=rng.random() < 0.5,
        key_query_shared_bottleneck=rng.random() < 0.7,
        num_feedforward_networks=rng.randint(1, 4),
        classifier_activation=rng.random() < 0.5,
    )
    # Each form is there, whatever chance gives.
    form = index % 6
    if form == 0:
        keys.update(trigram_input=False)
    elif form == 1:
        keys.update(normalization_type="layer_norm")
    elif form == 2:
        keys.update(use_bottleneck=True, use_bottleneck_attention=True, key_query_shared_bottleneck=True)
    elif form == 3:
        keys.update(classifier_activation=False)
    elif form == 4:
        keys.update(use_bottleneck=False)
    hidden, inside = width, width
    if keys["use_bottleneck"]:
        attends = keys["use_bottleneck_attention"] or keys["key_query_shared_bottleneck"]
        # Queries and keys of the wide input fit only where it is as wide as the layer's inside.
        hidden = width + rng.randint(0, 12) if attends else width
    else:
        inside = rng.randint(2, 30)
    embedding = hidden if form == 0 or rng.random() < 0.3 else rng.randint(2, hidden)
    return transformers.MobileBertConfig(
        hidden_size=hidden, intra_bottleneck_size=inside, embedding_size=embedding, **keys
    )


def build(family, config, rng, index):
    """A model of a random class, the task of its head, and whether it is a pretraining head."""
    prefix = {"bert": "Bert", "mobilebert": "MobileBert"}[family]
    kind = rng.choice(["Model", "Model", "ForSequenceClassification", "ForSequenceClassification",
                       "ForQuestionAnswering", "ForMaskedLM", "ForPreTraining"])
    if family == "mobilebert" and index % 6 == 3:
        kind = "ForSequenceClassification"
    task = None
    if kind == "ForSequenceClassification":
        task = rng.choice(list(TASKS))
        config.num_labels = TASKS[task][0]
        config.pad_token_id = 0
    elif kind == "ForQuestionAnswering":
        task = "squad-v1"
    elif kind == "Model" and rng.random() < 0.3:
        config.type_vocab_size = 1
    more = {"add_pooling_layer": rng.random() < 0.7} if kind == "Model" else {}
    return getattr(transformers, prefix + kind)(config, **more), kind, task


def fill(model, config, rng):
    """Random weights, of norms too; small ones let the epsilon of a norm show."""
    # Nothing holds back the states of a model without norms. Where scores of attention come near 10000, padding that is blocked by
    # adding -10000, as in BERT's and EfficientBERT's code, is seen; `transformers` adds the smallest number there is.
    is_free = getattr(config, "normalization_type", "") == "no_norm"
    spread = rng.choice([0.01, 0.05, 0.1] if is_free else [0.01, 0.05, 0.2, 0.7])
    generator = torch.Generator().manual_seed(rng.getrandbits(32))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("LayerNorm.weight"):
                parameter.copy_(1 + 0.3 * noise)
            elif name.endswith("LayerNorm.bias"):
                parameter.copy_(0.3 * noise)
            else:
                parameter.copy_(spread * noise)
    model.tie_weights()


def batch(config, rng):
    """Rows of different lengths, padded to the longest; some are pairs."""
    rows, seq = rng.randint(2, 4), rng.randint(4, config.max_position_embeddings)
    ids = torch.full((rows, seq), config.pad_token_id)
    segments, mask = torch.zeros_like(ids), torch.zeros_like(ids)
    for row in range(rows):
        length = seq if row == 0 else rng.randint(1, seq)
        ids[row, :length] = torch.tensor([rng.randrange(config.vocab_size) for _ in range(length)])
        mask[row, :length] = 1
        if config.type_vocab_size > 1 and rng.random() < 0.6:
            segments[row, rng.randrange(length):length] = rng.randint(1, config.type_vocab_size - 1)
    return ids, segments, mask


def compute(model, kind, ids, segments, mask):
    """Hidden states and scores under the names of `encode` and of the heads."""
    with torch.no_grad():
        out = model(input_ids=ids, token_type_ids=segments, attention_mask=mask, output_hidden_states=True)
    found = {f"output.hidden.{i}": h for i, h in enumerate(out.hidden_states)}
    found["output.last_hidden"] = out.hidden_states[-1]
    if kind == "ForSequenceClassification":
        found["scores"] = out.logits
    elif kind == "ForQuestionAnswering":
        found["scores"] = torch.stack([out.start_logits, out.end_logits], dim=2)
    elif kind == "ForMaskedLM":
        found["words"] = out.logits
    elif kind == "ForPreTraining":
        found["words"] = out.prediction_logits
    return {name: value.float().contiguous() for name, value in found.items()}


def texts(model, config, task, rng):
    """Texts as ids of vocab.txt, and the model's answers: probabilities, or the score of a regression."""
    _, is_pair = TASKS[task]
    answers = []
    for _ in range(3):
        # [CLS] a [SEP], or [CLS] a [SEP] b [SEP], which must fit.
        most = (config.max_position_embeddings - 3) // 2
        words = [[rng.randrange(len(SPECIAL), config.vocab_size) for _ in range(rng.randint(1, most))]
                 for _ in range(2 if is_pair else 1)]
        ids, segments = [2] + words[0] + [3], [0] * (len(words[0]) + 2)
        if is_pair:
            ids, segments = ids + words[1] + [3], segments + [1] * (len(words[1]) + 1)
        with torch.no_grad():
            scores = model(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([segments])).logits[0]
        values = scores if len(scores) == 1 else scores.softmax(0)
        answers.append({"texts": [" ".join(f"w{i}" for i in text) for text in words], "answer": values.tolist()})
    return answers


def make(folder, family, index, seed):
    rng = random.Random(f"{seed} {family} {index}")
    config = {"bert": bert_config, "mobilebert": mobilebert_config}[family](rng, index)
    model, kind, task = build(family, config, rng, index)
    model = model.eval()
    fill(model, config, rng)
    if rng.random() < 0.2:
        model = model.to(rng.choice([torch.float16, torch.bfloat16]))
    os.makedirs(folder)
    model.save_pretrained(folder)
    if family == "mobilebert" and not config.classifier_activation and kind in ("Model", "ForSequenceClassification"):
        # As in the released checkpoint, whose pooler is not used either.
        path = os.path.join(folder, "model.safetensors")
        tensors = load_file(path)
        prefix = "" if kind == "Model" else "mobilebert."
        width = config.hidden_size
        tensors[f"{prefix}pooler.dense.weight"] = torch.randn(width, width)
        tensors[f"{prefix}pooler.dense.bias"] = torch.randn(width)
        save_file(tensors, path, metadata={"format": "pt"})
    words = SPECIAL + [f"w{i}" for i in range(len(SPECIAL), config.vocab_size)]
    with open(os.path.join(folder, "vocab.txt"), "w") as file:
        file.writelines(word + "\n" for word in words)

    model = model.double()
    ids, segments, mask = batch(config, rng)
    inputs = {"input.token_ids": ids, "input.segment_ids": segments, "input.pad_mask": 1 - mask}
    save_file(inputs, os.path.join(folder, "inputs.safetensors"))
    save_file(compute(model, kind, ids, segments, mask), os.path.join(folder, "expected.safetensors"))
    case = {"kind": kind, "task": task, "answers": []}
    if task in TASKS:
        case["answers"] = texts(model, config, task, rng)
    with open(os.path.join(folder, "case.json"), "w") as file:
        json.dump(case, file)


def check(folder):
    """The largest difference, by the same measure as the test's, of what the saved directory computes here."""
    with open(os.path.join(folder, "case.json")) as file:
        case = json.load(file)
    directory = os.path.join(folder, "imported")
    with open(os.path.join(directory, "config.json")) as file:
        name = json.load(file)["architectures"][0]
    model = getattr(transformers, name).from_pretrained(directory).double().eval()
    inputs = load_file(os.path.join(folder, "inputs.safetensors"))
    ids, segments = inputs["input.token_ids"], inputs["input.segment_ids"]
    # A directory keeps no next-sentence head.
    kind = {"ForPreTraining": "ForMaskedLM"}.get(case["kind"], case["kind"])
    found = compute(model, kind, ids, segments, 1 - inputs["input.pad_mask"])
    expected = load_file(os.path.join(folder, "expected.safetensors"))
    worst = max(
        ((found[name] - value).abs().max() / max(1.0, value.abs().max())).item() for name, value in expected.items()
    )
    print(json.dumps({"name": os.path.basename(folder), "class": name, "worst": worst}), flush=True)


def main():
    torch.set_num_threads(1)
    command, root = sys.argv[1], sys.argv[2]
    if command == "make":
        count, seed = int(sys.argv[3]), int(sys.argv[4])
        for family in ("bert", "mobilebert"):
            for index in range(count):
                make(os.path.join(root, f"{family}-{index:02}"), family, index, seed)
    elif command == "check":
        for folder in sorted(glob.glob(os.path.join(root, "*bert-*"))):
            check(folder)
    else:
        sys.exit(f"unknown command {command}")


if __name__ == "__main__":
    main()
