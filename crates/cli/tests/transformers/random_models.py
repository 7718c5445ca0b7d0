"""Random models of `transformers`, of every family that is imported, and what they compute.

    random_models.py make DIR COUNT SEED    writes COUNT models of each family below DIR, one folder each; a fifth as many of
                                            XLM-RoBERTa and CamemBERT, which share all but their name with RoBERTa
    random_models.py check DIR              computes again with what stands in DIR/*/imported, prints a JSON line for each

A folder holds config.json and model.safetensors as `save_pretrained` writes them, vocab.txt or tokenizer.json, inputs.safetensors
(what `encode` takes), expected.safetensors (computed in 64 bits) and case.json.
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
ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
# Names of classes begin with these.
CLASSES = {
    "bert": "Bert", "mobilebert": "MobileBert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta", "camembert": "Camembert",
    "distilbert": "DistilBert", "electra": "Electra", "modernbert": "ModernBert",
}
ROBERTAS = ("roberta", "xlm-roberta", "camembert")
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


def roberta_config(family, rng, _index):
    keys, width = common(rng)
    keys["pad_token_id"] = rng.choice([1, 1, 0, 3])
    # Rows before the first position come on top.
    keys["max_position_embeddings"] += keys["pad_token_id"] + 1
    keys["type_vocab_size"] = rng.choice([1, 1, 2])
    return getattr(transformers, CLASSES[family] + "Config")(hidden_size=width, **keys)


def distilbert_config(rng, _index):
    keys, width = common(rng)
    return transformers.DistilBertConfig(
        dim=width,
        n_heads=keys["num_attention_heads"],
        n_layers=keys["num_hidden_layers"],
        hidden_dim=keys["intermediate_size"],
        activation=keys["hidden_act"],
        dropout=keys["hidden_dropout_prob"],
        vocab_size=keys["vocab_size"],
        max_position_embeddings=keys["max_position_embeddings"],
        pad_token_id=keys["pad_token_id"],
        sinusoidal_pos_embds=rng.random() < 0.5,
    )


def electra_config(rng, _index):
    keys, width = common(rng)
    return transformers.ElectraConfig(hidden_size=width, embedding_size=width, **keys)


def modernbert_config(rng, index):
    """Windows are short, so that most texts are longer."""
    keys, _ = common(rng)
    heads, layers = keys["num_attention_heads"], rng.randint(1, 4)
    sizes = {name: keys[name] for name in
             ("vocab_size", "num_attention_heads", "intermediate_size", "max_position_embeddings", "pad_token_id")}
    sizes.update(
        hidden_size=heads * rng.choice([2, 4, 6, 8]),
        num_hidden_layers=layers,
        hidden_activation=keys["hidden_act"],
        norm_eps=keys["layer_norm_eps"],
        local_attention=rng.choice([0, 1, 2, 3, 6, 9, 128]),
        classifier_pooling=rng.choice(["cls", "mean"]),
        classifier_activation=rng.choice(ACTIVATIONS),
        classifier_dropout=rng.choice([0.0, 0.3]),
        embedding_dropout=rng.choice([0.0, 0.1]),
        mlp_dropout=rng.choice([0.0, 0.1]),
        attention_dropout=rng.choice([0.0, 0.1]),
    )
    for name in ("norm_bias", "attention_bias", "mlp_bias", "classifier_bias"):
        sizes[name] = rng.random() < 0.3
    sizes["decoder_bias"] = rng.random() < 0.7
    for name in ("bos", "eos", "cls", "sep"):
        sizes[f"{name}_token_id"] = 2
    # The keys of version 4, those of version 5, or none.
    thetas = rng.choice([1.0, 50.0, 10_000.0]), rng.choice([3.0, 100.0, 160_000.0])
    if index % 3 == 0:
        sizes.update(
            global_attn_every_n_layers=rng.randint(1, 3), local_rope_theta=thetas[0], global_rope_theta=thetas[1]
        )
    elif index % 3 == 1:
        kinds = ("sliding_attention", "full_attention")
        sizes.update(
            layer_types=[rng.choice(kinds) for _ in range(layers)],
            rope_parameters={kind: {"rope_type": "default", "rope_theta": theta} for kind, theta in zip(kinds, thetas)},
        )
    return transformers.ModernBertConfig(**sizes)


def tags(config, rng):
    """Gives the head some tags, and returns the name of its task."""
    config.num_labels = rng.randint(2, 7)
    return "entities"


def build_foreign(family, config, rng):
    """As `build`, of a family that becomes a BERT."""
    kinds = {"distilbert": ["Model", "ForQuestionAnswering", "ForTokenClassification", "ForMaskedLM"],
             "electra": ["Model", "ForQuestionAnswering", "ForTokenClassification", "ForMaskedLM", "ForPreTraining"]}
    classifies = ["Model", "ForSequenceClassification", "ForSequenceClassification", "ForQuestionAnswering",
                  "ForTokenClassification", "ForMaskedLM"]
    kind = rng.choice(kinds.get(family, classifies))
    task = None
    if kind == "ForSequenceClassification":
        task = rng.choice(list(TASKS))
        config.num_labels = TASKS[task][0]
        # The tokenizer's.
        config.max_position_embeddings += 1 - config.pad_token_id
        config.pad_token_id = 1
    elif kind == "ForQuestionAnswering":
        task = "squad-v1"
    elif kind == "ForTokenClassification":
        task = tags(config, rng)
    elif kind == "ForMaskedLM" and family != "distilbert":
        # These heads have an activation of their own.
        config.hidden_act = rng.choice(["gelu", "gelu_python"])
    more = {"add_pooling_layer": rng.random() < 0.7} if kind == "Model" and family in ROBERTAS else {}
    model = getattr(transformers, CLASSES[family] + kind)(config, **more)
    # A directory keeps no head that tells replaced tokens.
    return model, "Discriminator" if kind == "ForPreTraining" else kind, task


def build(family, config, rng, index):
    """A model of a random class, its kind, and the task of its head."""
    if family not in ("bert", "mobilebert", "modernbert"):
        return build_foreign(family, config, rng)
    prefix = CLASSES[family]
    kind = rng.choice(["Model", "Model", "ForSequenceClassification", "ForSequenceClassification",
                       "ForQuestionAnswering", "ForTokenClassification", "ForMaskedLM", "ForPreTraining"])
    is_modern = family == "modernbert"
    if is_modern and kind == "ForPreTraining":
        kind = "ForMaskedLM"
    if family == "mobilebert" and index % 6 == 3:
        kind = "ForSequenceClassification"
    task = None
    if kind == "ForSequenceClassification":
        task = rng.choice(list(TASKS))
        config.num_labels = TASKS[task][0]
        config.pad_token_id = 0
    elif kind == "ForQuestionAnswering":
        task = "squad-v1"
    elif kind == "ForTokenClassification":
        task = tags(config, rng)
    elif kind == "Model" and not is_modern and rng.random() < 0.3:
        config.type_vocab_size = 1
    more = {"add_pooling_layer": rng.random() < 0.7} if kind == "Model" and not is_modern else {}
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
            # LayerNorm, layer_norm, sa_layer_norm, vocab_layer_norm
            plain = name.lower().replace("_", "")
            # ModernBERT's norms are norm, attn_norm, mlp_norm and final_norm.
            if plain.endswith("norm.weight"):
                parameter.copy_(1 + 0.3 * noise)
            elif plain.endswith("norm.bias"):
                parameter.copy_(0.3 * noise)
            else:
                parameter.copy_(spread * noise)
    model.tie_weights()


def positions(family, config):
    """How long a text can be."""
    return config.max_position_embeddings - (config.pad_token_id + 1 if family in ROBERTAS else 0)


def batch(family, config, rng):
    """Rows of different lengths, padded to the longest; some are pairs."""
    rows, seq = rng.randint(2, 4), rng.randint(4, positions(family, config))
    # RoBERTa counts no position for padding, wherever it stands.
    tokens = [i for i in range(config.vocab_size) if family not in ROBERTAS or i != config.pad_token_id]
    # DistilBERT and ModernBERT have no segments, so they must make no difference.
    types = getattr(config, "type_vocab_size", 2)
    ids = torch.full((rows, seq), config.pad_token_id)
    segments, mask = torch.zeros_like(ids), torch.zeros_like(ids)
    for row in range(rows):
        length = seq if row == 0 else rng.randint(1, seq)
        ids[row, :length] = torch.tensor([tokens[rng.randrange(len(tokens))] for _ in range(length)])
        mask[row, :length] = 1
        if types > 1 and rng.random() < 0.6:
            segments[row, rng.randrange(length):length] = rng.randint(1, types - 1)
    return ids, segments, mask


def inputs_of(family, config, ids, segments, mask):
    """What the model of a family takes. Positions of a RoBERTa go on over the padding, as a BERT's do."""
    inputs = {"input_ids": ids, "attention_mask": mask}
    if family not in ("distilbert", "modernbert"):
        inputs["token_type_ids"] = segments
    if family in ROBERTAS:
        inputs["position_ids"] = (torch.arange(ids.shape[1]) + config.pad_token_id + 1).expand(ids.shape)
    return inputs


def attention(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    """That of `transformers` in 64 bits: its softmax is one of 32, in which the smallest number of 64 is infinite. A row of padding that
    sees nothing but padding would give no number, which the next layer multiplies with 0."""
    scores = query @ key.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask.clamp(min=-1e9)
    probabilities = scores.softmax(-1)
    return (probabilities @ value).transpose(1, 2).contiguous(), probabilities


def settle(model):
    """What a ModernBERT computes when it is loaded, in 64 bits: frequencies of positions are not rounded with its weights."""
    base = getattr(model, "model", model)
    base.rotary_emb = type(base.rotary_emb)(model.config)
    transformers.models.modernbert.modeling_modernbert.eager_attention_forward = attention
    model.set_attn_implementation("eager")


def check_positions(model, kind, found, inputs, mask):
    """Positions that the model chooses itself are the same for all tokens but padding."""
    own = compute(model, kind, {name: value for name, value in inputs.items() if name != "position_ids"})
    for name, value in found.items():
        of_tokens = mask.bool() if value.dim() == 3 else slice(None)
        difference = (own[name][of_tokens] - value[of_tokens]).abs().max().item()
        assert difference < 1e-5, f"{name}: {difference}"


def compute(model, kind, inputs):
    """Hidden states and scores under the names of `encode` and of the heads."""
    with torch.no_grad():
        out = model(output_hidden_states=True, **inputs)
    found = {f"output.hidden.{i}": h for i, h in enumerate(out.hidden_states)}
    found["output.last_hidden"] = out.hidden_states[-1]
    if kind in ("ForSequenceClassification", "ForTokenClassification"):
        found["scores"] = out.logits
    elif kind == "ForQuestionAnswering":
        found["scores"] = torch.stack([out.start_logits, out.end_logits], dim=2)
    elif kind == "ForMaskedLM":
        found["words"] = out.logits
    elif kind == "ForPreTraining":
        found["words"] = out.prediction_logits
    return {name: value.float().contiguous() for name, value in found.items()}


def texts(family, model, config, task, rng):
    """Texts as ids of the tokenizer, and the model's answers: probabilities, or the score of a regression."""
    _, is_pair = TASKS[task]
    # [CLS] a [SEP], [CLS] a [SEP] b [SEP]; <s> a </s>, <s> a </s></s> b </s>
    cls, sep, between, second = (0, 2, 2, 0) if family in ROBERTAS else (2, 3, 1, 1)
    answers = []
    for _ in range(3):
        # They must fit.
        most = (positions(family, config) - 2 - between) // 2
        words = [[rng.randrange(len(SPECIAL), config.vocab_size) for _ in range(rng.randint(1, most))]
                 for _ in range(2 if is_pair else 1)]
        ids = [cls] + words[0] + [sep]
        if is_pair:
            ids += [sep] * (between - 1)
        segments = [0] * len(ids)
        if is_pair:
            ids, segments = ids + words[1] + [sep], segments + [second] * (len(words[1]) + 1)
        with torch.no_grad():
            tokens = torch.tensor([ids])
            inputs = inputs_of(family, config, tokens, torch.tensor([segments]), torch.ones_like(tokens))
            scores = model(**inputs).logits[0]
        values = scores if len(scores) == 1 else scores.softmax(0)
        answers.append({"texts": [" ".join(f"w{i}" for i in text) for text in words], "answer": values.tolist()})
    return answers


def write_tokenizer(folder, family, size):
    """A tokenizer whose words are separated by spaces."""
    names = ROBERTA_SPECIAL if family in ROBERTAS else SPECIAL
    words = names + [f"w{i}" for i in range(len(names), size)]
    if family not in ROBERTAS:
        with open(os.path.join(folder, "vocab.txt"), "w") as file:
            file.writelines(word + "\n" for word in words)
        return
    added = [{"id": i, "content": name, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
             for i, name in enumerate(names)]
    frame = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": False}
    vocab = {word: i for i, word in enumerate(words)}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": frame, "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
    }
    with open(os.path.join(folder, "tokenizer.json"), "w") as file:
        json.dump(tokenizer, file)


def make(folder, family, index, seed):
    rng = random.Random(f"{seed} {family} {index}")
    if family in ROBERTAS:
        config = roberta_config(family, rng, index)
    else:
        configs = {"bert": bert_config, "mobilebert": mobilebert_config, "distilbert": distilbert_config,
                   "electra": electra_config, "modernbert": modernbert_config}
        config = configs[family](rng, index)
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
    write_tokenizer(folder, family, config.vocab_size)

    model = model.double()
    if family == "modernbert":
        settle(model)
    ids, segments, mask = batch(family, config, rng)
    inputs = {"input.token_ids": ids, "input.segment_ids": segments, "input.pad_mask": 1 - mask}
    save_file(inputs, os.path.join(folder, "inputs.safetensors"))
    inputs = inputs_of(family, config, ids, segments, mask)
    expected = compute(model, kind, inputs)
    if family in ROBERTAS:
        check_positions(model, kind, expected, inputs, mask)
    save_file(expected, os.path.join(folder, "expected.safetensors"))
    case = {"kind": kind, "task": task, "answers": []}
    if task in TASKS:
        case["answers"] = texts(family, model, config, task, rng)
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
    mask = 1 - inputs["input.pad_mask"]
    inputs = {"input_ids": ids, "token_type_ids": segments, "attention_mask": mask}
    if name.startswith("ModernBert"):
        del inputs["token_type_ids"]
        settle(model)
    found = compute(model, kind, inputs)
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
        for family in CLASSES:
            for index in range(count // 5 if family in ("xlm-roberta", "camembert") else count):
                make(os.path.join(root, f"{family}-{index:02}"), family, index, seed)
    elif command == "check":
        for folder in sorted(glob.glob(os.path.join(root, "*-*"))):
            check(folder)
    else:
        sys.exit(f"unknown command {command}")


if __name__ == "__main__":
    main()
