"""Encoders of EfficientBERT's kind (Dong et al. 2021) for `transformers`: BERT and MobileBERT with searched feed-forwards, narrow
word tables, layers that lack a part, and several heads.

The program `efficientbert` writes this file beside models that `transformers` has no class for. Load them with
`AutoModelForSequenceClassification.from_pretrained(DIR, trust_remote_code=True)` and the like. Names of weights are those of
`model.safetensors`, so the program reads what `save_pretrained` writes. A class holds all heads of the directory; those that it does
not compute are frozen.

A layer computes `h = LayerNorm(h + attention(h))`, then for each stacked feed-forward `h = LayerNorm(h + f(h))`, where `f` is the
layer's expression of two linear maps.
"""

import copy
import math

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutputWithPooling,
    MaskedLMOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

from .configuration_efficientbert import ACTIVATIONS, BINARY, ON_TEXTS, EfficientBertConfig

FUNCTIONS = {
    "gelu_erf": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "leaky_relu": lambda x: F.leaky_relu(x, negative_slope=0.01),
    "elu": F.elu,
    "swish": F.silu,
}
# In an expression `gelu` is the tanh form.
IN_EXPRESSIONS = {**FUNCTIONS, "gelu": FUNCTIONS["gelu_tanh"]}

# What a narrower operand is padded with. For `max` the released code writes `1 / -1e10` where minus infinity was meant.
PADDING = {"add": 0.0, "mul": 1.0, "max": -1e-10}
OPERATORS = {"add": torch.add, "mul": torch.mul, "max": torch.maximum}


class NoNorm(nn.Module):
    """`x * weight + bias` (MobileBERT, Sun et al. 2020)."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return x * self.weight + self.bias


def norm(config, width, eps=None):
    """The configuration's kind of normalization over `width` channels."""
    if config.normalization_type == "no_norm":
        return NoNorm(width)
    return nn.LayerNorm(width, eps=config.layer_norm_eps if eps is None else eps)


def dense_norm(inputs, outputs, layer_norm=None):
    """A linear map `dense` and, if there is one, the `LayerNorm` after it, under their names in the file."""
    parts = {"dense": nn.Linear(inputs, outputs)}
    if layer_norm is not None:
        parts["LayerNorm"] = layer_norm
    return nn.ModuleDict(parts)


def apply(part, x):
    """`x` through a map of `dense_norm`."""
    x = part["dense"](x)
    return part["LayerNorm"](x) if "LayerNorm" in part else x


def align(operator, a, b, pad):
    """Brings two operands to one width: the first channels of both, or the narrower one padded."""
    width_a, width_b = a.shape[-1], b.shape[-1]
    if width_a == width_b:
        return a, b
    if not pad:
        width = min(width_a, width_b)
        return a[..., :width], b[..., :width]
    width = max(width_a, width_b)
    return (F.pad(v, (0, width - v.shape[-1]), value=PADDING[operator]) for v in (a, b))


def evaluate(tree, x, first, second, pad):
    """`f(x; wb1, wb2)`: the value of an expression (`parse_expression`), whose linear maps are `first` and `second`."""
    if tree == "x":
        return x
    name = tree[0]
    if name == "linear":
        return (first if tree[1] == 1 else second)(evaluate(tree[2], x, first, second, pad))
    if name in BINARY:
        a, b = (evaluate(operand, x, first, second, pad) for operand in tree[1:])
        return OPERATORS[name](*align(name, a, b, pad))
    return IN_EXPRESSIONS[name](evaluate(tree[1], x, first, second, pad))


class EfficientBertEmbeddings(nn.Module):
    """`Norm(project(word) + position + segment)`, with dropout. The projection may see the words `[t+1, t, t-1]`."""

    def __init__(self, config):
        super().__init__()
        embed, hidden = config.embedding_width, config.hidden_size
        self.trigram = config.trigram_input
        self.word_embeddings = nn.Embedding(config.vocab_size, embed)
        if config.embedding_size is not None:
            self.embedding_transformation = nn.Linear(3 * embed if self.trigram else embed, hidden)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, hidden)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, hidden)
        self.LayerNorm = norm(config, hidden, config.default_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, words, mask, token_type_ids, position_ids):
        """`words` `[batch, length, embed]`, `mask` `[batch, length]` (1: a token, 0: padding) or `None`."""
        if self.trigram:
            # Padding is outside of the text, so that a text has the same values in every batch.
            inside = words if mask is None else words * mask.to(words.dtype).unsqueeze(-1)
            after = F.pad(inside[:, 1:], (0, 0, 0, 1))
            before = F.pad(inside[:, :-1], (0, 0, 1, 0))
            words = torch.cat([after, words, before], dim=-1)
        if hasattr(self, "embedding_transformation"):
            words = self.embedding_transformation(words)
        if position_ids is None:
            position_ids = torch.arange(words.shape[1], device=words.device).unsqueeze(0)
        if token_type_ids is None:
            token_type_ids = torch.zeros(words.shape[:2], dtype=torch.long, device=words.device)
        sums = words + self.position_embeddings(position_ids) + self.token_type_embeddings(token_type_ids)
        return self.dropout(self.LayerNorm(sums))


class EfficientBertAttention(nn.Module):
    """`Norm(residual + W_o softmax(q k^T / sqrt(d) + mask) v)`; the heads' width together may differ from the residual's."""

    def __init__(self, config, heads, width, of_queries, of_values):
        super().__init__()
        self.heads, self.size = heads, width // heads
        maps = {"query": nn.Linear(of_queries, width), "value": nn.Linear(of_values, width)}
        if not config.tie_key_query:
            maps["key"] = nn.Linear(of_queries, width)
        self.add_module("self", nn.ModuleDict(maps))
        self.output = dense_norm(width, config.inner_width, norm(config, config.inner_width))
        self.probs_dropout = config.attention_probs_dropout_prob
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def _split(self, x):
        """From `[batch, length, width]` to `[batch, heads, length, size]`."""
        return x.view(*x.shape[:2], self.heads, self.size).transpose(1, 2)

    def forward(self, residual, query_input, value_input, mask, fused):
        """`mask` is added to the scores `[batch, heads, length, length]`. Returns the output and, unless `fused`, the probabilities."""
        maps = getattr(self, "self")
        query, value = self._split(maps["query"](query_input)), self._split(maps["value"](value_input))
        key = self._split(maps["key"](query_input)) if "key" in maps else query
        dropout = self.probs_dropout if self.training else 0.0
        if fused:
            probs = None
            found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        else:
            scores = query @ key.transpose(-1, -2) / math.sqrt(self.size)
            if mask is not None:
                scores = scores + mask
            probs = scores.softmax(dim=-1)
            found = F.dropout(probs, dropout) @ value
        found = found.transpose(1, 2).flatten(2)
        found = self.dropout(self.output["dense"](found))
        return self.output["LayerNorm"](found + residual), probs


class EfficientBertLayer(GradientCheckpointingLayer):
    """Attention, then stacked feed-forwards of one expression with weights of their own. One of the two may be absent.

    In a MobileBERT both work in a bottleneck: on `Norm(W_in h)`, and the layer gives `Norm(h + W_out x)`.
    """

    def __init__(self, config, index):
        super().__init__()
        hidden, inside = config.hidden_size, config.inner_width
        self.pad, self.hidden_dropout = config.pad_operands, nn.Dropout(config.hidden_dropout_prob)
        self.has_bottleneck = config.intra_bottleneck_size is not None
        of_queries = of_values = inside
        if self.has_bottleneck:
            inner_norm = norm(config, inside) if config.bottleneck_norm else None
            self.bottleneck = nn.ModuleDict({"input": dense_norm(hidden, inside, inner_norm)})
            if not config.use_bottleneck_attention:
                of_values = hidden
                of_queries = inside if config.key_query_shared_bottleneck else hidden
                if config.key_query_shared_bottleneck:
                    inner_norm = norm(config, inside) if config.bottleneck_norm else None
                    self.bottleneck["attention"] = dense_norm(hidden, inside, inner_norm)
            self.use_bottleneck_attention = config.use_bottleneck_attention
        heads, width = config.attention_of(index)
        if heads:
            self.attention = EfficientBertAttention(config, heads, width, of_queries, of_values)
        self.tree, stacks, inner = config.feed_forward_of(index) or (None, 0, 0)
        if config.encoder_type == "efficientbert":
            self.feed_forward = nn.ModuleList(
                nn.ModuleDict({
                    "dense1": nn.Linear(inside, inner),
                    "dense2": nn.Linear(inner, inside),
                    "LayerNorm": norm(config, inside),
                })
                for _ in range(stacks)
            )
            return
        # The names of BERT's one feed-forward, and those of MobileBERT's that stand before it.
        plain = [
            nn.ModuleDict({
                "intermediate": dense_norm(inside, inner),
                "output": dense_norm(inner, inside, norm(config, inside, config.default_norm_eps if last else None)),
            })
            for last in [False] * (stacks - 1) + [True]
        ]
        if stacks > 1:
            self.ffn = nn.ModuleList(plain[:-1])
        self.intermediate, self.output = plain[-1]["intermediate"], plain[-1]["output"]
        if self.has_bottleneck:
            self.output["bottleneck"] = dense_norm(inside, hidden, norm(config, hidden))

    def feed_forwards(self):
        """First map, second map and norm of every feed-forward."""
        if hasattr(self, "feed_forward"):
            return [(block["dense1"], block["dense2"], block["LayerNorm"]) for block in self.feed_forward]
        plain = [(block["intermediate"], block["output"]) for block in getattr(self, "ffn", ())]
        plain.append((self.intermediate, self.output))
        return [(first["dense"], second["dense"], second["LayerNorm"]) for first, second in plain]

    def forward(self, hidden_states, mask, fused):
        """Returns the layer's output and its attention probabilities (`None` where they were not computed)."""
        wide = x = query_input = value_input = hidden_states
        probs = None
        if self.has_bottleneck:
            x = apply(self.bottleneck["input"], wide)
            if self.use_bottleneck_attention:
                query_input = value_input = x
            elif "attention" in self.bottleneck:
                query_input = apply(self.bottleneck["attention"], wide)
        if hasattr(self, "attention"):
            x, probs = self.attention(x, query_input, value_input, mask, fused)
        for first, second, layer_norm in self.feed_forwards():
            x = layer_norm(x + self.hidden_dropout(evaluate(self.tree, x, first, second, self.pad)))
        if self.has_bottleneck:
            part = self.output["bottleneck"]
            x = part["LayerNorm"](self.hidden_dropout(part["dense"](x)) + wide)
        return x, probs


class EfficientBertPredictions(nn.Module):
    """Scores of words: `LayerNorm(act(W h + b)) E^T + bias` with the word table `E`, or with further columns beside it."""

    def __init__(self, config):
        super().__init__()
        embed, hidden = config.embedding_width, config.hidden_size
        is_extended = config.mlm_head == "extended"
        width = hidden if is_extended else embed
        # Always a LayerNorm.
        self.transform = dense_norm(hidden, width, nn.LayerNorm(width, eps=config.layer_norm_eps))
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        if is_extended:
            self.dense = nn.Linear(config.vocab_size, hidden - embed, bias=False)
        self.act = FUNCTIONS[ACTIVATIONS[config.hidden_act]]

    def forward(self, hidden_states, table):
        x = self.transform["LayerNorm"](self.act(self.transform["dense"](hidden_states)))
        if not hasattr(self, "dense"):
            return F.linear(x, table, self.bias)
        embed = table.shape[1]
        return F.linear(x[..., :embed], table, self.bias) + x[..., embed:] @ self.dense.weight


class EfficientBertPreTrainedModel(PreTrainedModel):
    """An encoder with all heads of its directory. What a class does not compute stays as it is, without gradients."""

    config_class = EfficientBertConfig
    # Heads stand beside the parts of the encoder in the file, not around a prefix.
    base_model_prefix = ""
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["EfficientBertLayer"]
    # Kinds of heads that the class answers with, the usual one first; `words` is the masked-LM head.
    kinds = ()

    def __init__(self, config, add_pooling_layer=True):
        # What the class settles is for this model; the caller may build others from the same configuration.
        config = copy.deepcopy(config)
        super().__init__(config)
        hidden = config.hidden_size
        self.head = None
        if not self.kinds and len(config.task_heads) == 1 and (config.task_heads[0].get("vector") or {}).get("size"):
            # `sentence-transformers` has that dense layer in a folder of its own, and may train it there.
            config.task_heads = []
        if self.kinds == ("words",):
            config.mlm_head = config.mlm_head or "tied"
        elif self.kinds:
            self.head = config.choose_head(self.kinds)
        self.embeddings = EfficientBertEmbeddings(config)
        layers = [EfficientBertLayer(config, index) for index in range(config.num_hidden_layers)]
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})
        if config.classifier_activation:
            self.pooler = dense_norm(hidden, hidden)
        if config.fit_size is not None:
            self.fit_dense = nn.Linear(hidden, config.fit_size)
        for index, head in enumerate(config.task_heads):
            outputs = config.outputs_of(head)
            if outputs is not None:
                self.add_module(self._head_name(index), nn.Linear(hidden, outputs))
        if config.mlm_head is not None:
            self.cls = nn.ModuleDict({"predictions": EfficientBertPredictions(config)})
        dropout = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
        self.dropout = nn.Dropout(dropout)
        self.add_pooling_layer = add_pooling_layer
        self.post_init()
        self._freeze_unused()

    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        """As that of `transformers`."""
        loaded = super().from_pretrained(*args, **kwargs)
        # Loading makes new parameters.
        (loaded[0] if isinstance(loaded, tuple) else loaded)._freeze_unused()
        return loaded

    @staticmethod
    def _head_name(index):
        return "classifier" if index == 0 else f"classifier_{index}"

    def _freeze_unused(self):
        """Leaves the parts that the class does not compute without gradients."""
        names = [self._head_name(index) for index in range(len(self.config.task_heads)) if index != self.head]
        if self.kinds != ("words",):
            names.append("cls")
        if not self.add_pooling_layer or self.kinds and self.kinds != ON_TEXTS:
            names.append("pooler")
        for name in [*names, "fit_dense"]:
            if hasattr(self, name):
                getattr(self, name).requires_grad_(False)

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, mean=0.0, std=self.config.initializer_range)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, (nn.LayerNorm, NoNorm)):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, EfficientBertPredictions):
            nn.init.zeros_(module.bias)

    def get_input_embeddings(self):
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value):
        self.embeddings.word_embeddings = value

    def resize_token_embeddings(self, *args, **kwargs):
        """As that of `transformers`; the masked-LM head's weights of new words are 0."""
        table = super().resize_token_embeddings(*args, **kwargs)
        words = table.weight.shape[0]
        if hasattr(self, "cls"):
            head = self.cls["predictions"]
            for owner, name in [(head, "bias"), (getattr(head, "dense", None), "weight")]:
                if owner is not None:
                    values = getattr(owner, name)
                    resized = F.pad(values.detach()[..., :words], (0, max(0, words - values.shape[-1])))
                    setattr(owner, name, nn.Parameter(resized, requires_grad=values.requires_grad))
        return table

    def encode(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        inputs_embeds=None,
        output_attentions=None,
        output_hidden_states=None,
    ):
        """The last hidden states, those of the embedding and of all layers, and the attention probabilities of all layers.

        `input_ids`, `attention_mask` (1: a token, 0: padding), `token_type_ids`: `[batch, length]`. `inputs_embeds` are rows of the
        word table, before its projection. States are `[batch, length, hidden]`; probabilities `[batch, heads, length, length]`, of
        no heads for a layer without attention. What was not asked for is `None`.
        """
        config = self.config
        with_probs = config.output_attentions if output_attentions is None else output_attentions
        with_states = config.output_hidden_states if output_hidden_states is None else output_hidden_states
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        words = self.embeddings.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        length = words.shape[1]
        if length > config.max_position_embeddings:
            raise ValueError(f"a text of {length} tokens; the model takes at most {config.max_position_embeddings}")
        flat = attention_mask if attention_mask is not None and attention_mask.dim() == 2 else None
        x = self.embeddings(words, flat, token_type_ids, position_ids)
        mask = self._added_to_scores(attention_mask, x.dtype)
        fused = config._attn_implementation == "sdpa" and not with_probs
        states, probs = [x], []
        for layer in self.encoder["layer"]:
            x, found = layer(x, mask, fused)
            states.append(x)
            if with_probs:
                probs.append(x.new_zeros(x.shape[0], 0, length, length) if found is None else found)
        return x, tuple(states) if with_states else None, tuple(probs) if with_probs else None

    @staticmethod
    def _added_to_scores(mask, dtype):
        """What is added to scores: 0 where a mask has a token, the least number elsewhere.

        Masks are `[batch, length]`, `[batch, length, length]` or `[batch, heads or 1, length, length]`. Floats of four axes are what is
        added already.
        """
        if mask is None or mask.dim() == 4 and mask.is_floating_point():
            return mask
        if mask.dim() == 4:
            return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask == 0, torch.finfo(dtype).min)
        mask = mask[:, None, None, :] if mask.dim() == 2 else mask[:, None]
        return (1.0 - mask.to(dtype)) * torch.finfo(dtype).min

    def pool(self, last):
        """What heads on texts look at: `tanh(W h + b)` of the first token, or the first token itself where there is no pooler."""
        first = last[:, 0]
        return torch.tanh(self.pooler["dense"](first)) if hasattr(self, "pooler") else first

    def score(self, values):
        """The outputs of the class's head."""
        return getattr(self, self._head_name(self.head))(self.dropout(values))

    def _answer(self, output, return_dict):
        keep = getattr(self.config, "return_dict", True) if return_dict is None else return_dict
        return output if keep else output.to_tuple()


class EfficientBertModel(EfficientBertPreTrainedModel):
    """The encoder alone. `pooler_output` is there where the model has a pooler."""

    _keys_to_ignore_on_load_unexpected = [r"^classifier\."]

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        inputs_embeds=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
    ):
        last, states, probs = self.encode(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, output_attentions, output_hidden_states
        )
        pooled = self.pool(last) if hasattr(self, "pooler") else None
        output = BaseModelOutputWithPooling(
            last_hidden_state=last, pooler_output=pooled, hidden_states=states, attentions=probs
        )
        return self._answer(output, return_dict)


class EfficientBertForSequenceClassification(EfficientBertPreTrainedModel):
    """Classes, labels or a number for a text or a pair.

    `labels` are class numbers `[batch]`, numbers `[batch]`, or 0 and 1 `[batch, labels]`. A number is given in its own units: `mean +
    output * deviation` where the head has a `scale`, and the loss is that of the output. Both are computed in 32 bits at least: half
    precision ends at 65504, and has steps of 32 before.
    """

    kinds = ON_TEXTS

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        inputs_embeds=None,
        labels=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
    ):
        last, states, probs = self.encode(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, output_attentions, output_hidden_states
        )
        logits, loss = self.score(self.pool(last)), None
        head = self.config.task_heads[self.head]
        if head["kind"] == "regression":
            scale = head.get("scale") or {"mean": 0.0, "deviation": 1.0}
            wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
            if labels is not None:
                wanted = (labels.to(wide.dtype) - scale["mean"]) / scale["deviation"]
                loss = F.mse_loss(wide.view(-1), wanted.view(-1))
            if head.get("scale"):
                logits = scale["mean"] + wide * scale["deviation"]
        elif labels is not None and head["kind"] == "multi_label":
            loss = F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
        elif labels is not None:
            loss = F.cross_entropy(logits, labels.view(-1))
        output = SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=states, attentions=probs)
        return self._answer(output, return_dict)


class EfficientBertForTokenClassification(EfficientBertPreTrainedModel):
    """A tag for every token. `labels` `[batch, length]`, -100 where a token has none."""

    kinds = ("tags",)

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        inputs_embeds=None,
        labels=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
    ):
        last, states, probs = self.encode(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, output_attentions, output_hidden_states
        )
        logits = self.score(last)
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        output = TokenClassifierOutput(loss=loss, logits=logits, hidden_states=states, attentions=probs)
        return self._answer(output, return_dict)


class EfficientBertForQuestionAnswering(EfficientBertPreTrainedModel):
    """Scores of every token as the start and as the end of an answer. Positions outside the text are left out of the loss."""

    kinds = ("span",)

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        inputs_embeds=None,
        start_positions=None,
        end_positions=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
    ):
        last, states, probs = self.encode(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, output_attentions, output_hidden_states
        )
        start, end = (scores.squeeze(-1) for scores in self.score(last).split(1, dim=-1))
        loss = None
        if start_positions is not None and end_positions is not None:
            outside = start.shape[1]
            wanted = [(start, start_positions), (end, end_positions)]
            losses = [
                F.cross_entropy(scores, position.view(-1).clamp(0, outside), ignore_index=outside)
                for scores, position in wanted
            ]
            loss = sum(losses) / 2
        output = QuestionAnsweringModelOutput(
            loss=loss, start_logits=start, end_logits=end, hidden_states=states, attentions=probs
        )
        return self._answer(output, return_dict)


class EfficientBertForMaskedLM(EfficientBertPreTrainedModel):
    """Scores of all words at every position; the output weights are the word table. `labels` `[batch, length]`, -100: no loss."""

    kinds = ("words",)

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        inputs_embeds=None,
        labels=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
    ):
        last, states, probs = self.encode(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, output_attentions, output_hidden_states
        )
        logits = self.cls["predictions"](last, self.embeddings.word_embeddings.weight)
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        output = MaskedLMOutput(loss=loss, logits=logits, hidden_states=states, attentions=probs)
        return self._answer(output, return_dict)
