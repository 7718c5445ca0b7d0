"""Answers of small BERT models on the CPU: labels, pairs, vectors, entities, answers to questions.

>>> from efficientbert import Predictor
>>> model = Predictor.from_dir("model", threads=2)
>>> model.labels(["a quiet film"])
[{'task': 'sst-2', 'label': '1', 'probability': 0.98, 'probabilities': {'0': 0.02, '1': 0.98}}]
>>> model.scores(["a quiet film", "a loud film"]).shape
(2, 2)

Models are made by `EfficientBERT in Rust`_: a search, a distillation or an import writes a model directory.

.. _EfficientBERT in Rust: https://github.com/efficientbert/efficientbert-rs
"""

from efficientbert._native import Error, Predictor, __version__

__all__ = ["Error", "Predictor", "__version__"]
