"""Scores of the cases on standard input by scikit-learn, SciPy and seqeval, as JSON on standard output."""

import json
import sys
import warnings

import numpy as np
from scipy.stats import pearsonr, spearmanr
from seqeval.metrics import f1_score as entity_f1
from seqeval.metrics import precision_score, recall_score
from seqeval.scheme import IOB2, IOBES
from sklearn.metrics import accuracy_score, f1_score, label_ranking_average_precision_score, matthews_corrcoef

# Where nothing is predicted or present both sides say 0.
warnings.filterwarnings("ignore")


def classes(case):
    gold, found = case["gold"], case["found"]
    scores = {
        "accuracy": accuracy_score(gold, found),
        "f1-micro": f1_score(gold, found, average="micro"),
        "f1-macro": f1_score(gold, found, average="macro"),
        "matthews": matthews_corrcoef(gold, found),
    }
    if case["classes"] == 2:
        scores["f1"] = f1_score(gold, found, zero_division=0.0)
    return scores


def labels(case):
    def flags(rows):
        return [[int(label in row) for label in range(case["classes"])] for row in rows]

    gold, found = flags(case["gold"]), flags(case["found"])
    return {
        "accuracy": accuracy_score(gold, found),
        "f1-micro": f1_score(gold, found, average="micro", zero_division=0.0),
        "f1-macro": f1_score(gold, found, average="macro", zero_division=0.0),
    }


def numbers(case):
    gold, found = case["gold"], case["found"]
    return {"pearson": pearsonr(gold, found)[0], "spearman": spearmanr(gold, found)[0]}


def tags(case):
    gold, found = case["gold"], case["found"]
    flat = [[tag for text in texts for tag in text] for texts in (gold, found)]
    scores = {
        "entity-f1": entity_f1(gold, found),
        "entity-precision": precision_score(gold, found),
        "entity-recall": recall_score(gold, found),
        "accuracy": accuracy_score(*flat),
    }
    scheme = {"IOB2": IOB2, "BIOES": IOBES}.get(case["scheme"])
    if scheme:
        scores["entity-f1-strict"] = entity_f1(gold, found, mode="strict", scheme=scheme)
    return scores


def ranks(case):
    found = [np.array(rows) for rows in (case["first"], case["second"])]
    first, second = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in found]
    scores, right = first @ second.T, np.arange(len(first))
    return {
        "mrr": label_ranking_average_precision_score(np.eye(len(first), dtype=int), scores),
        **{f"recall@{k}": np.mean([i in np.argsort(-scores[i])[:k] for i in right]) for k in (1, 5, 10)},
    }


KINDS = {"classes": classes, "labels": labels, "numbers": numbers, "tags": tags, "ranks": ranks}
json.dump([{k: float(v) for k, v in KINDS[case["kind"]](case).items()} for case in json.load(sys.stdin)], sys.stdout)
