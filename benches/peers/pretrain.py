#!/usr/bin/env python3
"""Times one training step of masked-language modeling in PyTorch on the CPU: forward, backward, clipping, AdamW.

  pretrain.py --arch minilm --dtype bf16 --mode compile --threads 2
  pretrain.py --matrix --arch minilm bert-base --threads 1 2          every dtype and mode, each in a process of its own
  pretrain.py --arch minilm --lengths lengths.txt                     padded batches of texts with these lengths
  pretrain.py --arch minilm --uniform 16 128                          padded batches of random lengths from 16 to 128

The step is what a good PyTorch program does:

- A post-norm BERT of the architecture's shape (minilm: 6 layers of 384, 12 heads, feed-forward 1536; bert-base: 12 of 768, 12
  heads, 3072; 30,522 words, 512 positions, 2 segments), exact GELU, tied word table, weights from N(0, 0.02).
- Dropout 0.1 behind the embedding, on attention probabilities and behind both parts of a layer (`--dropout`, `--attention-dropout`).
- `scaled_dot_product_attention`. A mask of padding is given only where a row is shorter than the batch.
- The head (dense, GELU, norm, word table) and the cross-entropy see hidden positions only: of a row of n tokens
  max(1, round_half_even(0.15 n)), as our masking has it. No next-sentence loss.
- Gradients clipped to norm 1, fused AdamW (1e-4, betas 0.9 and 0.999, eps 1e-6, weight decay 0.01 on all but biases and norms).
- bf16 is autocast: weights, gradients and moments stay in f32. `--mode compile` compiles forward, loss and backward by inductor.

Inputs, for a comparison with the same work: row r of batch b has the length number `b * batch + r` of the file (one whole number a
line; begun again at its end), at most --seq; without file or --uniform every row has --seq tokens. `--pad full` (default) pads to
--seq, `--pad longest` to the longest row of the batch, rounded up to 8. Ids and hidden positions are random (--seed); a step's time does
not depend on them. Lengths of --uniform are `random.Random(seed).randint(low, high)`, row by row; --write-lengths writes them to a file.

Prints one JSON line per configuration. `median_s` and `min_s` are of the rounds' mean seconds per step; `tokens_per_s` counts real
tokens by the median, `positions_per_s` padding too. `peak_rss_bytes` is of the timed steps (the counter is reset after the warm-up, Linux
only), `process_peak_rss_bytes` of the whole process, with compilation.
"""
import argparse, itertools, json, platform, random, resource, statistics, subprocess, sys, time

SHAPES = {"minilm": dict(layers=6, hidden=384, heads=12, ffn=1536), "bert-base": dict(layers=12, hidden=768, heads=12, ffn=3072)}
VOCAB, POSITIONS, FIRST_WORD, MASK = 30522, 512, 1000, 103

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--arch", nargs="+", choices=SHAPES, default=["minilm"])
p.add_argument("--dtype", nargs="+", choices=["f32", "bf16"], default=["f32"])
p.add_argument("--mode", nargs="+", choices=["eager", "compile"], default=["eager"])
p.add_argument("--threads", nargs="+", type=int, default=[2])
p.add_argument("--matrix", action="store_true", help="all dtypes and modes")
p.add_argument("--batch", type=int, default=32)
p.add_argument("--seq", type=int, default=128)
p.add_argument("--lengths", metavar="FILE")
p.add_argument("--uniform", nargs=2, type=int, metavar=("LOW", "HIGH"))
p.add_argument("--write-lengths", metavar="FILE")
p.add_argument("--pad", choices=["full", "longest"], default="full")
p.add_argument("--probability", type=float, default=0.15)
p.add_argument("--dropout", type=float, default=0.1)
p.add_argument("--attention-dropout", type=float, default=0.1)
p.add_argument("--warmup", type=int, default=3)
p.add_argument("--steps", type=int, default=4, help="steps of a round")
p.add_argument("--rounds", type=int, default=5)
p.add_argument("--seed", type=int, default=1)
a = p.parse_args()
if a.lengths and a.uniform:
    p.error("--lengths and --uniform exclude each other")

configurations = list(itertools.product(
    a.arch, ["f32", "bf16"] if a.matrix else a.dtype, ["eager", "compile"] if a.matrix else a.mode, a.threads))
if len(configurations) > 1:
    # A process each: peak memory is the process's, and threads are set once.
    same = [f"--{name.replace('_', '-')}={getattr(a, name)}" for name in
            ("batch", "seq", "pad", "probability", "dropout", "attention_dropout", "warmup", "steps", "rounds", "seed")]
    same += [f"--lengths={a.lengths}"] if a.lengths else []
    same += ["--uniform", *map(str, a.uniform)] if a.uniform else []
    failed = 0
    for arch, dtype, mode, threads in configurations:
        one = ["--arch", arch, "--dtype", dtype, "--mode", mode, "--threads", str(threads)]
        failed |= subprocess.run([sys.executable, __file__, *one, *same]).returncode
    sys.exit(failed)

import torch
import torch.nn as nn
import torch.nn.functional as F

(arch, dtype, mode, threads), = configurations
torch.set_num_threads(threads)
torch.manual_seed(a.seed)
shape = SHAPES[arch]
steps = a.warmup + a.steps * a.rounds
rng = random.Random(a.seed)
if a.lengths:
    known = [int(line) for line in open(a.lengths) if line.strip()]
elif a.uniform:
    known = [rng.randint(*a.uniform) for _ in range(steps * a.batch)]
else:
    known = [a.seq]
if not known or min(known) < 3:
    p.error("a length is at least 3: two special tokens and a word")
if a.write_lengths:
    with open(a.write_lengths, "w") as out:
        out.writelines(f"{length}\n" for length in known)
lengths = [[min(known[(b * a.batch + r) % len(known)], a.seq) for r in range(a.batch)] for b in range(steps)]


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        h = shape["hidden"]
        self.qkv, self.out = nn.Linear(h, 3 * h), nn.Linear(h, h)
        self.up, self.down = nn.Linear(h, shape["ffn"]), nn.Linear(shape["ffn"], h)
        self.norm1, self.norm2 = nn.LayerNorm(h, eps=1e-12), nn.LayerNorm(h, eps=1e-12)

    def forward(self, x, mask):
        b, s, h = x.shape
        q, k, v = self.qkv(x).view(b, s, 3, shape["heads"], -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, mask, a.attention_dropout)
        x = self.norm1(x + F.dropout(self.out(y.transpose(1, 2).reshape(b, s, h)), a.dropout))
        return self.norm2(x + F.dropout(self.down(F.gelu(self.up(x))), a.dropout))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        h = shape["hidden"]
        self.words, self.positions, self.types = nn.Embedding(VOCAB, h), nn.Embedding(POSITIONS, h), nn.Embedding(2, h)
        self.norm, self.layers = nn.LayerNorm(h, eps=1e-12), nn.ModuleList(Layer() for _ in range(shape["layers"]))
        self.dense, self.head_norm, self.bias = nn.Linear(h, h), nn.LayerNorm(h, eps=1e-12), nn.Parameter(torch.zeros(VOCAB))
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, ids, types, mask, hidden, labels):
        x = self.words(ids) + self.positions.weight[: ids.shape[1]] + self.types(types)
        x = F.dropout(self.norm(x), a.dropout)
        for layer in self.layers:
            x = layer(x, mask)
        x = self.head_norm(F.gelu(self.dense(x.flatten(0, 1)[hidden])))
        return F.cross_entropy(F.linear(x, self.words.weight, self.bias).float(), labels, ignore_index=-100)


def hidden_of(length):
    return max(1, round(length * a.probability))


# One number of hidden positions for all batches, so that nothing is compiled twice; what a batch lacks does not count in the loss.
most_hidden = max(sum(map(hidden_of, rows)) for rows in lengths)


def batch(rows):
    width = a.seq if a.pad == "full" else -(-max(rows) // 8) * 8
    generator = torch.Generator().manual_seed(rng.getrandbits(32))
    ids = torch.randint(FIRST_WORD, VOCAB, (len(rows), width), generator=generator)
    real = torch.arange(width) < torch.tensor(rows)[:, None]
    places = [row * width + at for row, length in enumerate(rows) for at in sorted(rng.sample(range(1, length - 1), min(hidden_of(length), length - 2)))]
    hidden = torch.tensor(places + [0] * (most_hidden - len(places)))
    labels = torch.full((most_hidden,), -100)
    labels[: len(places)] = ids.flatten()[hidden[: len(places)]]
    ids.view(-1)[hidden[: len(places)]] = MASK
    mask = None if real.all() and not (a.lengths or a.uniform) else real[:, None, None, :]
    return ids.masked_fill(~real, 0), torch.zeros_like(ids), mask, hidden, labels


batches = [batch(rows) for rows in lengths]
model = Model().train()
decayed = [w for w in model.parameters() if w.dim() > 1]
others = [w for w in model.parameters() if w.dim() <= 1]
groups = [dict(params=decayed, weight_decay=0.01), dict(params=others, weight_decay=0.0)]
optimizer = torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.999), eps=1e-6, fused=True)
loss_of = torch.compile(model) if mode == "compile" else model


def step(inputs):
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
        loss = loss_of(*inputs)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss


def status(key):
    try:
        return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(key))
    except OSError:
        return None


begun = time.perf_counter()
first = [float(step(inputs).detach()) for inputs in batches[: a.warmup]]
warm_up = time.perf_counter() - begun
try:
    open("/proc/self/clear_refs", "w").write("5")
except OSError:
    pass
seconds, loss = [], None
for number in range(a.rounds):
    start = a.warmup + number * a.steps
    begun = time.perf_counter()
    for inputs in batches[start : start + a.steps]:
        loss = step(inputs)
    seconds.append((time.perf_counter() - begun) / a.steps)
median = statistics.median(seconds)
timed = lengths[a.warmup :]
tokens = sum(map(sum, timed)) / len(timed)
positions = sum(inputs[0].numel() for inputs in batches[a.warmup :]) / len(timed)
print(json.dumps(dict(
    arch=arch, dtype=dtype, mode=mode, threads=threads, batch=a.batch, seq=a.seq, pad=a.pad, dropout=a.dropout,
    attention_dropout=a.attention_dropout, steps=a.steps, rounds=a.rounds, median_s=median, min_s=min(seconds), seconds=seconds,
    warm_up_s=warm_up, tokens=tokens, positions=positions, hidden=most_hidden, tokens_per_s=tokens / median,
    positions_per_s=positions / median, first_loss=first[0] if first else None, last_loss=float(loss.detach()),
    parameters=sum(w.numel() for w in model.parameters()), peak_rss_bytes=status("VmHWM"),
    process_peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    torch=torch.__version__, machine=platform.processor() or platform.machine(), seed=a.seed)), flush=True)
