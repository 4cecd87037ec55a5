"""Sampled answers through the API: what clients ask for, what they are told, and what the receipt binds."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from contracts.protocol.sampling import GREEDY, sampling_of, sampling_word
from node.receipts import receipt_of, sampling_of_row
from prover.model.execute import Executor
from prover.model.weights import IntegerModel
from prover.sampling import Sampling

from .conftest import LocalNode
from .test_completions import HELLO, events

TOLD = "x-gainsay-sampling"


def ask(client: TestClient, **options: Any) -> Any:
    body = {"model": "tiny", "messages": HELLO, "max_tokens": 6} | options
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    return answer


def stored_rule(node: LocalNode, receipt_id: str) -> Sampling | None:
    """What the receipt binds, which is also what is stored and what challengers are shown."""
    row = node.journal.find_response(receipt_id)
    assert row is not None
    batch = node.journal.batch(row.batch_id)
    assert batch is not None
    rule = sampling_of(receipt_of(node.issuer.provider, batch, row).sampling_hash)
    assert rule == sampling_of_row(row)
    return rule


def test_a_sampled_answer_is_the_rules(client: TestClient, node: LocalNode, tiny: IntegerModel) -> None:
    answer = ask(client, temperature=1.3, seed=42, min_p=0.02)
    rule = Sampling(1300, 42, 20)
    expected = Executor(tiny).generate(tiny.tokenizer.encode_chat(HELLO), 6, sampling=rule)
    assert answer.json()["choices"][0]["message"]["content"] == tiny.tokenizer.decode(expected.ids)
    assert answer.headers[TOLD] == "temperature=1.3 seed=42 min_p=0.02"
    receipt_id = answer.headers["x-gainsay-receipt"]
    assert stored_rule(node, receipt_id) == rule
    shown = client.get(f"/v1/responses/{receipt_id}").json()
    assert shown["sampling_hash"] == "0x" + sampling_word(rule).hex()
    assert shown["sampling"] == answer.headers[TOLD]
    receipt = client.get(f"/v1/receipts/{receipt_id}").json()["receipt"]
    assert receipt["sampling_hash"] == shown["sampling_hash"]


def test_the_same_seed_gives_the_same_answer_and_others_do_not(client: TestClient) -> None:
    def text(seed: int) -> str:
        return str(ask(client, temperature=2, seed=seed).json()["choices"][0]["message"]["content"])

    assert text(5) == text(5)
    assert len({text(seed) for seed in range(4)}) > 1


def test_a_drawn_seed_is_told_and_gives_the_answer_again(client: TestClient, node: LocalNode) -> None:
    first = ask(client, temperature=1)
    rule = stored_rule(node, first.headers["x-gainsay-receipt"])
    assert rule is not None and first.headers[TOLD] == f"temperature=1 seed={rule.seed}"
    again = ask(client, temperature=1, seed=rule.seed)
    assert again.json()["choices"][0]["message"] == first.json()["choices"][0]["message"]
    assert stored_rule(node, ask(client, temperature=1).headers["x-gainsay-receipt"]) != rule


def test_a_stream_tells_the_rule_too(client: TestClient, node: LocalNode) -> None:
    answer = ask(client, temperature=0.8, stream=True)
    last = events(answer.text)[-1]
    rule = stored_rule(node, last["x_gainsay_receipt"])
    assert rule is not None and rule.temperature == 800
    assert last["x_gainsay_sampling"] == answer.headers[TOLD] == f"temperature=0.8 seed={rule.seed}"
    assert "x_gainsay_sampling" not in events(ask(client, stream=True).text)[-1]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0},
        {"temperature": 0.0, "seed": -1, "top_p": 0.3, "top_k": 40, "min_p": 0.5},
        {"temperature": 1e-300},
        {"temperature": 0.0005},  # the nearest thousandth, ties to even
    ],
)
def test_greedy_is_as_it_was(client: TestClient, node: LocalNode, options: dict[str, Any]) -> None:
    """No temperature, or one that is nearest to none: whatever else is sent changes nothing."""
    answer = ask(client, **options)
    assert TOLD not in answer.headers
    assert stored_rule(node, answer.headers["x-gainsay-receipt"]) is None
    shown = client.get(f"/v1/responses/{answer.json()['id']}").json()
    assert (shown["sampling_hash"], shown["sampling"]) == ("0x" + GREEDY.hex(), "greedy")


@pytest.mark.parametrize(
    ("sent", "thousandths"), [(0.7, 700), (2, 2000), (0.33333, 333), (0.00051, 1), (16, 16_000), (1e-3, 1)]
)
def test_temperatures_are_the_nearest_thousandth(
    client: TestClient, node: LocalNode, sent: float, thousandths: int
) -> None:
    answer = ask(client, temperature=sent, seed=2**64 - 1, top_p=1, top_k=-1, max_tokens=1)
    rule = stored_rule(node, answer.headers["x-gainsay-receipt"])
    assert rule == Sampling(thousandths, 2**64 - 1)


def test_refusals_name_what_is_offered(client: TestClient) -> None:
    body = {"model": "tiny", "messages": HELLO, "temperature": 1, "top_k": 40}
    error = client.post("/v1/chat/completions", json=body).json()["error"]
    assert error["param"] == "top_k" and "temperature, seed and min_p are offered" in error["message"]


def test_a_model_whose_logits_no_rule_fits_is_greedy_only(client: TestClient, node: LocalNode) -> None:
    object.__setattr__(node.service.served, "logit_scale", 12)
    body = {"model": "tiny", "messages": HELLO, "max_tokens": 1}
    error = client.post("/v1/chat/completions", json=body | {"temperature": 1})
    assert error.status_code == 400 and "temperature 0" in error.json()["error"]["message"]
    assert client.post("/v1/chat/completions", json=body).status_code == 200


@pytest.mark.parametrize("sent", ["NaN", "Infinity", "-Infinity", "1e999", "-1e-300", "true", '"1"', "[1]"])
def test_what_is_no_temperature_is_400(client: TestClient, sent: str) -> None:
    body = f'{{"model": "tiny", "messages": [{{"role": "user", "content": "a"}}], "temperature": {sent}}}'
    answer = client.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["type"] == "invalid_request_error"
