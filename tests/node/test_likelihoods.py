"""`logprobs`: exact logits and their log-probabilities, in the shapes of both endpoints."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from node.logprobs import likelihoods
from node.store import Journal
from prover.model.execute import Executor
from prover.model.weights import IntegerModel

from .conftest import build_node
from .test_completions import HELLO, events


def exact_rows(tiny: IntegerModel, prompt: list[int], output: list[int]) -> np.ndarray:
    """The logits after every prefix, in one pass, (outputs, vocabulary)."""
    executor = Executor(tiny)
    rows = executor.feed([*prompt, *output[:-1]], executor.start())
    return executor.logits(rows[len(prompt) - 1 :], len(prompt) - 1)


def log_softmax(row: np.ndarray, scale: int) -> list[float]:
    """By Python's floats and a sum without rounding."""
    values = [int(logit) / 2**scale for logit in row]
    largest = max(values)
    normaliser = math.log(math.fsum(math.exp(value - largest) for value in values))
    return [value - largest - normaliser for value in values]


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_tells_the_exact_logits_of_every_token(
    client: TestClient, tiny: IntegerModel, stream: bool, sampled: bool
) -> None:
    body: dict[str, Any] = {
        "model": "tiny", "messages": HELLO, "max_tokens": 6, "logprobs": True, "top_logprobs": 3, "stream": stream,
    }  # fmt: skip
    # The likelihoods are the model's: a temperature chooses among them.
    answer = client.post(
        "/v1/chat/completions", json=body | ({"temperature": 1.7, "seed": 3} if sampled else {})
    )
    if stream:
        chunks = events(answer.text)
        content = [
            entry
            for chunk in chunks
            for choice in chunk["choices"]
            for entry in (choice["logprobs"] or {"content": []})["content"]
        ]
        receipt = chunks[-1]["x_gainsay_receipt"]
    else:
        content = answer.json()["choices"][0]["logprobs"]["content"]
        receipt = answer.headers["x-gainsay-receipt"]
    record = client.get(f"/v1/responses/{receipt}").json()
    assert [entry["token_id"] for entry in content] == record["output_ids"]
    rows = exact_rows(tiny, record["prompt_ids"], record["output_ids"])
    scale = client.get("/v1/models/tiny").json()["logit_scale"]
    assert scale == tiny.logit_scale
    for entry, row in zip(content, rows, strict=True):
        expected = log_softmax(row, scale)
        best = sorted(range(len(row)), key=lambda v: (-int(row[v]), v))[:3]
        assert [top["token_id"] for top in entry["top_logprobs"]] == best
        for one in (entry, *entry["top_logprobs"]):
            assert one["logit"] == row[one["token_id"]]
            assert (
                one["logprob"] == pytest.approx(expected[one["token_id"]], abs=2**-40) and one["logprob"] <= 0
            )
            assert bytes(one["bytes"]).decode("utf-8", "replace") == one["token"]


def test_a_completion_tells_them_in_the_older_shape(client: TestClient, tiny: IntegerModel) -> None:
    body: dict[str, Any] = {"model": "tiny", "prompt": "Hello", "max_tokens": 6}
    choice = client.post("/v1/completions", json=body | {"logprobs": 2}).json()["choices"][0]
    told = choice["logprobs"]
    rows = exact_rows(tiny, tiny.tokenizer.encode("Hello"), told["token_ids"])
    assert told["logits"] == [int(row[token]) for row, token in zip(rows, told["token_ids"], strict=True)]
    assert all(2 <= len(top) <= 3 for top in told["top_logprobs"])
    for token, logprob, top in zip(told["tokens"], told["token_logprobs"], told["top_logprobs"], strict=True):
        assert top[token] == logprob == max(top.values())  # greedy
    readable = [token for token in told["tokens"] if not token.startswith("bytes:")]
    assert all(token in choice["text"] for token in readable)
    assert told["text_offset"][0] == 0 and told["text_offset"] == sorted(told["text_offset"])
    none = client.post("/v1/completions", json=body | {"logprobs": 0}).json()["choices"][0]["logprobs"]
    assert none["top_logprobs"] == [None] * 6 and none["token_logprobs"] == told["token_logprobs"]
    for off in (None, False):
        plain = client.post("/v1/completions", json=body | {"logprobs": off}).json()["choices"][0]
        assert plain["logprobs"] is None and plain["text"] == choice["text"]
    for wrong in (True, 21, -1, 10**9, "2"):
        assert client.post("/v1/completions", json=body | {"logprobs": wrong}).status_code == 400


def test_a_private_model_keeps_its_likelihoods(tiny: IntegerModel, journal: Journal) -> None:
    """A few thousand rows of them span the last layer (Carlini et al. 2024); nothing of the request is run."""
    node = build_node(tiny, journal)
    node.service.boundaries = object()  # type: ignore[assignment]  # private
    with TestClient(node.app) as client:
        for path, body in (
            ("chat/completions", {"messages": HELLO, "logprobs": True}),
            ("completions", {"prompt": "a", "logprobs": 0}),
        ):
            answer = client.post(f"/v1/{path}", json={"model": "tiny", "max_tokens": 1} | body)
            assert answer.status_code == 400 and answer.json()["error"]["param"] == "logprobs"
        assert "private" in answer.json()["error"]["message"]


def test_likelihoods_of_equal_and_of_extreme_logits() -> None:
    told = likelihoods(np.zeros(9, np.int64), 4, 3, 24)
    assert [one.token for one in told.top] == [0, 1, 2]  # ties to the smaller id
    assert told.chosen.logprob == pytest.approx(-math.log(9))
    row = np.array([-(2**49), 2**49, 0], np.int64)
    told = likelihoods(row, 0, 20, 21)
    assert [one.token for one in told.top] == [1, 2, 0]
    assert told.top[0].logprob == 0 and math.copysign(1, told.top[0].logprob) == 1
    assert told.chosen.logprob == -(2.0**29) and told.chosen.logit == -(2**49)
