#!/usr/bin/env python3
"""Token dropping and growth of a small BERT, written a second time, in PyTorch on the CPU, for tests to compare with.

  pretrain_reference.py step --config C --weights W --batch B --out O [--keep K | --share S]   one step: loss, gradients, selection, importance
  pretrain_reference.py grow --config C --weights W --target T --out O             CompoundGrow's larger model
  pretrain_reference.py sample --out DIR                                           a small input and its outputs, of fixed seeds
  pretrain_reference.py selftest                                                   compares itself with transformers

Sources: Hou et al. 2022 (token dropping) and its code in tensorflow/models, official/projects/token_dropping/{encoder,masked_lm}.py and
official/nlp/modeling/layers/routing.py; Gu et al. 2021 (CompoundGrow) and its code in google-research, grow_bert. All arithmetic is in float64.
Nothing is random but in `sample` and `selftest`, there is no dropout, and nothing is downloaded.

Inputs of `step`
  C  config.json of a BERT (hidden_act "gelu", "gelu_new" or "relu"), at least two layers where tokens are dropped
  W  safetensors under Hugging Face's names of a BertForMaskedLM, with or without `bert.` before those of the encoder; the decoder is tied. A pooler and
     other heads are ignored.
  B  safetensors. `input_ids`, `token_type_ids`, `attention_mask` [rows, tokens]; `masked_positions`, `masked_ids` [rows, predictions]: where words are
     hidden, and which; all of them int64. `masked_weights` float32 [rows, predictions]: 1, and 0 for what fills up a row. Optional: `importance` float32
     [vocabulary], of before the step; `text_ids` int64 [rows, tokens]: a token sees those of its own text alone (packed rows). Without
     `importance`: `--init` (10), `--allow` (100,101,102,103) at 1e4, `--deny` (0) at -1e4.
  K  tokens of a row that are kept: the rule of the released code (compatible)
  S  share of a text's tokens that is kept: the same without what looks like accidents (mended). Neither: nothing is dropped

What `step` computes
  Order of a row: by importance of the id that stands in the input, highest first; of equal ones the lower position first (`tf.argsort` descending, which is
  `tf.math.top_k`'s rule). Importance is that of before the step.
    compatible  the first K of the row are kept; padding competes with its importance
    mended      the row ends before its padding; ids of `--allow` come first, whatever their importance; kept are the first ceil(S n) of n tokens, but at
                least all of `--allow`
  L layers: layers 0 to L//2-2 on all tokens; layer L//2-1 with the kept tokens as queries and residual, and all tokens as keys and values; layers
  L//2 to L-2 on the kept tokens; layer L-1 on all: the kept ones from layer L-2, the dropped ones as they left layer L//2-2 (for L < 4 the embedding), in
  the order of the row.
  Loss: sum(w * l) / sum(w) with the cross-entropy l of each prediction. No next-sentence prediction.
  Importance after it, for a prediction of id v: m[v] = beta m[v] + (1 - beta) l, beta = `--beta` (0.995), from the old value:
    compatible  for all predictions, whatever their weight; of several of one id the last one, row by row, is the one that counts
                (`tensor_scatter_nd_update`, whose order with duplicates is not specified on all devices)
    mended      only predictions of weight above 0, and of several of one id the mean of their losses, once

Output of `step`, safetensors
  `loss` [1], `losses` [rows, predictions]                                float64; of weight 0 too
  `keep` [rows, tokens]                                                   int64, 1 where a token is kept (only where tokens are dropped)
  `states.I` of each layer I, after it, and `states.embedding`            float32, [rows, tokens, hidden]; 0 where the layer does not compute the token
  `importance.compatible`, `importance.mended` [vocabulary]               float32, by both rules, whichever has selected
  `gradient.NAME` of the loss by each weight that it reads                float32, NAME as in W but without `bert.`; the word table's is of both its uses

`grow`: layer i of T's L layers is small layer i mod l; a feed-forward k times as wide has W1 and b1 tiled k times (`tile(W1, [1, k])` where W1 is [inputs,
outputs]) and W2 tiled and divided by k, layer by layer, so that only some layers of W need be narrower; all else is copied. Output: float32, names as in W.
"""
import argparse, json, math, os

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

torch.set_num_threads(1)
ACTIVATIONS = {
    "gelu": lambda x: torch.nn.functional.gelu(x),
    "gelu_new": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    "relu": torch.relu,
}


def bare(name):
    return name[len("bert."):] if name.startswith("bert.") else name


def initial_importance(vocabulary, a):
    m = np.full(vocabulary, a.init, np.float64)
    m[[v for v in a.allow if v < vocabulary]] = 1e4
    m[[v for v in a.deny if v < vocabulary]] = -1e4
    return m


class Bert:
    def __init__(self, config, weights):
        self.c = config
        names = {bare(n): torch.tensor(t.astype(np.float64)) for n, t in weights.items() if t.dtype.kind == "f"}
        used = ("embeddings.", "encoder.layer.", "cls.predictions.")
        self.w = {n: t.requires_grad_() for n, t in names.items() if n.startswith(used) and "decoder" not in n}
        self.act = ACTIVATIONS[config.get("hidden_act", "gelu")]

    def linear(self, name, x):
        return x @ self.w[name + ".weight"].T + self.w[name + ".bias"]

    def norm(self, name, x):
        mean = x.mean(-1, keepdim=True)
        variance = ((x - mean) ** 2).mean(-1, keepdim=True)
        n = (x - mean) / torch.sqrt(variance + self.c.get("layer_norm_eps", 1e-12))
        return n * self.w[name + ".weight"] + self.w[name + ".bias"]

    def embed(self, ids, segments):
        e = "embeddings."
        x = self.w[e + "word_embeddings.weight"][ids] + self.w[e + "token_type_embeddings.weight"][segments]
        x = x + self.w[e + "position_embeddings.weight"][: ids.shape[1]]
        return self.norm(e + "LayerNorm", x)

    def layer(self, i, query, keys, sees):
        """`sees` [rows, queries, keys]: whether a query sees a key."""
        at = f"encoder.layer.{i}."
        heads = self.c["num_attention_heads"]
        split = lambda x: x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)
        q = split(self.linear(at + "attention.self.query", query))
        k, v = (split(self.linear(at + "attention.self." + n, keys)) for n in ("key", "value"))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        scores = scores + torch.where(sees, 0.0, -1e9)[:, None]
        context = (scores.softmax(-1) @ v).transpose(1, 2).reshape(query.shape[0], query.shape[1], -1)
        y = self.norm(at + "attention.output.LayerNorm", query + self.linear(at + "attention.output.dense", context))
        inner = self.act(self.linear(at + "intermediate.dense", y))
        return self.norm(at + "output.LayerNorm", y + self.linear(at + "output.dense", inner))

    def scores(self, x):
        at = "cls.predictions."
        t = self.norm(at + "transform.LayerNorm", self.act(self.linear(at + "transform.dense", x)))
        return t @ self.w["embeddings.word_embeddings.weight"].T + self.w[at + "bias"]


def rows_of(x, places):
    return torch.gather(x, 1, places[..., None].expand(-1, -1, x.shape[-1]))


def select(ids, importance, a):
    """The positions of a row in the order of importance, and how many of them are kept."""
    scores, keep = importance[ids], a.keep
    if a.share is not None:
        always = torch.isin(ids, torch.tensor(a.allow))
        scores = torch.where(always, math.inf, scores)
        keep = max(math.ceil(len(ids) * a.share), int(always.sum()))
    if not 1 <= keep <= len(ids):
        raise SystemExit(f"{keep} of {len(ids)} tokens cannot be kept")
    # A stable sort of the negated values: of equal ones the lower position comes first.
    return torch.sort(-scores, stable=True).indices, keep


def states(model, row, importance, a):
    """Of one row, [1, tokens], the states after each layer, at their positions, and which tokens are kept."""
    ids, mask = row["input_ids"], row["attention_mask"] > 0
    texts = row.get("text_ids", torch.zeros_like(ids))
    layers = model.c["num_hidden_layers"]
    everything = torch.arange(ids.shape[1])[None]

    def sees(queries, keys):
        at = lambda what, places: torch.gather(what, 1, places)
        same = at(texts, queries)[:, :, None] == at(texts, keys)[:, None, :]
        return same & at(mask, keys)[:, None, :]

    x = model.embed(ids, row["token_type_ids"])
    out = [x]
    run = lambda i, x: model.layer(i, x, x, sees(everything, everything))
    if a.keep is None and a.share is None:
        for i in range(layers):
            x = run(i, x)
            out.append(x)
        return out, None
    if layers < 2:
        raise SystemExit("dropping needs two layers")
    order, keep = select(ids[0], importance, a)
    order = order[None]
    kept, dropped = order[:, :keep], order[:, keep:]
    placed = lambda inside: torch.zeros_like(x).scatter(1, kept[..., None].expand_as(inside), inside)
    cross = layers // 2 - 1
    for i in range(cross):
        x = run(i, x)
        out.append(x)
    inside, rest = rows_of(x, kept), rows_of(x, dropped)
    inside = model.layer(cross, inside, torch.cat([inside, rest], 1), sees(kept, order))
    out.append(placed(inside))
    for i in range(cross + 1, layers - 1):
        inside = model.layer(i, inside, inside, sees(kept, kept))
        out.append(placed(inside))
    x = rows_of(torch.cat([inside, rest], 1), torch.argsort(order, 1))
    out.append(run(layers - 1, x))
    return out, torch.zeros_like(ids).scatter(1, kept, 1)


def updated(importance, batch, losses, a):
    ids, weights = batch["masked_ids"].reshape(-1).tolist(), batch["masked_weights"].reshape(-1).tolist()
    losses = losses.detach().reshape(-1).tolist()
    compatible, mended = importance.numpy().copy(), importance.numpy().copy()
    for v, l in zip(ids, losses):
        compatible[v] = a.beta * float(importance[v]) + (1 - a.beta) * l
    of = {}
    for v, w, l in zip(ids, weights, losses):
        if w > 0:
            of.setdefault(v, []).append(l)
    for v, all_of_it in of.items():
        mended[v] = a.beta * float(importance[v]) + (1 - a.beta) * sum(all_of_it) / len(all_of_it)
    return compatible, mended


def step(config, weights, batch, a):
    model = Bert(config, weights)
    batch = {n: torch.tensor(t) for n, t in batch.items()}
    importance = batch.get("importance")
    importance = torch.tensor(initial_importance(config["vocab_size"], a)) if importance is None else importance.double()
    tokens, found, kept, losses = batch["input_ids"].shape[1], [], [], []
    for at in range(len(batch["input_ids"])):
        row = {n: t[at : at + 1] for n, t in batch.items() if n != "importance"}
        # Without padding: it is masked, so that its absence changes nothing but what competes for places.
        n = tokens if a.share is None else int(row["attention_mask"].sum())
        row |= {name: row[name][:, :n] for name in ("input_ids", "token_type_ids", "attention_mask", "text_ids") if name in row}
        of_row, keep = states(model, row, importance, a)
        filled = lambda t: torch.nn.functional.pad(t, (0, 0) * (t.dim() - 2) + (0, tokens - n))
        found.append([filled(x) for x in of_row])
        kept.append(keep if keep is None else filled(keep))
        scores = model.scores(rows_of(of_row[-1], row["masked_positions"]))
        answers = torch.gather(scores, -1, row["masked_ids"][..., None])[..., 0]
        losses.append(scores.logsumexp(-1) - answers)
    losses = torch.cat(losses)
    w = batch["masked_weights"].double()
    loss = (w * losses).sum() / w.sum()
    loss.backward()
    compatible, mended = updated(importance, batch, losses, a)
    out = {"loss": loss.detach().reshape(1).numpy(), "losses": losses.detach().numpy()}
    if kept[0] is not None:
        out["keep"] = torch.cat(kept).numpy()
    for i, x in enumerate(torch.cat(rows) for rows in zip(*found)):
        out["states.embedding" if i == 0 else f"states.{i - 1}"] = x.detach().numpy().astype(np.float32)
    out |= {"importance.compatible": compatible.astype(np.float32), "importance.mended": mended.astype(np.float32)}
    for name, weight in model.w.items():
        if weight.grad is not None:
            out["gradient." + name] = weight.grad.numpy().astype(np.float32)
    return {n: np.ascontiguousarray(t) for n, t in out.items()}


def grow(small, weights, large):
    for key in ("vocab_size", "hidden_size", "num_attention_heads", "max_position_embeddings"):
        if small[key] != large[key]:
            raise SystemExit(f"CompoundGrow leaves `{key}` as it is: {small[key]} and {large[key]}")
    grown = {}
    for name, tensor in weights.items():
        head, found, rest = name.partition("encoder.layer.")
        if not found:
            grown[name] = tensor
            continue
        source, _, rest = rest.partition(".")
        for i in range(int(source), large["num_hidden_layers"], small["num_hidden_layers"]):
            grown[f"{head}{found}{i}.{rest}"] = widened(rest, tensor, large["intermediate_size"])
    return {n: np.ascontiguousarray(t.astype(np.float32)) for n, t in grown.items()}


def widened(part, tensor, inner):
    axis = {"intermediate.dense.weight": 0, "intermediate.dense.bias": 0, "output.dense.weight": 1}.get(part)
    if axis is None or tensor.shape[axis] == inner:
        return tensor
    k, rest = divmod(inner, tensor.shape[axis])
    if rest or k < 1:
        raise SystemExit(f"{part}: {inner} is no multiple of {tensor.shape[axis]}")
    return np.concatenate([tensor] * k, axis) / (k if axis == 1 else 1)


def random_model(config, seed):
    """Weights of a drawn BERT, its linear maps [outputs, inputs]."""
    rng = np.random.default_rng(seed)
    d, f, v = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    shapes = {"embeddings.word_embeddings.weight": (v, d), "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], d),
              "embeddings.position_embeddings.weight": (config["max_position_embeddings"], d), "embeddings.LayerNorm": (d,)}
    for i in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{i}."
        shapes |= {at + f"attention.self.{n}": (d, d) for n in ("query", "key", "value")}
        shapes |= {at + "attention.output.dense": (d, d), at + "attention.output.LayerNorm": (d,), at + "intermediate.dense": (f, d),
                   at + "output.dense": (d, f), at + "output.LayerNorm": (d,)}
    shapes |= {"cls.predictions.transform.dense": (d, d), "cls.predictions.transform.LayerNorm": (d,), "cls.predictions.bias": (v,)}
    weights = {}
    for name, shape in shapes.items():
        draw = lambda shape, scale: (rng.standard_normal(shape) * scale).astype(np.float32)
        if name.endswith("LayerNorm"):
            weights[name + ".weight"], weights[name + ".bias"] = 1 + draw(shape, 0.1), draw(shape, 0.1)
        elif name.endswith((".weight", ".bias")):
            weights[name] = draw(shape, 0.5)
        else:
            weights[name + ".weight"], weights[name + ".bias"] = draw(shape, 1 / math.sqrt(shape[1])), draw(shape[:1], 0.1)
    prefixed = lambda n: n if n.startswith("cls.") else "bert." + n
    return {prefixed(n): t for n, t in weights.items()}


def random_batch(config, rows, tokens, predictions, seed):
    """Rows that end in padding, hidden words, two predictions of one id, and one that fills up."""
    rng = np.random.default_rng(seed)
    v = config["vocab_size"]
    ids = rng.integers(5, v, (rows, tokens))
    mask = np.ones((rows, tokens), np.int64)
    places = np.stack([np.sort(rng.choice(np.arange(1, tokens - 4), predictions, replace=False)) for _ in range(rows)])
    answers = np.take_along_axis(ids, places, 1)
    answers[0, 1] = answers[0, 0]
    weights = np.ones((rows, predictions), np.float32)
    places[-1, -1], answers[-1, -1], weights[-1, -1] = 0, 0, 0.0
    np.put_along_axis(ids, places, 4, 1)
    ids[:, 0] = 2
    ids[1:, -3:], mask[1:, -3:] = 0, 0
    importance = rng.random(v).astype(np.float32) * 8
    # Equal ones, so that the rule for them matters.
    importance[5::2] = 6.0
    importance[[1, 2, 3, 4]], importance[0] = 1e4, -1e4
    return {"input_ids": ids, "token_type_ids": (np.arange(tokens) > tokens // 2).astype(np.int64) * np.ones((rows, 1), np.int64),
            "attention_mask": mask, "masked_positions": places, "masked_ids": answers, "masked_weights": weights, "importance": importance}


SAMPLE = {"model_type": "bert", "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 5, "num_attention_heads": 2, "intermediate_size": 24,
          "hidden_act": "gelu", "max_position_embeddings": 20, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0,
          "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def sample(folder, a):
    os.makedirs(folder, exist_ok=True)
    at = lambda name: os.path.join(folder, name)
    a.allow, a.deny, a.keep, a.share = [1, 2, 3, 4], [0], 8, None
    weights, batch = random_model(SAMPLE, 1), random_batch(SAMPLE, 3, 16, 4, 2)
    with open(at("config.json"), "w") as file:
        json.dump(SAMPLE, file, indent=2)
        file.write("\n")
    save_file(weights, at("model.safetensors"))
    save_file(batch, at("batch.safetensors"))
    save_file(step(SAMPLE, weights, batch, a), at("compatible.safetensors"))
    a.keep, a.share = None, 0.5
    save_file(step(SAMPLE, weights, batch, a), at("mended.safetensors"))


def selftest(a):
    from transformers import BertConfig, BertForMaskedLM

    weights, batch = random_model(SAMPLE, 3), random_batch(SAMPLE, 3, 16, 4, 4)
    a.allow, a.deny, a.keep, a.share = [1, 2, 3, 4], [0], None, None
    plain = step(SAMPLE, weights, batch, a)
    model = BertForMaskedLM(BertConfig(**SAMPLE)).double().eval()
    missing, extra = model.load_state_dict({n: torch.tensor(t).double() for n, t in weights.items()}, strict=False)
    assert not extra and all("decoder" in n for n in missing), (missing, extra)
    model.tie_weights()
    t = {n: torch.tensor(x) for n, x in batch.items()}
    # A copy of the bias is the decoder's in some versions.
    with torch.no_grad():
        model.cls.predictions.decoder.bias.copy_(torch.tensor(weights["cls.predictions.bias"]).double())
    logits = model(t["input_ids"], t["attention_mask"], t["token_type_ids"]).logits
    losses = torch.nn.functional.cross_entropy(rows_of(logits, t["masked_positions"]).flatten(0, 1), t["masked_ids"].flatten(), reduction="none")
    w = t["masked_weights"].double().flatten()
    loss = (losses * w).sum() / w.sum()
    loss.backward()
    assert abs(loss.item() - plain["loss"][0]) < 1e-10, (loss.item(), plain["loss"])
    compared = 0
    for name, weight in model.named_parameters():
        if "gradient." + bare(name) in plain and weight.grad is not None and not name.endswith("predictions.bias"):
            np.testing.assert_allclose(plain["gradient." + bare(name)], weight.grad.numpy(), rtol=1e-5, atol=1e-7, err_msg=name)
            compared += 1
    assert compared > 80, compared
    # Of all tokens kept, nothing changes but the order of sums.
    a.keep = 16
    same = step(SAMPLE, weights, batch, a)
    names = ["loss", "losses", "states.4"] + [n for n in plain if n.startswith("gradient.")]
    for name in names:
        np.testing.assert_allclose(same[name], plain[name], rtol=1e-5, atol=1e-6, err_msg=name)
    a.keep = 8
    assert abs(step(SAMPLE, weights, batch, a)["loss"][0] - plain["loss"][0]) > 1e-3
    a.keep, a.share = None, 1.0
    same = step(SAMPLE, weights, batch, a)
    for name in (n for n in names if n != "states.4"):
        np.testing.assert_allclose(same[name], plain[name], rtol=1e-5, atol=1e-6, err_msg=name)
    a.share = None
    # A text that stands alone in its row is what it is beside another one.
    batch["text_ids"] = np.zeros((3, 16), np.int64)
    a.keep = None
    assert step(SAMPLE, weights, batch, a)["loss"][0] == plain["loss"][0]
    batch["text_ids"][:, 8:] = 1
    assert abs(step(SAMPLE, weights, batch, a)["loss"][0] - plain["loss"][0]) > 1e-3
    # Restored feed-forwards compute the same.
    del batch["text_ids"]
    large = SAMPLE | {"intermediate_size": 96}
    assert abs(step(large, grow(SAMPLE, weights, large), batch, a)["loss"][0] - plain["loss"][0]) < 1e-6
    print(f"agrees with transformers: the loss, and the gradients of {compared} weights")


def main():
    ids = lambda text: [int(v) for v in text.split(",") if v]
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("mode", choices=["step", "grow", "sample", "selftest"])
    for name in ("config", "weights", "batch", "target", "out"):
        p.add_argument("--" + name)
    rule = p.add_mutually_exclusive_group()
    rule.add_argument("--keep", type=int)
    rule.add_argument("--share", type=float)
    p.add_argument("--init", type=float, default=10.0)
    p.add_argument("--beta", type=float, default=0.995)
    p.add_argument("--allow", type=ids, default=[100, 101, 102, 103])
    p.add_argument("--deny", type=ids, default=[0])
    a = p.parse_args()
    needed = {"step": ["config", "weights", "batch", "out"], "grow": ["config", "weights", "target", "out"], "sample": ["out"], "selftest": []}
    for name in needed[a.mode]:
        if getattr(a, name) is None:
            p.error(f"{a.mode} needs --{name}")
    read = lambda path: json.load(open(path, encoding="utf-8"))
    if a.mode == "step":
        save_file(step(read(a.config), load_file(a.weights), load_file(a.batch), a), a.out)
    elif a.mode == "grow":
        save_file(grow(read(a.config), load_file(a.weights), read(a.target)), a.out)
    elif a.mode == "sample":
        sample(a.out, a)
    else:
        selftest(a)


if __name__ == "__main__":
    main()
