"""An answer whose padded rows leave their range: the client gets an error in the receipt's place, and nothing is signed.

The tokens of such an answer are in range, so a stream has carried them all before the provider can know. Of a private model the client
hears neither the value nor its place: it chose the text, so that would be an activation of its choice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from node.audits.boundaries import BoundaryCommitter
from node.store import Journal
from prover.blindings_file import LOWEST_COST
from prover.curve.srs import SRS
from prover.model.weights import IntegerModel
from prover.private_model import commit_private
from tests.prover.model.cancelled_biases import llama_with_padded_rows_out_of_range

from .conftest import LocalNode, build_node


@pytest.fixture
def drowned_node(journal: Journal) -> LocalNode:
    return build_node(IntegerModel.from_float(llama_with_padded_rows_out_of_range()), journal)


@pytest.fixture
def drowned(drowned_node: LocalNode) -> Iterator[TestClient]:
    with TestClient(drowned_node.app, raise_server_exceptions=False) as client:
        yield client


UNPROVABLE = {"model": "tiny", "prompt": [65] * 20, "max_tokens": 4}
PROVABLE = {"model": "tiny", "prompt": [65] * 29, "max_tokens": 4}
"""32 rows: no padded one."""


def _signed(node: LocalNode) -> int:
    return node.journal.response_count()


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_a_whole_answer_is_refused(drowned: TestClient, drowned_node: LocalNode, path: str) -> None:
    body = UNPROVABLE
    if "chat" in path:
        body = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
    answer = drowned.post(path, json=body)
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["tensor"], error["layer"]) == ("out_of_range", "gate", 0)
    assert "x-gainsay-receipt" not in answer.headers
    assert _signed(drowned_node) == 0


def test_a_stream_ends_with_the_error_and_without_a_receipt(
    drowned: TestClient, drowned_node: LocalNode
) -> None:
    answer = drowned.post("/v1/completions", json=UNPROVABLE | {"stream": True})
    assert answer.status_code == 200
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert "[DONE]" not in lines
    *chunks, last = map(json.loads, lines)
    assert chunks and all(choice["finish_reason"] is None for chunk in chunks for choice in chunk["choices"])
    assert set(last) == {"error"} and last["error"]["code"] == "out_of_range"
    assert last["error"]["position"] == 23
    assert "x_gainsay_receipt" not in answer.text
    assert _signed(drowned_node) == 0


def test_the_next_answer_is_served_and_signed(drowned: TestClient, drowned_node: LocalNode) -> None:
    assert drowned.post("/v1/completions", json=UNPROVABLE).status_code == 422
    answer = drowned.post("/v1/completions", json=PROVABLE)
    assert answer.status_code == 200, answer.text
    assert drowned_node.journal.find_response(answer.headers["x-gainsay-receipt"]) is not None
    assert _signed(drowned_node) == 1


def test_attack_texts_that_leave_a_private_models_range_tell_no_activation(
    journal: Journal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a whole answer nor a stream nor a log says which tensor, layer, position and value; a public model's do."""
    model, srs = IntegerModel.from_float(llama_with_padded_rows_out_of_range()), SRS.devnet(18)
    own = commit_private(model, srs, lambda new: "password", models=tmp_path, commitments=tmp_path, cost=LOWEST_COST)  # fmt: skip
    node = build_node(model, journal, boundaries=BoundaryCommitter(model, own, srs))
    with TestClient(node.app, raise_server_exceptions=False) as client:
        whole = client.post("/v1/completions", json=UNPROVABLE)
        assert whole.status_code == 422, whole.text
        assert set(whole.json()["error"]) == {"message", "type", "param", "code"}
        stream = client.post("/v1/completions", json=UNPROVABLE | {"stream": True}).text
        last = json.loads(stream.split("\n\n")[-2].removeprefix("data: "))
        assert last["error"] == whole.json()["error"]
        logged = "".join(capsys.readouterr())
        for told in (whole.text, json.dumps(last), logged):
            assert not any(word in told for word in ("gate", "layer", "position", "has value", "outside"))
        assert _signed(node) == 0
        assert client.post("/v1/completions", json=PROVABLE).status_code == 200
