"""Tests of the installed package `efficientbert` against the program `efficientbert-predict`, whose path is EFFICIENTBERT_PREDICT.

`cargo xtask python` builds both, and runs this file in a virtual environment that has the wheel, NumPy and nothing else.
"""

import inspect
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

import efficientbert
import numpy as np
from efficientbert import Error, Predictor

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a quiet film is not bad who made it anna did in köln . , ##s über".split()
HIDDEN, LAYERS, POSITIONS = 32, 2, 80
HEADS = {
    "films": {"task": "films", "kind": "classification", "labels": ["bad", "good", "so so"]},
    "moods": {"task": "moods", "kind": "multi_label", "labels": ["glad", "sad"]},
    "stars": {"task": "stars", "kind": "regression", "labels": [], "scale": {"mean": 3.0, "deviation": 1.5}},
    "names": {"task": "names", "kind": "tags", "labels": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]},
    "squad": {"task": "squad-v2", "kind": "span", "labels": []},
    "vectors": {
        "task": "vectors",
        "kind": "embedding",
        "labels": [],
        "vector": {"pooling": "mean", "size": 12, "normalize": True},
    },
}
OUTPUTS = {"films": 3, "moods": 2, "stars": 1, "names": 5, "squad": 2, "vectors": 12}
TEXTS = ["a quiet film", "anna is in köln, über films", "", "not bad . " * 30, "is it a film"] * 14


def write_model(path, *names):
    """A model with random weights and these heads."""
    random = np.random.default_rng(7)
    tensors = {}

    def tensor(name, *shape):
        tensors[name] = random.normal(0, 0.4, shape).astype("<f4")

    tensor("bert.embeddings.word_embeddings.weight", len(WORDS), HIDDEN)
    tensor("bert.embeddings.position_embeddings.weight", POSITIONS, HIDDEN)
    tensor("bert.embeddings.token_type_embeddings.weight", 2, HIDDEN)
    linears = {"bert.pooler.dense": (HIDDEN, HIDDEN)}
    norms = ["bert.embeddings.LayerNorm"]
    for i in range(LAYERS):
        layer = f"bert.encoder.layer.{i}."
        for name in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]:
            linears[layer + name] = (HIDDEN, HIDDEN)
        linears[layer + "intermediate.dense"] = (2 * HIDDEN, HIDDEN)
        linears[layer + "output.dense"] = (HIDDEN, 2 * HIDDEN)
        norms += [layer + "attention.output.LayerNorm", layer + "output.LayerNorm"]
    for at, name in enumerate(names):
        linears["classifier" + (f"_{at}" if at else "")] = (OUTPUTS[name], HIDDEN)
    if names == ("squad",):
        linears["qa_outputs"] = linears.pop("classifier")
    for name, shape in linears.items():
        tensor(name + ".weight", *shape)
        tensor(name + ".bias", shape[0])
    for name in norms:
        tensor(name + ".weight", HIDDEN)
        tensor(name + ".bias", HIDDEN)
    header, data = {}, b""
    for name in sorted(tensors):
        values = tensors[name].tobytes()
        offsets = [len(data), len(data) + len(values)]
        header[name] = {"dtype": "F32", "shape": list(tensors[name].shape), "data_offsets": offsets}
        data += values
    header = json.dumps(header).encode()
    header += b" " * (-len(header) % 8)
    path.mkdir(parents=True)
    (path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)
    (path / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    config = {
        "model_type": "bert",
        "vocab_size": len(WORDS),
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": 2 * HIDDEN,
        "hidden_act": "gelu",
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "task_heads": [HEADS[name] for name in names],
    }
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return path


FOLDER = tempfile.TemporaryDirectory()
MODELS = {
    name: write_model(Path(FOLDER.name) / name, *(name.split("+"))) for name in [*HEADS, "films+moods+stars"]
}


def program(model, texts, pairs=None, task=None, precision="f32"):
    """What the program answers to texts, each by one of its heads."""
    lines = [text if pairs is None else f"{text}\t{pair}" for text, pair in zip(texts, pairs or texts)]
    command = [os.environ["EFFICIENTBERT_PREDICT"], "--model", MODELS[model], "--threads", "1", "--precision", precision]
    command += ["--task", task] if task else []
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, check=True, encoding="utf-8")
    return [json.loads(line)["answers"][0] for line in done.stdout.splitlines()]


def single(value):
    """The numbers of the program, which prints float32, as float32 on both sides."""
    if isinstance(value, dict):
        return {key: single(item) for key, item in value.items()}
    if isinstance(value, list):
        return [single(item) for item in value]
    return float(np.float32(value)) if isinstance(value, float) else value


FULL = [text for text in TEXTS if text]


class Answers(unittest.TestCase):
    def test_labels_numbers_and_pairs_are_those_of_the_program(self):
        for name in ["films", "moods", "stars"]:
            for precision in ["f32", "bf16", "int8"]:
                model = Predictor.from_dir(MODELS[name], threads=2, precision=precision)
                for pairs in [None, FULL[::-1]]:
                    answers = model.labels(FULL, pairs)
                    expected = program(name, FULL, pairs, precision=precision)
                    self.assertEqual(single(answers), single(expected), (name, precision))
                    scores = model.scores(FULL, pairs)
                    self.assertEqual((scores.shape, scores.dtype), ((len(FULL), OUTPUTS[name]), np.float32))
                    rows = [list(a["probabilities"].values()) if name != "stars" else [a["score"]] for a in answers]
                    np.testing.assert_array_equal(scores, np.array(rows, np.float32))

    def test_vectors_entities_and_answers_to_questions_are_those_of_the_program(self):
        vectors = Predictor.from_dir(MODELS["vectors"]).vectors(FULL)
        expected = np.array([answer["vector"] for answer in program("vectors", FULL)], np.float32)
        np.testing.assert_array_equal(vectors, expected)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        entities = Predictor.from_dir(MODELS["names"]).entities(FULL)
        self.assertEqual(single(entities), single([answer["entities"] for answer in program("names", FULL)]))
        self.assertGreater(sum(map(len, entities)), 0)
        model = Predictor.from_dir(str(MODELS["squad"]), threads=2)
        questions = ["who made it"] * len(FULL)
        answers = model.questions(questions, FULL)
        self.assertEqual(single(answers), single(program("squad", questions, FULL)))
        self.assertTrue(any(answer["start"] is not None for answer in answers))
        never = model.questions(questions, FULL, null_threshold=-1e9)
        self.assertTrue(all(answer["start"] is None and answer["answer"] == "" for answer in never))

    def test_heads_are_chosen_by_their_task(self):
        model = Predictor.from_dir(MODELS["films+moods+stars"])
        self.assertEqual([head["task"] for head in model.heads], ["films", "moods", "stars"])
        self.assertEqual([head["outputs"] for head in model.heads], [3, 2, 1])
        answers = model.labels(["a film"], task="moods")
        self.assertEqual(single(answers), single(program("films+moods+stars", ["a film"], task="moods")))
        with self.assertRaisesRegex(Error, "films, moods, stars"):
            model.labels(["a film"])
        with self.assertRaisesRegex(Error, "kind classification"):
            model.vectors(["a film"], task="films")

    def test_a_hundred_threads_at_once_get_what_one_gets(self):
        for name, ask in [
            ("films", lambda model, texts: model.scores(texts)),
            ("vectors", lambda model, texts: model.vectors(texts)),
            ("names", lambda model, texts: model.entities(texts)),
        ]:
            model = Predictor.from_dir(MODELS[name], threads=2, sessions=2)
            expected = ask(model, TEXTS)
            wrong, start = [], threading.Barrier(100)

            def work(first):
                start.wait()
                part = ask(model, TEXTS[first % 50 : first % 50 + 15])
                whole = expected[first % 50 : first % 50 + 15]
                same = np.array_equal(part, whole) if name != "names" else part == whole
                if not same:
                    wrong.append(first)

            threads = [threading.Thread(target=work, args=(i,)) for i in range(100)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            self.assertEqual(wrong, [])

    def test_other_threads_run_while_one_computes(self):
        model = Predictor.from_dir(MODELS["films"])
        texts, ticks, done = ["not bad . " * 30] * 4000, [], threading.Event()

        def tick():
            while not done.wait(0.001):
                ticks.append(1)

        ticker = threading.Thread(target=tick)
        ticker.start()
        model.scores(texts)
        seen = len(ticks)
        done.set()
        ticker.join()
        # With the lock held nobody would tick: it is not given up in the middle of a native call.
        self.assertGreater(seen, 5)


class Arrays(unittest.TestCase):
    def test_arrays_of_token_ids_give_the_outputs_of_their_texts(self):
        for name, ask in [("films", "logits"), ("vectors", "vectors"), ("films+moods+stars", "logits")]:
            model = Predictor.from_dir(MODELS[name], threads=2)
            arrays = model.encode(TEXTS)
            self.assertEqual({array.dtype for array in arrays.values()}, {np.dtype(np.int64)})
            longest = arrays["attention_mask"].sum(axis=1).max()
            self.assertEqual(arrays["input_ids"].shape, (len(TEXTS), longest))
            self.assertEqual(longest, model.max_tokens)
            outputs = model.forward(**arrays)
            self.assertEqual(outputs["last_hidden_state"].shape, (len(TEXTS), longest, model.hidden_size))
            self.assertTrue((outputs["last_hidden_state"][arrays["attention_mask"] == 0] == 0).all())
            task = model.heads[-1]["task"]
            np.testing.assert_array_equal(outputs[task], getattr(model, ask)(TEXTS, task=task))

    def test_other_integers_lists_and_views_are_the_same_arrays(self):
        model = Predictor.from_dir(MODELS["names"])
        arrays = model.encode(["a film", "a quiet film is not bad"], [None, "anna"])
        expected = model.forward(**arrays)
        self.assertEqual(expected["names"].shape, (2, arrays["input_ids"].shape[1], 5))
        self.assertEqual(arrays["token_type_ids"].max(), 1)
        for change in [lambda a: a.astype(np.int32), lambda a: a.tolist(), lambda a: np.asfortranarray(a)]:
            found = model.forward(*(change(a) for a in arrays.values()))
            np.testing.assert_array_equal(found["names"], expected["names"])
        truths = arrays["attention_mask"].astype(bool)
        found = model.forward(arrays["input_ids"], truths, arrays["token_type_ids"].astype(np.uint64))
        np.testing.assert_array_equal(found["names"], expected["names"])
        self.assertEqual(model.forward(np.zeros((0, 0), np.int64))["last_hidden_state"].shape, (0, 0, HIDDEN))

    def test_numpy_arrays_of_texts_are_texts(self):
        model = Predictor.from_dir(MODELS["films"])
        for kind in [object, str]:
            np.testing.assert_array_equal(model.scores(np.array(FULL, dtype=kind)), model.scores(FULL))
        self.assertEqual(model.scores([]).shape, (0, 3))
        self.assertEqual(model.labels([]), [])


class Errors(unittest.TestCase):
    def test_what_cannot_be_answered_is_an_exception_that_says_why(self):
        model = Predictor.from_dir(MODELS["films"])
        spans = Predictor.from_dir(MODELS["squad"])
        arrays = model.encode(["a film"])
        wrong = dict(arrays, attention_mask=arrays["attention_mask"][:, :2])
        for kind, said, call in [
            (TypeError, "give a list of texts", lambda: model.labels("a film")),
            (TypeError, r"texts\[1\] is not str", lambda: model.labels(["a", 3])),
            (ValueError, r"texts\[0\] is no valid text", lambda: model.labels(["\ud800"])),
            (ValueError, "2 texts and 1 pairs", lambda: model.labels(["a", "b"], ["c"])),
            (Error, "films", lambda: model.labels(["a"], task="other")),
            (ValueError, "shape", lambda: model.forward(**wrong)),
            (Error, "out of range", lambda: model.forward([[-1]])),
            (Error, str(len(WORDS)), lambda: model.forward([[len(WORDS)]])),
            (Error, str(POSITIONS), lambda: model.forward([[5] * (POSITIONS + 1)])),
            (TypeError, "input_ids is of the type float64", lambda: model.forward([[5.9, 6.0]])),
            (TypeError, "input_ids is of the type <U1", lambda: model.forward([["5", "6"]])),
            (TypeError, "input_ids is of the type bool", lambda: model.forward([[True]])),
            (TypeError, "attention_mask is of the type float", lambda: model.forward([[5]], [[0.5]])),
            (TypeError, "token_type_ids is of the type bool", lambda: model.forward([[5]], None, [[False]])),
            (Error, "out of range", lambda: model.forward(np.array([[2**64 - 1]], np.uint64))),
            (ValueError, "has 1 axes", lambda: model.forward([5, 6])),
            (ValueError, "3 rows of 0 tokens", lambda: model.forward(np.zeros((3, 0), np.int64))),
            (ValueError, "1 rows of 0 tokens", lambda: model.forward([[]])),
            (Error, "NaN", lambda: spans.questions(["who"], ["anna did"], null_threshold=float("nan"))),
            (Error, f"takes {POSITIONS}", lambda: spans.questions(["who"], ["anna did"], max_len=POSITIONS + 1)),
            (ValueError, "f32, bf16, int8", lambda: Predictor.from_dir(MODELS["films"], precision="f64")),
            (ValueError, "threads", lambda: Predictor.from_dir(MODELS["films"], threads=0)),
            (Error, "no/such", lambda: Predictor.from_dir("no/such")),
        ]:
            with self.assertRaisesRegex(kind, said):
                call()

    def test_a_damaged_file_is_named(self):
        damaged = write_model(Path(FOLDER.name) / "damaged", "films")
        weights = damaged / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-8])
        with self.assertRaisesRegex(Error, "model.safetensors"):
            Predictor.from_dir(damaged)


def answer(model):
    return model.scores(TEXTS[:3]).tolist()


class Processes(unittest.TestCase):
    def test_children_of_a_process_that_has_computed_compute_too(self):
        for name, ask in [("films", answer), ("squad", lambda m: m.questions(["who"], ["anna did"]))]:
            model = Predictor.from_dir(MODELS[name], threads=2)
            expected = ask(model)
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                # Where threads of the parent are waited for, this would not end.
                signal.alarm(60)
                os.write(write, json.dumps(ask(model) == expected).encode())
                os._exit(0)
            os.close(write)
            with os.fdopen(read) as answers:
                self.assertEqual(answers.read(), "true")
            self.assertEqual(os.waitpid(child, 0)[1], 0)
            self.assertEqual(ask(model), expected)

    def test_a_model_is_pickled_as_its_path(self):
        model = Predictor.from_dir(MODELS["films"], threads=2, precision="bf16")
        again = pickle.loads(pickle.dumps(model))
        self.assertEqual((repr(again), answer(again)), (repr(model), answer(model)))
        self.assertIn("precision='bf16'", repr(model))
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            self.assertEqual(pool.map(answer, [model]), [answer(model)])


class Package(unittest.TestCase):
    def test_everything_public_is_documented_and_has_types(self):
        stub = (Path(efficientbert.__file__).parent / "_native.pyi").read_text(encoding="utf-8")
        self.assertTrue((Path(efficientbert.__file__).parent / "py.typed").is_file())
        for name, member in vars(Predictor).items():
            if name.startswith("_"):
                continue
            self.assertTrue(inspect.getdoc(member), name)
            self.assertIn(f"def {name}(", stub)
            if callable(member) or isinstance(member, classmethod):
                signature = inspect.signature(getattr(Predictor, name))
                declared = stub.split(f"def {name}(")[1].split(") ->")[0]
                for parameter in signature.parameters:
                    self.assertIn(parameter, declared, name)

    def test_it_is_this_wheel_that_is_tested(self):
        self.assertIn(sys.prefix, efficientbert.__file__)
        self.assertEqual(efficientbert.__version__, __import__("importlib.metadata").metadata.version("efficientbert"))


if __name__ == "__main__":
    unittest.main()
