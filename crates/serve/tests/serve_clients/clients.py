"""Unmodified clients of others against a running server: clients.py BASE_URL. Prints what they understood as JSON."""

import asyncio
import json
import sys

import numpy as np
import openai
import tritonclient.http as triton
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError

TEXT = "a quiet film"
TEXTS = ["a quiet film", "Ana lives in Bonn ."]
TOKEN = "s3cret"


def hugging_face(base):
    def client(model):
        return InferenceClient(model=f"{base}/models/{model}", token=TOKEN)

    labels = client("labels").text_classification(TEXT)
    best = client("labels").text_classification(TEXT, top_k=1)
    entities = client("tokens").token_classification("Ana lives in Bonn .", aggregation_strategy="simple")
    answer = client("answers-v1").question_answering(question="who ?", context="Ana lives in Bonn .")
    vector = client("vectors").feature_extraction(TEXT)
    vectors = client("vectors").feature_extraction(TEXTS, normalize=False)
    cosines = client("vectors").sentence_similarity(TEXT, other_sentences=TEXTS)
    # Of the first model, at the server's root.
    root = InferenceClient(base_url=base, token=TOKEN).text_classification(TEXT)
    asynchronous = asyncio.run(AsyncInferenceClient(model=f"{base}/models/vectors", token=TOKEN).feature_extraction(TEXT))
    assert np.array_equal(asynchronous, vector) and vector.dtype == np.float32
    try:
        InferenceClient(model=base, token="wrong").text_classification(TEXT)
        raise AssertionError("a wrong token is taken")
    except HfHubHTTPError as error:
        assert error.response.status_code == 401
    return {
        "labels": [[one.label, one.score] for one in labels],
        "root": [[one.label, one.score] for one in root],
        "best": [[one.label, one.score] for one in best],
        "entities": [[one.entity_group, one.word, one.start, one.end, one.score] for one in entities],
        "answer": [answer.answer, answer.start, answer.end, answer.score],
        "vector": np.asarray(vector).tolist(),
        "vectors": np.asarray(vectors).tolist(),
        "cosines": list(cosines),
    }


def open_ai(base):
    client = openai.OpenAI(base_url=f"{base}/v1", api_key=TOKEN)
    # The client asks for base64 by itself.
    made = client.embeddings.create(input=TEXTS, model="vectors")
    lists = client.embeddings.create(input=TEXTS, model="vectors", encoding_format="float")
    short = client.embeddings.create(input=TEXT, model="vectors", dimensions=4)
    assert np.allclose([one.embedding for one in made.data], [one.embedding for one in lists.data], atol=1e-7)
    try:
        client.embeddings.create(input=TEXT, model="no-such")
        raise AssertionError("a model that is not there answers")
    except openai.NotFoundError as error:
        assert "no-such" in error.message, error.message
    try:
        openai.OpenAI(base_url=f"{base}/v1", api_key="wrong", max_retries=0).embeddings.create(input="a", model="a")
        raise AssertionError("a wrong token is taken")
    except openai.AuthenticationError:
        pass
    names = [model.id for model in client.models.list()]
    return {
        "vectors": [one.embedding for one in made.data],
        "short": short.data[0].embedding,
        "tokens": made.usage.prompt_tokens,
        "names": names,
    }


def kserve(base):

    def headers():
        # The client puts a header of its own into the dictionary.
        return {"Authorization": f"Bearer {TOKEN}"}

    client = triton.InferenceServerClient(base.removeprefix("http://"))
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("labels", headers=headers())
    assert not client.is_model_ready("no-such", headers=headers())
    assert "binary_tensor_data" in client.get_server_metadata(headers=headers())["extensions"]
    described = client.get_model_metadata("labels", headers=headers())
    texts = np.array([text.encode() for text in TEXTS], dtype=np.object_)
    results = []
    for binary in [True, False]:
        text = triton.InferInput("text", [len(texts)], "BYTES")
        text.set_data_from_numpy(texts, binary_data=binary)
        everything = client.infer("labels", [text], headers=headers())
        wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in ["label", "probabilities"]]
        some = client.infer("labels", [text], outputs=wanted, headers=headers(), request_id="7")
        assert some.get_response()["id"] == "7"
        assert (some.as_numpy("label") == everything.as_numpy("label")).all() or not binary
        results.append([some.as_numpy("probabilities").tolist(), [decoded(x) for x in some.as_numpy("label")]])
    ids = np.array([[2, 5, 7, 3, 0]], dtype=np.int64)
    mask = np.array([[1, 1, 1, 1, 0]], dtype=np.int64)
    inputs = []
    for name, values in [("input_ids", ids), ("attention_mask", mask)]:
        tensor = triton.InferInput(name, list(values.shape), "INT64")
        tensor.set_data_from_numpy(values)
        inputs.append(tensor)
    logits = client.infer("labels", inputs, headers=headers()).as_numpy("logits")
    waiting = client.async_infer("vectors", [text], headers=headers())
    embedding = waiting.get_result().as_numpy("embedding")
    try:
        client.infer("no-such", [text], headers=headers())
        raise AssertionError("a model that is not there answers")
    except triton.InferenceServerException as error:
        assert error.status() == "404" and "no-such" in error.message()
    client.close()
    return {
        "inputs": [one["name"] for one in described["inputs"]],
        "results": results,
        "logits": logits.tolist(),
        "vectors": embedding.tolist(),
    }


def decoded(text):
    return text.decode() if isinstance(text, bytes) else str(text)


def main():
    base = sys.argv[1]
    print(json.dumps({"hugging_face": hugging_face(base), "open_ai": open_ai(base), "kserve": kserve(base)}))


if __name__ == "__main__":
    main()
