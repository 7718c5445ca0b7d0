"""The classes that stand beside a model, used as people use those of `transformers`.

    use.py ROOT GUIDE    ROOT/expected.json names the models, their heads, and what this program answers to some texts; says `done`

A failed check ends the script. ROOT/MODEL/trained is what a training saved.
"""

import json
import os
import re
import shutil
import sys
import tempfile
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_MODULES_CACHE"] = tempfile.mkdtemp()
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import torch
import transformers
from huggingface_hub import EvalResult, ModelCard, metadata_load
from sentence_transformers import SentenceTransformer

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)

root = sys.argv[1]
with open(f"{root}/expected.json") as file:
    expected = json.load(file)
texts = expected["texts"]
models = {model["name"]: model for model in expected["models"]}
TOLERANCE = 1e-5
AUTO = {
    "classification": transformers.AutoModelForSequenceClassification,
    "multi_label": transformers.AutoModelForSequenceClassification,
    "regression": transformers.AutoModelForSequenceClassification,
    "span": transformers.AutoModelForQuestionAnswering,
    "tags": transformers.AutoModelForTokenClassification,
    "embedding": transformers.AutoModel,
}


def folder(name):
    return os.path.join(root, name)


def load(auto, name, **kwargs):
    return auto.from_pretrained(folder(name), trust_remote_code=True, **kwargs)


def tokenizer(name):
    return transformers.AutoTokenizer.from_pretrained(folder(name), trust_remote_code=True)


def pipeline(task, name, **kwargs):
    return transformers.pipeline(task, model=folder(name), trust_remote_code=True, device="cpu", **kwargs)


def near(found, wanted):
    found, wanted = torch.as_tensor(found).double(), torch.as_tensor(wanted).double()
    assert found.shape == wanted.shape, (found.shape, wanted.shape)
    worst = (found - wanted).abs().max().item() / max(1.0, wanted.abs().max().item())
    assert worst <= TOLERANCE, worst


def encoded(name, some=texts):
    return tokenizer(name)(some, padding=True, truncation=True, return_tensors="pt")


def pipelines():
    """`pipeline` gives the answers of `efficientbert predict`, in batches too."""
    for name, model in models.items():
        head = model["heads"][0] if model["heads"] else {"kind": None}
        if head["kind"] in ("classification", "multi_label", "regression") and model["answers"]:
            answering = pipeline("text-classification", name, top_k=None)
            for batch_size in (1, 8):
                answers = answering(texts, batch_size=batch_size, truncation=True)
                labels = head.get("labels") or ["LABEL_0"]
                scores = [[{s["label"]: s["score"] for s in answer}[label] for label in labels] for answer in answers]
                near(scores, model["answers"])
    found = pipeline("token-classification", "head-names", aggregation_strategy="none")(texts[0])
    assert found and all(entity["entity"] in ("O", "B-X", "I-X", "B-Y", "I-Y") for entity in found), found
    for name in ("searched-words", "searched-all-heads"):
        found = pipeline("fill-mask", name)("w5 [MASK] w7")
        assert len(found) == 5 and found[0]["score"] >= found[1]["score"], found
    found = pipeline("feature-extraction", "head-reviews")(texts[0])
    with torch.no_grad():
        near(found, load(transformers.AutoModel, "head-reviews")(**encoded("head-reviews", texts[:1])).last_hidden_state)
    if "question-answering" in transformers.pipelines.PIPELINE_REGISTRY.get_supported_tasks():
        found = pipeline("question-answering", "head-squad-v1")(question="w5", context="w6 w7 w8")
        assert found["answer"] in "w6 w7 w8", found


def sentences():
    """`sentence-transformers` makes the vectors of `efficientbert encode`."""
    for name in ("head-means", "head-firsts"):
        model = SentenceTransformer(folder(name), trust_remote_code=True, device="cpu")
        assert model.max_seq_length == 20, model.max_seq_length
        near(model.encode(texts, batch_size=6, show_progress_bar=False), models[name]["answers"])
        model.save(f"{folder(name)}/trained")
        again = SentenceTransformer(f"{folder(name)}/trained", trust_remote_code=True, device="cpu")
        near(again.encode(texts, show_progress_bar=False), models[name]["answers"])


def outputs():
    """States and probabilities of every layer, of no heads where a layer has no attention; masks, dtypes and tuples."""
    model = load(transformers.AutoModel, "drawn-0").eval()
    batch = encoded("drawn-0", texts[:3])
    rows, length = batch["input_ids"].shape
    with torch.no_grad():
        plain = model(**batch)
        full = model(**batch, output_hidden_states=True, output_attentions=True)
        assert plain.hidden_states is None and plain.attentions is None
        near(full.last_hidden_state, plain.last_hidden_state)
        assert len(full.hidden_states) == len(full.attentions) + 1 == model.config.num_hidden_layers + 1
        assert torch.equal(full.hidden_states[-1], full.last_hidden_state)
        heads = [model.config.attention_of(index)[0] for index in range(model.config.num_hidden_layers)]
        assert heads[0] == 0 and [p.shape for p in full.attentions] == [(rows, h, length, length) for h in heads]
        for probs in full.attentions[1:]:
            near(probs.sum(-1), torch.ones(probs.shape[:-1]))
            assert (probs * (1 - batch["attention_mask"])[:, None, None, :]).max() == 0
        # A mask of pairs of tokens, one that is added to scores, rows of the word table, and a tuple.
        square = batch["attention_mask"][:, None, :].expand(rows, length, length)
        kept = batch["attention_mask"].bool()
        embeds = model.get_input_embeddings()(batch["input_ids"]) * batch["attention_mask"].unsqueeze(-1)
        segments = batch["token_type_ids"]
        near(model(inputs_embeds=embeds, attention_mask=square, token_type_ids=segments)[0][kept], plain[0][kept])
        added = (1.0 - square[:, None].float()) * torch.finfo(torch.float32).min
        near(model(inputs_embeds=embeds, attention_mask=added, token_type_ids=segments)[0][kept], plain[0][kept])
        # Without a trigram's sight of padding, which only a mask of tokens hides from it.
        for kind in ("sdpa", "eager"):
            narrow = load(transformers.AutoModel, "narrow", attn_implementation=kind).eval()
            wanted = narrow(**batch)[0][kept]
            for four_axes in (square[:, None].bool(), square[:, None]):
                near(narrow(**{**batch, "attention_mask": four_axes})[0][kept], wanted)
        assert isinstance(model(**batch, return_dict=False), tuple)
        half = load(transformers.AutoModel, "drawn-0", dtype=torch.bfloat16).eval()
        found = half(**batch).last_hidden_state
        assert found.dtype == torch.bfloat16 and (found.float() - plain.last_hidden_state)[kept].abs().mean() < 0.1
    for wrong in ({}, {"input_ids": batch["input_ids"], "inputs_embeds": embeds}):
        raises(ValueError, "either", lambda: model(**wrong))
    raises(ValueError, "at most 24", lambda: model(input_ids=torch.zeros(1, 25, dtype=torch.long)))


def numbers():
    """A number far beyond what half precision holds is right in models of half precision too, and so is its loss."""
    auto, name = transformers.AutoModelForSequenceClassification, "head-price-far"
    shutil.copytree(folder("head-price"), folder(name))
    with open(f"{folder(name)}/config.json") as file:
        config = json.load(file)
    config["task_heads"][0]["scale"] = {"mean": 250000.0, "deviation": 20000.0}
    with open(f"{folder(name)}/config.json", "w") as file:
        json.dump(config, file)
    batch = encoded(name, texts[:3])
    model, labels = load(auto, name).eval(), torch.tensor([251000.0, 249000.0, 310000.0])
    with torch.no_grad():
        plain = model(**batch, labels=labels)
        found = []
        for dtype in (torch.bfloat16, torch.float16):
            with torch.autocast("cpu", dtype=dtype):
                found.append(model(**batch, labels=labels))
            found.append(load(auto, name, dtype=dtype).eval()(**batch, labels=labels.to(torch.float64)))
    for output in found:
        assert output.logits.dtype == output.loss.dtype == torch.float32, output
        # Outputs of the head are about 1, and a step of bfloat16 there is 1/128.
        assert (output.logits - plain.logits).abs().max() < 0.1 * 20000, (output.logits, plain.logits)
        assert abs(output.loss - plain.loss) < 0.1 * (1 + plain.loss), (output.loss, plain.loss)


def raises(kind, words, call):
    try:
        call()
    except kind as error:
        assert words in str(error), error
        return
    raise AssertionError(f"no error with `{words}`")


def refusals():
    """What cannot be is refused in words: no consent to the classes, heads that are not there, configurations that make no model."""
    for name in ("head-reviews", "narrow"):
        load_alone = lambda: transformers.AutoModel.from_pretrained(folder(name), trust_remote_code=False)
        raises(ValueError, "trust_remote_code=True", load_alone)
    auto = transformers.AutoModelForSequenceClassification
    raises(ValueError, "there is no head `weather`", lambda: load(auto, "searched-all-heads", task="weather"))
    raises(ValueError, "`names` is of another kind", lambda: load(auto, "searched-all-heads", task="names"))
    raises(RuntimeError, "mismatch", lambda: load(auto, "head-reviews", num_labels=7))
    config = transformers.AutoConfig.from_pretrained(folder("head-reviews"), trust_remote_code=True)
    layer = {"expression": "linear1_1(gelu(linear1_1(x,wb1)),wb2)", "stacks": 1, "ratio": 1}
    for changes, words in [
        ({"hidden_act": "mish"}, "mish"),
        ({"mlm_head": "some"}, "mlm_head"),
        ({"normalization_type": "batch"}, "batch"),
        ({"embedding_size": None}, "trigram_input"),
        ({"quantization_config": {"quant_method": "efficientbert-int8"}}, "8-bit integers"),
        ({"encoder_type": "gpt"}, "gpt"),
        ({"encoder_type": "bert"}, "searched layers"),
        ({"num_hidden_layers": 5}, "num_hidden_layers is 5"),
        ({"num_attention_heads": 7}, "7 heads"),
        ({"layers": [{**layer, "stacks": 2}] * 6}, "layer 1"),
        ({"layers": [{"expression": "none", "stacks": 0, "ratio": 1, "attention_heads": 0}] * 6}, "neither"),
        ({"layers": [{**layer, "expression": "linear1_1(gelu(linear1_1(x,wb1)),wb2"}] * 6}, "expected `)`"),
        ({"layers": [{**layer, "expression": "gelu(linear1_1(x,wb1))"}] * 6}, "once each"),
        ({"layers": [{**layer, "expression": "sin(x)"}] * 6}, "found `sin`"),
        ({"layers": [{**layer, "expression": "x x"}] * 6}, "nothing more"),
        ({"layers": [{**layer, "expression": "gelu(" * 70 + "x" + ")" * 70}] * 6}, "too deeply"),
    ]:
        raises(ValueError, words, lambda: type(config)(**{**config.to_dict(), **changes}))


def new_heads():
    """A head that the directory lacks begins new beside those that are there; other sizes are asked for as usual."""
    auto = transformers.AutoModelForTokenClassification
    model, info = load(auto, "head-reviews", num_labels=4, output_loading_info=True)
    assert sorted(info["missing_keys"]) == ["classifier_1.bias", "classifier_1.weight"], info
    assert model.classifier_1.weight.shape[0] == 4 and not model.classifier.weight.requires_grad
    assert [head["kind"] for head in model.config.task_heads] == ["classification", "tags"]
    auto = transformers.AutoModelForSequenceClassification
    model = load(auto, "head-reviews", num_labels=7, ignore_mismatched_sizes=True)
    assert model.classifier.weight.shape[0] == 7 and model.config.task_heads[0]["labels"][6] == "LABEL_6"
    model = load(auto, "searched-words", num_labels=1)
    assert (model.config.problem_type, model.config.task_heads[0]["kind"]) == ("regression", "regression")
    model = load(auto, "searched-words", num_labels=3, problem_type="multi_label_classification")
    assert model.config.task_heads[0]["kind"] == "multi_label"
    names = {0: "no", 1: "perhaps", 2: "yes"}
    model = load(auto, "head-reviews", id2label=names, label2id={v: k for k, v in names.items()})
    assert model.config.task_heads[0]["labels"] == ["no", "perhaps", "yes"]
    model = load(transformers.AutoModelForQuestionAnswering, "drawn-0")
    assert model.config.task_heads[1]["kind"] == "span" and model.classifier_1.weight.shape[0] == 2
    # The released EfficientBERT is what the configuration is without arguments.
    released = type(model.config)()
    assert len(released.layers) == 6 and released.embedding_size == 128 and released.hidden_size == 540
    count = sum(p.numel() for p in transformers.AutoModel.from_config(released, trust_remote_code=True).parameters())
    assert count == 15_322_236 + 540 * 541, count
    # More words.
    model = load(transformers.AutoModelForMaskedLM, "searched-words")
    batch = encoded("searched-words", texts[:2])
    before = model.eval()(**batch).logits
    model.resize_token_embeddings(43, mean_resizing=False)
    near(model(**batch).logits[..., :40].detach(), before.detach())
    assert model.config.vocab_size == 43 and model(**batch).logits.shape[-1] == 43


def asked_heads():
    """What a caller asks of a head is done or refused: the number of labels, the kind of problem; the caller's configuration stays."""
    auto = transformers.AutoModelForSequenceClassification
    new = {"ignore_mismatched_sizes": True}
    config_of = lambda name, **kwargs: transformers.AutoConfig.from_pretrained(folder(name), trust_remote_code=True, **kwargs)
    build = lambda cls, config: cls.from_config(config, trust_remote_code=True)
    # Two labels are what a configuration has that says nothing, and can be asked for all the same.
    batch = encoded("head-reviews", texts[:3])
    for kwargs in ({"num_labels": 2}, {"config": config_of("head-reviews", num_labels=2)}):
        model = load(auto, "head-reviews", **new, **kwargs)
        assert model(**batch).logits.shape == (3, 2) and model.config.num_labels == 2, model.config.task_heads
        assert model.config.task_heads[0]["labels"] == ["LABEL_0", "LABEL_1"]
    raises(RuntimeError, "mismatch", lambda: load(auto, "head-reviews", num_labels=2))
    config = config_of("head-reviews")
    config.num_labels = 2
    assert build(auto, config).classifier.weight.shape[0] == 2 and "_asked" not in config.to_json_string(use_diff=False)
    model = load(transformers.AutoModelForTokenClassification, "searched-all-heads", num_labels=2, **new)
    assert model.config.task_heads[5]["labels"] == ["LABEL_0", "LABEL_1"] and model.classifier_5.weight.shape[0] == 2
    # The number that is there changes nothing, names included.
    for task, number in [("reviews", 3), ("topics", 4)]:
        model = load(auto, "searched-all-heads", task=task, num_labels=number)
        assert model.config.task_heads == config_of("searched-all-heads").task_heads, model.config.task_heads
    # A head has its own names beside a first one of as many labels.
    config = config_of("head-reviews", task="second")
    config.task_heads.append({"task": "second", "kind": "classification", "labels": ["x", "y", "z"]})
    assert list(build(auto, config).config.id2label.values()) == ["x", "y", "z"]
    # One label is a number.
    for name in ("head-reviews", "head-price"):
        model = load(auto, name, num_labels=1, **new)
        head = model.config.task_heads[0]
        assert (head["kind"], model.config.problem_type) == ("regression", "regression") and "labels" not in head, head
        # The scale goes with the weights that it was measured for.
        assert ("scale" in head) == (name == "head-price"), head
        output = model(**batch, labels=torch.tensor([0.3, 1.0, 2.0]))
        assert output.logits.shape == (3, 1) and output.loss > 0, output
    model = load(auto, "head-topics", num_labels=1, **new)
    assert model.config.task_heads[0]["kind"] == "multi_label" and model(**batch, labels=torch.ones(3, 1)).loss > 0
    # A name for the number does not make it a class.
    model = load(auto, "head-price", id2label={0: "euros"}, label2id={"euros": 0})
    assert model.config.task_heads == config_of("head-price").task_heads and model.config.id2label == {0: "euros"}
    model = load(auto, "head-price", num_labels=3, **new)
    assert model.config.task_heads[0] == {"task": "price", "kind": "classification", "labels": ["LABEL_0", "LABEL_1", "LABEL_2"]}
    # A kind that is not the head's is refused; that of a file is of its first head.
    several = "multi_label_classification"
    raises(ValueError, "the head `reviews` is of the kind classification", lambda: load(auto, "head-reviews", problem_type=several))
    for name, task in [("head-price", None), ("searched-all-heads", "price")]:
        load_it = lambda problem: load(auto, name, task=task, problem_type=problem).config.task_heads
        raises(ValueError, "the head `price`", lambda: load_it("single_label_classification"))
        assert load_it("regression") == config_of(name).task_heads
    config = config_of("head-price", task="second")
    config.task_heads.append({"task": "second", "kind": "classification", "labels": ["x", "y", "z"]})
    assert build(auto, config).config.problem_type == "single_label_classification"
    config.problem_type = "regression"
    raises(ValueError, "the head `second`", lambda: build(auto, config))
    raises(ValueError, "num_labels is 3", lambda: load(auto, "head-price", num_labels=3, problem_type="regression", **new))
    model = load(auto, "head-price", num_labels=3, problem_type=several, **new)
    assert (model.config.task_heads[0]["kind"], model.config.problem_type) == ("multi_label", several)
    # What the refusal proposes.
    config = config_of("head-reviews", problem_type=several, num_labels=3)
    config.task_heads = []
    model = load(auto, "head-reviews", config=config)
    assert [head["kind"] for head in model.config.task_heads] == ["multi_label"]
    # Two models of one configuration.
    config = config_of("head-price")
    before = config.to_dict()
    both = [build(cls, config) for cls in (transformers.AutoModelForTokenClassification, transformers.AutoModelForMaskedLM, auto)]
    assert [len(model.config.task_heads) for model in both] == [2, 1, 1] and both[1].config.mlm_head == "tied"
    assert {**config.to_dict(), "dtype": None} == {**before, "dtype": None}
    config = config_of("head-means")
    build(transformers.AutoModel, config)
    assert len(config.task_heads) == 1, config.task_heads


def examples(name, kind, count=16):
    """Examples that can be learned by heart, with labels of the kind."""
    tokens = tokenizer(name)
    rows = []
    for n in range(count):
        row = dict(tokens(texts[n % len(texts)], truncation=True))
        length = len(row["input_ids"])
        if kind == "classification":
            row["labels"] = n % 2
        elif kind == "multi_label":
            row["labels"] = [1.0, 0.0, 1.0, float(n % 2)]
        elif kind == "regression":
            row["labels"] = (75.0 if name == "head-price" else 1.0) + n % 2
        elif kind == "tags":
            row["labels"] = [-100] + [t % 2 for t in row["input_ids"][1:-1]] + [-100]
        elif kind == "span":
            row["start_positions"], row["end_positions"] = 0, length - 1
        rows.append(row)
    return rows, tokens


def trainings():
    """Ten steps of `Trainer`: the loss falls, and every weight that the class computes with has a gradient."""
    cases = [(f"head-{head['task']}", head["kind"]) for name in ("searched-all-heads",) for head in models[name]["heads"]]
    cases = [case for case in cases if case[1] != "embedding"]
    cases += [("narrow", "classification"), ("drawn-0", "classification"), ("searched-words", "words")]
    for name, kind in cases:
        rows, tokens = examples(name, kind)
        if kind == "words":
            auto = transformers.AutoModelForMaskedLM
            collate = transformers.DataCollatorForLanguageModeling(tokens, mlm_probability=0.3)
        else:
            auto = AUTO[kind]
            tags = kind == "tags"
            collate = (transformers.DataCollatorForTokenClassification if tags else transformers.DataCollatorWithPadding)(tokens)
        model = load(auto, name)
        settings = transformers.TrainingArguments(
            output_dir=tempfile.mkdtemp(), max_steps=10, learning_rate=1e-2, per_device_train_batch_size=16, logging_steps=1,
            report_to=[], save_strategy="no", use_cpu=True, disable_tqdm=True, seed=3,
        )
        trainer = transformers.Trainer(
            model=model, args=settings, train_dataset=rows, data_collator=collate, processing_class=tokens
        )
        trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
        before = {key: value.detach().clone() for key, value in model.named_parameters()}
        trainer.train()
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        assert len(losses) == 10 and all(loss == loss for loss in losses), losses
        assert min(losses[-3:]) < 0.9 * losses[0], (name, losses)
        for key, value in model.named_parameters():
            moved = not torch.equal(value, before[key])
            # What is added to all keys of a token changes no probability, so its gradient is noise or nothing.
            assert moved == value.requires_grad or key.endswith("key.bias"), (name, key, moved)
        frozen = sorted({key.rsplit(".", 2)[0] for key, value in model.named_parameters() if not value.requires_grad})
        print(f"{name} ({kind}): loss {losses[0]:.3f} to {losses[-1]:.3f}; without gradients: {', '.join(frozen) or 'nothing'}")
        trainer.save_model(f"{folder(name)}/trained")
        again = auto.from_pretrained(f"{folder(name)}/trained", trust_remote_code=True).eval()
        batch = encoded(name)
        with torch.no_grad():
            near(again(**batch)[0], model.eval()(**batch)[0])


def checkpointing():
    """Gradients are the same where hidden states are computed again on the way back."""
    gradients = []
    for again in (False, True):
        model = load(transformers.AutoModelForSequenceClassification, "drawn-0").train()
        torch.manual_seed(1)
        if again:
            model.gradient_checkpointing_enable()
        model(**encoded("drawn-0"), labels=torch.arange(len(texts)) % 3).loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    near(*gradients)


def documentation():
    """What docs/transformers.md shows works as it stands there; parts with optimum have a script of their own."""
    with open(sys.argv[2]) as file:
        blocks = re.findall(r"```python\n(.*?)```", file.read(), re.DOTALL)
    blocks = [block for block in blocks if "optimum" not in block]
    assert len(blocks) == 5, len(blocks)
    here, space = os.getcwd(), {}
    os.chdir(tempfile.mkdtemp())
    for name, model in [("student", "head-reviews"), ("two-heads", "searched-all-heads"), ("vectors", "head-means")]:
        shutil.copytree(folder(model), name)
    for block in blocks:
        exec(block, space)
    wanted = models["head-reviews"]["answers"]
    assert space["probabilities"].shape == (2, 3) and len(wanted[0]) == 3
    assert space["model"].config.task == "price" and space["vectors"].shape == (2, 7)
    shutil.copytree("trained", f"{root}/documented")
    os.chdir(here)


def cards():
    """The model card has a metadata block that the hub accepts, with the scores."""
    tasks = {"tags": "token-classification", "span": "question-answering", "embedding": "sentence-similarity"}
    for name, model in models.items():
        card = ModelCard.load(f"{folder(name)}/README.md")
        heads = model["heads"]
        is_vector = [head["kind"] for head in heads] == ["embedding"]
        task = tasks.get(heads[0]["kind"], "text-classification") if heads else "fill-mask"
        data = card.data
        assert data.library_name == ("sentence-transformers" if is_vector else "transformers"), data
        assert (data.pipeline_tag, data.tags) == (task, ["efficientbert"]), data
        assert (data.license, data.base_model) == ("apache-2.0", "org/some-bert"), data
        assert data.model_name == f'The model "{name}": a test', data
        results = {(result.dataset_type, result.dataset_config, result.metric_type): result for result in data.eval_results}
        assert len(results) == len(heads) + 2 and all(isinstance(result, EvalResult) for result in data.eval_results)
        official = results["nyu-mll/glue", "sst2", "accuracy"]
        assert (official.task_type, official.dataset_split) == ("text-classification", "validation"), official
        assert results["cola", None, "matthews_correlation"].dataset_name == "cola"
        assert data.datasets == ["nyu-mll/glue"] and set(data.metrics) == {"accuracy", "matthews_correlation"}, data
        for head in heads:
            assert results[head["task"], None, "accuracy"].task_type == tasks.get(head["kind"], "text-classification")
        # What the library writes of it means the same.
        again = ModelCard(f"---\n{data.to_yaml()}\n---\n{card.text}").data
        assert again.to_dict() == data.to_dict()
        assert metadata_load(f"{folder(name)}/README.md")["model-index"][0]["name"] == data.model_name


for check in (cards, refusals, pipelines, sentences, outputs, numbers, new_heads, asked_heads, checkpointing, trainings, documentation):
    begun = time.monotonic()
    check()
    print(f"{check.__name__}: {time.monotonic() - begun:.1f} s")
print("done")
