"""Random models of `sentence-transformers` and the vectors that they make.

    models.py make DIR COUNT SEED    writes COUNT models below DIR, one folder each, with expected.safetensors, and DIR/texts.jsonl
    models.py check DIR COUNT        encodes the texts with what stands in DIR/*/imported, as again.safetensors beside it
"""

import json
import os
import random
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from safetensors.numpy import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

WORDS = [f"w{n}" for n in range(30)]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def encode(model, texts):
    return {"vectors": model.encode(texts, batch_size=5, convert_to_numpy=True, show_progress_bar=False)}


def make(folder, count, seed):
    rng = random.Random(seed)
    torch.manual_seed(seed)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(1, 12))) for _ in range(12)]
    with open(f"{folder}/texts.jsonl", "w") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    for n in range(count):
        heads = rng.randint(1, 4)
        width = heads * rng.choice([2, 4, 6])
        config, family = (
            (transformers.ModernBertConfig, transformers.ModernBertModel) if n % 5 == 4 else (transformers.BertConfig, transformers.BertModel)
        )
        config = config(
            vocab_size=len(SPECIAL + WORDS), hidden_size=width, num_attention_heads=heads, num_hidden_layers=rng.randint(1, 3),
            intermediate_size=rng.randint(3, 40), max_position_embeddings=16, initializer_range=0.5, pad_token_id=0,
            bos_token_id=2, cls_token_id=2, eos_token_id=3, sep_token_id=3,
        )
        base = f"{folder}/{n}/base"
        family(config).eval().save_pretrained(base)
        with open(f"{base}/vocab.txt", "w") as file:
            file.write("\n".join(SPECIAL + WORDS) + "\n")
        transformers.BertTokenizer.from_pretrained(base).save_pretrained(base)
        modules = [Transformer(base), Pooling(width, pooling_mode=["mean", "cls"][n % 2])]
        if n // 2 % 2:
            size = rng.randint(2, 20)
            modules.append(Dense(width, size, bias=n % 4 == 3, activation_function=torch.nn.Identity()))
        if n // 4 % 2:
            modules.append(Normalize())
        model = SentenceTransformer(modules=modules, device="cpu")
        model.save(f"{folder}/{n}")
        save_file(encode(model, texts), f"{folder}/{n}/expected.safetensors")


def check(folder, count):
    texts = [json.loads(line)["text"] for line in open(f"{folder}/texts.jsonl")]
    for n in range(count):
        model = SentenceTransformer(f"{folder}/{n}/imported", device="cpu")
        save_file(encode(model, texts), f"{folder}/{n}/again.safetensors")


command, folder, *numbers = sys.argv[1:]
{"make": make, "check": check}[command](folder, *map(int, numbers))
