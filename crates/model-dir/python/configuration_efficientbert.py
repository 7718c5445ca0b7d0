"""Configuration of encoders of EfficientBERT's kind: BERT and MobileBERT with searched layers, narrow word tables and several heads.

The program `efficientbert` writes this file beside models that `transformers` has no class for. Load them with
`AutoModel.from_pretrained(DIR, trust_remote_code=True)`. The keys of `config.json` are described in the program's
`docs/model-directory.md`.
"""

import re

from transformers import PretrainedConfig

# What a name in `hidden_act` or in an expression computes; two names may mean one function.
ACTIVATIONS = {
    "gelu": "gelu_erf",
    "gelu_python": "gelu_erf",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_tanh": "gelu_tanh",
    "relu": "relu",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "leaky_relu": "leaky_relu",
    "elu": "elu",
    "swish": "swish",
    "silu": "swish",
}

# Functions of one operand in an expression. `gelu` is the tanh form there, as in the code of EfficientBERT's authors.
UNARY = ("gelu", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "swish")
# Functions of two operands.
BINARY = ("add", "mul", "max")
# Stands in place of an expression where a layer has no feed-forward.
NO_FEED_FORWARD = "none"

# The searched feed-forwards of EfficientBERT (Dong et al. 2021), the default of `layers`.
RELEASED = (
    ("tanh(linear4_2(gelu(linear4_2(x,wb1)),wb2))", 4, 2),
    ("elu(linear2_1(gelu(linear2_1(x,wb1)),wb2))", 2, 1),
    ("sigmoid(linear1_2(relu(linear1_2(x,wb1)),wb2))", 1, 2),
    ("linear2_2(gelu(linear2_2(max(x,tanh(x)),wb1)),wb2)", 2, 2),
    ("linear1_2(relu(mul(linear1_2(x,wb1),x)),wb2)", 1, 2),
    ("leaky_relu(linear2_3(gelu(linear2_3(x,wb1)),wb2))", 2, 3),
)

# Kinds of heads by what they look at.
ON_TEXTS = ("classification", "multi_label", "regression")
# What `problem_type` calls them.
PROBLEMS = {
    "classification": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}
KINDS = {problem: kind for kind, problem in PROBLEMS.items()}


def parse_expression(text):
    """The expression of a feed-forward as a tree of tuples.

    `"x"` is the input, `("gelu", a)` a function of one operand, `("add", a, b)` of two, `("linear", 1, a)` the map by the weights
    `wb1` and `("linear", 2, a)` that by `wb2`. Returns the tree, the number of stacked feed-forwards and the denominator of
    their ratio, which are `N` and `R` of `linearN_R`.

    Raises `ValueError` where the text is no expression, or does not use `wb1` and `wb2` once each with one `N_R`.
    """
    tokens = re.findall(r"[A-Za-z_][A-Za-z_0-9]*|\S", text)
    at, used = 0, []

    def fail(expected):
        found = f"`{tokens[at]}`" if at < len(tokens) else "its end"
        raise ValueError(f"expression `{text}`: expected {expected}, found {found}")

    def take(token):
        nonlocal at
        if at >= len(tokens) or tokens[at] != token:
            fail(f"`{token}`")
        at += 1

    def value(depth):
        nonlocal at
        if depth > 64:
            raise ValueError(f"expression `{text}` is nested too deeply")
        name = tokens[at] if at < len(tokens) else ""
        linear = re.fullmatch(r"linear([1-4])_([1-4])", name)
        if not (name == "x" or name in UNARY or name in BINARY or linear):
            fail("x, a function or a linear map")
        at += 1
        if name == "x":
            return "x"
        take("(")
        first = value(depth + 1)
        node = (name, first)
        if name in BINARY:
            take(",")
            node = (name, first, value(depth + 1))
        elif linear:
            take(",")
            if at >= len(tokens) or tokens[at] not in ("wb1", "wb2"):
                fail("`wb1` or `wb2`")
            slot = int(tokens[at][2])
            at += 1
            used.append((slot, int(linear[1]), int(linear[2])))
            node = ("linear", slot, first)
        take(")")
        return node

    tree = value(0)
    if at < len(tokens):
        fail("nothing more")
    if sorted(slot for slot, _, _ in used) != [1, 2] or used[0][1:] != used[1][1:]:
        raise ValueError(f"expression `{text}` must use `wb1` and `wb2` once each, with the same `linearN_R`")
    return tree, used[0][1], used[0][2]


class EfficientBertConfig(PretrainedConfig):
    """Configuration of an encoder and of its heads. Without arguments it is EfficientBERT's (Dong et al. 2021).

    Args:
        encoder_type: `"efficientbert"` (searched feed-forwards, listed in `layers`), `"bert"` or `"mobilebert"` (plain ones); decides
            the names of tensors.
        vocab_size, hidden_size, num_hidden_layers, num_attention_heads, max_position_embeddings, type_vocab_size, pad_token_id,
            hidden_dropout_prob, attention_probs_dropout_prob, classifier_dropout, layer_norm_eps, initializer_range: as in a BERT.
        intermediate_size: inner width of a plain feed-forward; of a searched one the width that its ratio divides.
        hidden_act: activation of plain feed-forwards and of the masked-LM head.
        default_norm_eps: epsilon of the embedding's norm and of that of a layer's last plain feed-forward; `None`: `layer_norm_eps`.
        embedding_size: width of the word table where a projection to `hidden_size` follows; `None`: no projection.
        trigram_input: whether the projection sees the words `[t+1, t, t-1]`.
        normalization_type: `"layer_norm"`, or `"no_norm"` for `x * weight + bias`.
        intra_bottleneck_size, key_query_shared_bottleneck, use_bottleneck_attention: MobileBERT's bottleneck, `None`: there is none.
        bottleneck_norm: whether norms follow the maps into the bottleneck.
        tie_key_query: whether keys are the queries.
        num_feedforward_networks: plain feed-forwards of a layer.
        layers: of a searched model, for each layer `{"expression", "stacks", "ratio"}` and, where they are not the usual ones,
            `attention_heads` (0: no attention) and `attention_size`.
        pad_operands: whether `add`, `mul` and `max` pad the narrower operand; else they cut the wider one.
        fit_size: width of a projection that only distillation by the program uses; it is kept and not computed.
        classifier_activation: whether there is a pooler, `tanh(W h + b)` of the first token, before heads on texts.
        mlm_head: `None` (no masked-LM head), `"tied"` (output weights are the word table) or `"extended"` (MobileBERT's, with
            further columns beside a narrow table).
        task_heads: the heads in the order of their weights, `{"task", "kind", "labels", "scale", "vector"}`.
        task: the head that a model class answers with; `None`: the first one of its kind.
    """

    model_type = "efficientbert"

    def __init__(
        self,
        vocab_size=30522,
        hidden_size=540,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=540,
        hidden_act=None,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout=None,
        max_position_embeddings=512,
        type_vocab_size=2,
        layer_norm_eps=None,
        default_norm_eps=None,
        initializer_range=0.02,
        pad_token_id=0,
        embedding_size=None,
        trigram_input=False,
        normalization_type="layer_norm",
        intra_bottleneck_size=None,
        key_query_shared_bottleneck=False,
        use_bottleneck_attention=False,
        bottleneck_norm=True,
        tie_key_query=False,
        num_feedforward_networks=1,
        layers=None,
        pad_operands=False,
        fit_size=None,
        classifier_activation=True,
        mlm_head=None,
        task_heads=None,
        task=None,
        encoder_type=None,
        model_type=None,
        num_labels=None,
        **kwargs,
    ):
        if encoder_type is None:
            encoder_type = model_type or self.model_type
            if encoder_type == "mobilebert":
                # Keys as `transformers` writes them for its own class, which says some things by two of them.
                if kwargs.pop("use_bottleneck", True) is False:
                    intra_bottleneck_size = None
                if embedding_size == hidden_size and not trigram_input:
                    embedding_size = None
                kwargs.pop("true_hidden_size", None)
        if (kwargs.get("quantization_config") or {}).get("quant_method") == "efficientbert-int8":
            raise ValueError("the weights are in 8-bit integers of the program `efficientbert`, which alone reads them")
        if encoder_type not in ("efficientbert", "bert", "mobilebert"):
            raise ValueError(f"encoder_type is `{encoder_type}`; efficientbert, bert and mobilebert are known")
        searched = encoder_type == "efficientbert"
        if searched and not layers:
            layers = [{"expression": text, "stacks": stacks, "ratio": ratio} for text, stacks, ratio in RELEASED]
            # The released model's conventions.
            if embedding_size is None and not trigram_input:
                embedding_size, trigram_input = 128, True
            hidden_act, layer_norm_eps = hidden_act or "gelu_new", layer_norm_eps or 1e-5
        self.encoder_type = encoder_type
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act or "gelu"
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.classifier_dropout = classifier_dropout
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.layer_norm_eps = 1e-12 if layer_norm_eps is None else layer_norm_eps
        self.default_norm_eps = default_norm_eps
        self.initializer_range = initializer_range
        self.embedding_size = embedding_size
        self.trigram_input = trigram_input
        self.normalization_type = normalization_type
        self.intra_bottleneck_size = intra_bottleneck_size
        self.key_query_shared_bottleneck = key_query_shared_bottleneck
        self.use_bottleneck_attention = use_bottleneck_attention
        self.bottleneck_norm = bottleneck_norm
        self.tie_key_query = tie_key_query
        self.num_feedforward_networks = num_feedforward_networks
        self.layers = [dict(layer) for layer in layers or []]
        self.pad_operands = pad_operands
        self.fit_size = fit_size
        self.classifier_activation = classifier_activation
        self.mlm_head = mlm_head
        self.task_heads = [dict(head) for head in task_heads or []]
        self.task = task
        if num_labels is not None and len(kwargs.get("id2label") or ()) != num_labels:
            kwargs["id2label"] = {i: f"LABEL_{i}" for i in range(num_labels)}
            kwargs["label2id"] = {f"LABEL_{i}": i for i in range(num_labels)}
        super().__init__(pad_token_id=pad_token_id, **kwargs)
        # A base class of version 5 does not keep it.
        self.pad_token_id = pad_token_id
        # Keys that the caller set, which a file does not have or which it had otherwise. From here on `__setattr__` notes them.
        self._asked = frozenset() if num_labels is None else frozenset(["num_labels"])
        self._check()

    def __setattr__(self, key, value):
        super().__setattr__(key, value)
        # `from_pretrained(DIR, problem_type=...)` sets it so, after the file was read.
        if key in ("id2label", "num_labels", "problem_type") and "_asked" in self.__dict__:
            self._asked = self._asked | {key}

    def _check(self):
        """Raises `ValueError` for a configuration that no model can be built from."""
        if self.hidden_act not in ACTIVATIONS:
            raise ValueError(f"hidden_act `{self.hidden_act}` is not supported; known: {', '.join(ACTIVATIONS)}")
        if self.normalization_type not in ("layer_norm", "no_norm"):
            raise ValueError(f"normalization_type `{self.normalization_type}` is not supported")
        if self.trigram_input and self.embedding_size is None:
            raise ValueError("trigram_input needs embedding_size")
        if self.mlm_head not in (None, "tied", "extended"):
            raise ValueError(f"mlm_head `{self.mlm_head}` is not known; tied and extended are")
        if self.encoder_type != "efficientbert" and self.layers:
            raise ValueError("searched layers need encoder_type `efficientbert`")
        if self.layers and len(self.layers) != self.num_hidden_layers:
            raise ValueError(f"{len(self.layers)} layers are described, num_hidden_layers is {self.num_hidden_layers}")
        for index in range(self.num_hidden_layers):
            heads, width = self.attention_of(index)
            if self.feed_forward_of(index) is None and not heads:
                raise ValueError(f"layer {index + 1} has neither attention nor a feed-forward")
            if heads and width % heads:
                raise ValueError(f"layer {index + 1}: {heads} heads do not divide the attention width {width}")

    def to_dict(self):
        """As that of `transformers`. A model without heads has no `task_heads`, as a checkpoint that is not the program's."""
        keys = super().to_dict()
        keys.pop("_asked", None)
        for key in ("task_heads", "task", "mlm_head"):
            if not keys.get(key):
                keys.pop(key, None)
        return keys

    @property
    def embedding_width(self):
        """Width of the word table."""
        return self.embedding_size or self.hidden_size

    @property
    def inner_width(self):
        """Width that attention and feed-forwards work in."""
        return self.intra_bottleneck_size or self.hidden_size

    def attention_of(self, index):
        """Heads and width, all heads together, of the attention of a layer; no heads: the layer has none."""
        layer = self.layers[index] if self.layers else {}
        heads, width = layer.get("attention_heads"), layer.get("attention_size")
        heads = self.num_attention_heads if heads is None else heads
        return heads, self.inner_width if width is None else width

    def feed_forward_of(self, index):
        """Expression (a tree), number of stacked feed-forwards and inner width of a layer; `None`: the layer has none.

        Raises `ValueError` where the numbers beside the expression are others than its own.
        """
        if not self.layers:
            act = ACTIVATIONS[self.hidden_act]
            tree = ("linear", 2, (act, ("linear", 1, "x")))
            return tree, self.num_feedforward_networks, self.intermediate_size
        layer = self.layers[index]
        if layer["expression"].strip() == NO_FEED_FORWARD:
            return None
        tree, stacks, ratio = parse_expression(layer["expression"])
        if (stacks, ratio) != (layer["stacks"], layer["ratio"]):
            raise ValueError(
                f"layer {index + 1}: `{layer['expression']}` has {stacks} stacks and ratio 1/{ratio}, the keys beside it say "
                f"{layer['stacks']} and 1/{layer['ratio']}"
            )
        return tree, stacks, self.intermediate_size // ratio

    def outputs_of(self, head):
        """Number of values that a head gives, for each text or token; `None`: it has no weights."""
        kind = head["kind"]
        if kind == "embedding":
            return head["vector"].get("size")
        return {"regression": 1, "span": 2}.get(kind) or len(head["labels"])

    def choose_head(self, kinds):
        """The position in `task_heads` of the head that a class for these kinds answers with; a new one where there is none.

        It is the head of `task`, or the first one of these kinds. Labels and `problem_type` become those of the head. Where the number
        of labels was asked to be another one, the head gets as many outputs; its weights are new then, and
        `from_pretrained` wants `ignore_mismatched_sizes=True`. A text's head of one output is then a regression, unless it is of
        `multi_label`.

        Raises `ValueError` where `task` or `problem_type` asks for what the head is not.
        """
        suitable = [i for i, head in enumerate(self.task_heads) if head["kind"] in kinds]
        if self.task is not None and any(head["task"] == self.task for head in self.task_heads):
            suitable = [i for i in suitable if self.task_heads[i]["task"] == self.task]
            if not suitable:
                raise ValueError(f"the head `{self.task}` is of another kind than {', '.join(kinds)}")
        elif self.task is not None and suitable:
            known = ", ".join(head["task"] for head in self.task_heads)
            raise ValueError(f"there is no head `{self.task}`; the heads are {known}")
        head = self.task_heads[suitable[0]] if suitable else None
        labels = self._labels(head) if head else []
        names = self._names_asked(labels)
        kind = self._kind_asked(kinds, head, labels, names)
        if head is None:
            self.task_heads.append({"task": self.task or "task", "kind": kind})
            if kind in ("classification", "multi_label", "tags"):
                self.task_heads[-1]["labels"] = names or self._names()
        elif labels and names:
            if len(names) != len(labels):
                head.pop("scale", None)
            head["kind"] = kind
            if kind == "regression":
                head.pop("labels", None)
            else:
                head["labels"] = names
        index = suitable[0] if suitable else len(self.task_heads) - 1
        head = self.task_heads[index]
        # A number has no name in `task_heads`, but may have one here.
        labels = names if head["kind"] == "regression" and names else self._labels(head)
        if labels:
            self.id2label = dict(enumerate(labels))
            self.label2id = {label: i for i, label in enumerate(labels)}
        if kind in ON_TEXTS:
            self.problem_type = PROBLEMS[kind] if kind != "classification" or len(labels) > 1 else None
        self._asked = frozenset()
        return index

    def _labels(self, head):
        """Names of a head's outputs; none of a head whose outputs have no names."""
        return ["LABEL_0"] if head["kind"] == "regression" else list(head.get("labels") or ())

    def _names(self):
        """The names in `id2label`."""
        return [str(self.id2label[i]) for i in range(self.num_labels)]

    def _names_asked(self, labels):
        """The names that the caller wants for a head's outputs in place of `labels`; `None`: nothing was asked for."""
        names = self._names()
        unnamed = [f"LABEL_{i}" for i in range(len(names))]
        if "num_labels" in self._asked and names == unnamed:
            # A number alone was asked for.
            return None if len(names) == len(labels) else unnamed
        # What a file says is of its first head, and what no file says has two labels.
        is_of_file = names == ["LABEL_0", "LABEL_1"] or any(names == self._labels(head) for head in self.task_heads)
        if "id2label" in self._asked or not is_of_file:
            return names
        return unnamed if "num_labels" in self._asked and len(names) != len(labels) else None

    def _kind_asked(self, kinds, head, labels, names):
        """The kind that the class's head is to have: that of `head`, unless there is none or it gets another number of outputs."""
        if kinds != ON_TEXTS:
            return head["kind"] if head else kinds[0]
        wanted = KINDS.get(self.problem_type)
        if wanted is None and self.problem_type is not None:
            raise ValueError(f"problem_type is `{self.problem_type}`; {', '.join(KINDS)} are known")
        if "problem_type" not in self._asked and any(other["kind"] == wanted for other in self.task_heads):
            # The file's, which is of its first head.
            wanted = None
        if head and (names is None or len(names) == len(labels)):
            if wanted not in (None, head["kind"]):
                raise ValueError(
                    f"problem_type is `{self.problem_type}`, the head `{head['task']}` is of the kind {head['kind']}; for a new head "
                    "set `task_heads = []` in the configuration and give that as `config`"
                )
            return head["kind"]
        count = len(names or self._names())
        if wanted is None:
            keeps = head and head["kind"] == "multi_label"
            wanted = "multi_label" if keeps else "regression" if count == 1 else "classification"
        if wanted == "regression" and names and count != 1 or wanted == "classification" and count == 1:
            raise ValueError(
                f"problem_type is `{PROBLEMS[wanted]}` and num_labels is {count}; a regression has one label, classes are two or more"
            )
        return wanted
