"""A small random model of each family that is imported, fine-tuned by PyTorch on fixed batches.

    fine_tune.py DIR SEED    writes a folder for each family below DIR

A folder holds config.json and model.safetensors as `save_pretrained` writes them, a tokenizer, batches.safetensors (the batches of all
steps) and recorded.json: the settings, and loss, gradient norm and learning rate of each step, computed in 32 bits. Where classifiers of a
family are not imported, the folder has the encoder, and head.safetensors a new head for it: a dense layer with tanh, and a classifier.
"""

import json
import os
import sys

import torch
import transformers
from safetensors.torch import save_file

from random_models import CLASSES, ROBERTAS, inputs_of, write_tokenizer

# Their classifiers have other heads than a BERT, and are refused.
FRESH_HEADS = ("distilbert", "electra")
STEPS, DIFFERENT, ROWS, LONGEST, VOCABULARY, CLASSES_OF_TASK = 20, 4, 8, 12, 50, 2
SETTINGS = {
    "steps": STEPS, "warmup_steps": 4, "learning_rate": 5e-3, "beta1": 0.8, "beta2": 0.95, "eps": 1e-4, "weight_decay": 0.5, "clip_norm": 0.8,
}


def config_of(family):
    """Small, and without dropout."""
    pad = 1 if family in ROBERTAS else 0
    positions = LONGEST + (pad + 1 if family in ROBERTAS else 0)
    common = dict(vocab_size=VOCABULARY, max_position_embeddings=positions, pad_token_id=pad, initializer_range=0.1)
    if family == "distilbert":
        return transformers.DistilBertConfig(
            dim=24, n_heads=4, n_layers=2, hidden_dim=48, dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0, **common
        )
    if family == "modernbert":
        return transformers.ModernBertConfig(
            hidden_size=24, num_attention_heads=4, num_hidden_layers=3, intermediate_size=48, local_attention=6, num_labels=CLASSES_OF_TASK,
            bos_token_id=2, cls_token_id=2, eos_token_id=3, sep_token_id=3, **common
        )
    common.update(
        hidden_size=24, num_attention_heads=4, num_hidden_layers=2, intermediate_size=48, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, classifier_dropout=0.0, type_vocab_size=1 if family in ROBERTAS else 2,
        num_labels=CLASSES_OF_TASK,
    )
    if family == "mobilebert":
        common.update(embedding_size=16, intra_bottleneck_size=24, num_feedforward_networks=2, normalization_type="layer_norm")
    if family == "electra":
        common.update(embedding_size=24)
    return getattr(transformers, CLASSES[family] + "Config")(**common)


class WithFreshHead(torch.nn.Module):
    """An encoder, and BERT's head for texts."""

    def __init__(self, encoder, width):
        super().__init__()
        self.encoder = encoder
        self.pooler = torch.nn.ModuleDict({"dense": torch.nn.Linear(width, width)})
        self.classifier = torch.nn.Linear(width, CLASSES_OF_TASK)

    def forward(self, **inputs):
        first = self.encoder(**inputs).last_hidden_state[:, 0]
        return self.classifier(torch.tanh(self.pooler["dense"](first)))


def save(folder, family, config):
    """Writes a new model; gives it, and how its logits are computed."""
    if family not in FRESH_HEADS:
        model = getattr(transformers, CLASSES[family] + "ForSequenceClassification")(config)
        model.save_pretrained(folder)
        return model, lambda inputs: model(**inputs).logits
    encoder = getattr(transformers, CLASSES[family] + "Model")(config)
    encoder.save_pretrained(folder)
    model = WithFreshHead(encoder, 24)
    head = {name: value.detach().clone() for name, value in model.named_parameters() if not name.startswith("encoder.")}
    save_file(head, os.path.join(folder, "head.safetensors"))
    return model, lambda inputs: model(**inputs)


def batches(family, config):
    """Rows of different lengths, again after some steps; a class says whether the token behind the first is even."""
    types = getattr(config, "type_vocab_size", 1)
    ids = torch.randint(5, VOCABULARY, (DIFFERENT, ROWS, LONGEST))
    lengths = torch.randint(3, LONGEST + 1, (DIFFERENT, ROWS, 1))
    lengths[:, 0] = LONGEST
    if family == "mobilebert":
        # The last token of a text sees the embedding behind it. Of padding `transformers` keeps it as it is, and this program trains it.
        lengths[:] = LONGEST
    if family == "modernbert":
        # In `transformers` a token of padding that sees padding alone is no number.
        lengths[:] = LONGEST
    mask = (torch.arange(LONGEST) < lengths).long()
    ids = torch.where(mask.bool(), ids, torch.tensor(config.pad_token_id))
    starts = torch.randint(2, LONGEST, (DIFFERENT, ROWS, 1))
    segments = ((torch.arange(LONGEST) >= starts) & mask.bool() & (types > 1)).long()
    data = {"ids": ids, "segments": segments, "mask": mask, "labels": ids[:, :, 1] % 2}
    return {name: value.repeat(STEPS // DIFFERENT, *[1] * (value.dim() - 1)) for name, value in data.items()}


def optimizer_of(model):
    """AdamW with decay of matrices alone, as usual: not of biases and norms."""
    decayed, others = [], []
    for name, parameter in model.named_parameters():
        plain = name.lower().replace("_", "")
        is_norm = plain.endswith("bias") or "norm" in plain
        (others if is_norm else decayed).append(parameter)
        assert is_norm == (parameter.dim() == 1), name
    groups = [{"params": decayed, "weight_decay": SETTINGS["weight_decay"]}, {"params": others, "weight_decay": 0.0}]
    betas = (SETTINGS["beta1"], SETTINGS["beta2"])
    return torch.optim.AdamW(groups, lr=SETTINGS["learning_rate"], betas=betas, eps=SETTINGS["eps"])


def fine_tune(folder, family, seed):
    torch.manual_seed(seed)
    config = config_of(family)
    os.makedirs(folder)
    model, logits_of = save(folder, family, config)
    write_tokenizer(folder, family, VOCABULARY)
    data = batches(family, config)
    save_file(data, os.path.join(folder, "batches.safetensors"))
    optimizer = optimizer_of(model)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, SETTINGS["warmup_steps"], STEPS)
    model.train()
    recorded = []
    for ids, segments, mask, labels in zip(data["ids"], data["segments"], data["mask"], data["labels"]):
        logits = logits_of(inputs_of(family, config, ids, segments, mask))
        loss = torch.nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), SETTINGS["clip_norm"])
        recorded.append({"loss": loss.item(), "norm": norm.item(), "rate": schedule.get_last_lr()[0]})
        optimizer.step()
        schedule.step()
    with open(os.path.join(folder, "recorded.json"), "w") as file:
        json.dump({"settings": SETTINGS, "steps": recorded}, file)


def main():
    torch.set_num_threads(1)
    root, seed = sys.argv[1], int(sys.argv[2])
    for number, family in enumerate(CLASSES):
        fine_tune(os.path.join(root, family), family, seed + number)


if __name__ == "__main__":
    main()
