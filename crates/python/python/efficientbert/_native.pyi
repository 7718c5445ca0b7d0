"""The types of the native module; what is public is in the package itself."""

from collections.abc import Sequence
from os import PathLike
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

__version__: str

class Error(Exception):
    """A model cannot be loaded, or does not take what it is given."""

class Head(TypedDict):
    task: str
    kind: Literal["classification", "multi_label", "regression", "span", "tags", "embedding"]
    labels: list[str]
    outputs: int

class Entity(TypedDict):
    kind: str
    text: str
    start: int
    end: int
    probability: float

class NBest(TypedDict):
    text: str
    probability: float
    start_logit: float
    end_logit: float

class QuestionAnswer(TypedDict):
    task: str
    answer: str
    start: int | None
    end: int | None
    probability: float
    null_odds: float | None
    n_best: list[NBest]

class Predictor:
    """A model directory that answers texts. All methods may be called from any number of threads at the same time."""

    @classmethod
    def from_dir(
        cls,
        path: str | PathLike[str],
        threads: int = 1,
        precision: Literal["f32", "bf16", "int8"] = "f32",
        sessions: int = 1,
    ) -> Predictor: ...
    @property
    def heads(self) -> list[Head]: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def threads(self) -> int: ...
    @property
    def sessions(self) -> int: ...
    @property
    def precision(self) -> Literal["f32", "bf16", "int8"]: ...
    @property
    def path(self) -> PathLike[str]: ...
    def labels(
        self, texts: Sequence[str] | NDArray[Any], pairs: Sequence[str | None] | None = None, *, task: str | None = None
    ) -> list[dict[str, Any]]: ...
    def scores(
        self, texts: Sequence[str] | NDArray[Any], pairs: Sequence[str | None] | None = None, *, task: str | None = None
    ) -> NDArray[np.float32]: ...
    def logits(
        self, texts: Sequence[str] | NDArray[Any], pairs: Sequence[str | None] | None = None, *, task: str | None = None
    ) -> NDArray[np.float32]: ...
    def vectors(self, texts: Sequence[str] | NDArray[Any], *, task: str | None = None) -> NDArray[np.float32]: ...
    def entities(self, texts: Sequence[str] | NDArray[Any], *, task: str | None = None) -> list[list[Entity]]: ...
    def questions(
        self,
        questions: Sequence[str],
        contexts: Sequence[str],
        *,
        task: str | None = None,
        max_len: int | None = None,
        doc_stride: int = 128,
        max_query_length: int | None = None,
        max_answer_length: int = 30,
        n_best: int = 20,
        null_threshold: float = 0.0,
    ) -> list[QuestionAnswer]: ...
    def encode(
        self, texts: Sequence[str] | NDArray[Any], pairs: Sequence[str | None] | None = None
    ) -> dict[str, NDArray[np.int64]]: ...
    def forward(
        self,
        input_ids: ArrayLike,
        attention_mask: ArrayLike | None = None,
        token_type_ids: ArrayLike | None = None,
    ) -> dict[str, NDArray[np.float32]]: ...
