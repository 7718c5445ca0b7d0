#!/usr/bin/env python3
"""Times the plain distillation of docs/results/cpu.md in PyTorch f32: general steps on text, task steps on SST-2.

  distill.py --script peer_bench.py --tokenizer tokenizer.json --train SST-2/train.tsv --general 100 --task 600

Models have the run's shapes and random weights: a step's time does not depend on their values. The model code is that of the
peers' script; batches are 32 x 64 tokens (general) and 32 sentences of similar length (task). Prints one JSON line.
"""
import argparse, json, random, runpy, time

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

LAYERS = ["tanh(linear2_2(gelu(linear2_2(x,wb1)),wb2))", "linear1_1(gelu(linear1_1(x,wb1)),wb2)",
          "linear2_1(relu(linear2_1(x,wb1)),wb2)", "linear1_1(gelu(linear1_1(x,wb1)),wb2)",
          "linear2_2(gelu(linear2_2(x,wb1)),wb2)", "linear1_1(gelu(linear1_1(x,wb1)),wb2)"]

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--script", required=True)
p.add_argument("--tokenizer", required=True)
p.add_argument("--train", required=True)
p.add_argument("--general", type=int, default=100)
p.add_argument("--task", type=int, default=600)
p.add_argument("--threads", type=int, default=2)
a = p.parse_args()
torch.set_num_threads(a.threads)
torch.manual_seed(0)
peers = runpy.run_path(a.script, run_name="peers")
teacher = peers["Encoder"](**peers["PRESETS"]["minilm"]).eval()
student = peers["Encoder"](hidden=264, heads=12, embed=128, layers=[dict(expr=e) for e in LAYERS], fit=384).train()
optimizer = torch.optim.AdamW(student.parameters(), 4e-4)


def step(ids, mask, answers):
    optimizer.zero_grad()
    with torch.no_grad():
        tl, ta, th = teacher.states(ids, mask)
    sl, sa, sh = student.states(ids, mask)
    loss = F.mse_loss(sh[0], th[0])
    for i in range(len(sa)):
        loss = loss + F.mse_loss(sa[i], ta[i]) + F.mse_loss(sh[i + 1], th[i + 1])
    if answers:
        loss = loss - (tl.softmax(-1) * sl.log_softmax(-1)).mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
    optimizer.step()


def timed(batches, answers):
    batches = iter(batches)
    for _ in range(3):
        step(*next(batches), answers)
    start, n = time.perf_counter(), 0
    for ids, mask in batches:
        step(ids, mask, answers)
        n += 1
    return (time.perf_counter() - start) / n


def general(n):
    for _ in range(n + 3):
        yield torch.randint(1000, 30000, (32, 64)), torch.ones(32, 64)


def task(n):
    tokenizer = Tokenizer.from_file(a.tokenizer)
    tokenizer.no_padding()
    tokenizer.enable_truncation(64)
    lines = open(a.train, encoding="utf-8").read().split("\n")[1:]
    encoded = [e.ids for e in tokenizer.encode_batch([l.split("\t")[0] for l in lines if l])]
    rng = random.Random(0)
    rng.shuffle(encoded)
    # Sorted inside pools of 50 batches, as length buckets do.
    batches = []
    for start in range(0, len(encoded), 1600):
        pool = sorted(encoded[start:start + 1600], key=len)
        batches += [pool[i:i + 32] for i in range(0, len(pool), 32)]
    rng.shuffle(batches)
    for rows in batches[:n + 3]:
        longest = max(map(len, rows))
        ids = torch.tensor([r + [0] * (longest - len(r)) for r in rows])
        yield ids, (ids != 0).float()


g = timed(general(a.general), False)
t = timed(task(a.task), True)
print(json.dumps(dict(torch=torch.__version__, threads=a.threads, general_s=round(g, 4), task_s=round(t, 4),
                      whole_s=round(600 * g + 4200 * t, 1))))
