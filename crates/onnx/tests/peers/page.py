"""Runs what docs/deploy.md shows of ONNX Runtime and OpenVINO, as it stands there.

page.py FOLDER PAGE: FOLDER has onnx/model.onnx. Prints the token ids, and the answers of both, as JSON.
"""

import json
import os
import re
import sys

from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "quiet", "film"]

folder, page = sys.argv[1:]
with open(page, encoding="utf-8") as file:
    blocks = re.findall(r"```python\n(.*?)```", file.read(), re.DOTALL)
blocks = [block for block in blocks if "onnxruntime" in block or "openvino" in block]
assert len(blocks) == 2, blocks
os.chdir(folder)
tokenizer = Tokenizer(models.WordPiece({word: id for id, word in enumerate(WORDS)}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
tokenizer.save("onnx/tokenizer.json")
space, answers = {}, []
for block in blocks:
    exec(block, space)
    answers.append(space["logits"].tolist())
rows = zip(space["arrays"]["input_ids"], space["arrays"]["attention_mask"])
ids = [[id for id, is_token in zip(*row) if is_token] for row in rows]
print(json.dumps({"ids": ids, "answers": answers}))
