"""Several answers of one request: each is a response of its own, with its own receipt."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from node.receipts import sampling_of_row
from node.store import Journal
from prover.model.execute import Executor
from prover.model.weights import IntegerModel
from prover.program import OutOfRange
from prover.sampling import SEED_BITS, Sampling

from .conftest import LocalNode, build_node
from .test_completions import HELLO, events
from .test_queue import HeldExecutor


def said(tiny: IntegerModel, prompt: list[int], count: int, rule: Sampling | None = None) -> str:
    ids = Executor(tiny).generate(prompt, count, sampling=rule).ids
    return tiny.tokenizer.decode(ids, continuation=True)


@pytest.mark.parametrize("stream", [False, True])
def test_every_prompt_has_its_choices_and_every_choice_its_receipt(
    client: TestClient, node: LocalNode, tiny: IntegerModel, stream: bool
) -> None:
    """Texts, in OpenAI's order: all choices of the first prompt, then those of the next. Seeds follow one another."""
    body: dict[str, Any] = {
        "model": "tiny", "prompt": ["ab", "Hello"], "n": 2, "temperature": 1.5, "seed": 2**SEED_BITS - 1,
        "max_tokens": 5, "stream": stream, "stream_options": {"include_usage": True},
    }  # fmt: skip
    if not stream:
        del body["stream_options"]
    answer = client.post("/v1/completions", json=body)
    assert answer.status_code == 200, answer.text
    rules = [Sampling(1500, 2**SEED_BITS - 1), Sampling(1500, 0)]
    prompts = [tiny.tokenizer.encode(text) for text in ("ab", "Hello")]
    expected = [said(tiny, prompt, 5, rule) for prompt in prompts for rule in rules]
    texts, receipts = [""] * 4, [""] * 4
    if stream:
        chunks = events(answer.text)
        for chunk in chunks:
            for choice in chunk["choices"]:
                texts[choice["index"]] += choice["text"]
                receipts[choice["index"]] = choice.get("x_gainsay_receipt", "")
        usage = chunks[-1]["usage"]
        assert chunks[-1]["choices"] == [] and "x_gainsay_receipt" not in chunks[-1]
    else:
        for place, choice in enumerate(answer.json()["choices"]):
            assert choice["index"] == place
            texts[place], receipts[place] = choice["text"], choice["x_gainsay_receipt"]
        assert answer.headers["x-gainsay-receipt"].split(",") == receipts
        usage = answer.json()["usage"]
    assert texts == expected
    assert answer.headers["x-gainsay-sampling"].count("seed=") == 4
    rows = [node.journal.find_response(receipt) for receipt in receipts]
    assert len({row.leaf for row in rows if row is not None and row.signature}) == 4
    assert [sampling_of_row(row) for row in rows if row is not None] == rules * 2
    assert usage["prompt_tokens"] == sum(map(len, prompts)) and usage["completion_tokens"] <= 20
    record = client.get(
        f"/v1/responses/{answer.json()['id']}-3" if not stream else f"/v1/responses/{receipts[3]}"
    )
    assert record.json()["prompt_ids"] == prompts[1] and record.json()["receipt_id"] == receipts[3]


def test_lists_of_token_ids_and_choices_of_a_chat(client: TestClient, tiny: IntegerModel) -> None:
    answer = client.post(
        "/v1/completions", json={"model": "tiny", "prompt": [[65, 66], [67]], "max_tokens": 3}
    ).json()
    assert [choice["text"] for choice in answer["choices"]] == [
        said(tiny, ids, 3) for ids in ([65, 66], [67])
    ]
    chat = client.post(
        "/v1/chat/completions",
        json={"model": "tiny", "messages": HELLO, "n": 3, "temperature": 2, "max_tokens": 4},
    ).json()
    assert (
        len({choice["x_gainsay_sampling"] for choice in chat["choices"]}) == 3
    )  # every choice draws its own
    greedy = client.post(
        "/v1/chat/completions", json={"model": "tiny", "messages": HELLO, "n": 2, "max_tokens": 4}
    ).json()
    assert greedy["choices"][0]["message"] == greedy["choices"][1]["message"]


class FailsAt:
    """The real executor, but one prompt leaves the provable range."""

    def __init__(self, model: IntegerModel, bad: int) -> None:
        self._executor, self._bad = Executor(model), bad

    def generate(self, prompt: Any, max_tokens: int, **options: Any) -> Any:
        if prompt[0] == self._bad:
            raise OutOfRange("gate", 7, 2**20, "[-2^17, 2^17)", layer=3)
        return self._executor.generate(prompt, max_tokens, **options)


@pytest.mark.parametrize("stream", [False, True])
def test_if_one_choice_fails_the_request_fails(tiny: IntegerModel, journal: Journal, stream: bool) -> None:
    node = build_node(tiny, journal, generator=FailsAt(tiny, 66))
    with TestClient(node.app) as client:
        body = {"model": "tiny", "prompt": [[65], [66], [67]], "max_tokens": 3, "stream": stream}
        answer = client.post("/v1/completions", json=body)
        if stream:
            assert answer.status_code == 200 and "out_of_range" in answer.text and "[DONE]" not in answer.text
        else:
            assert answer.status_code == 422 and answer.json()["error"]["code"] == "out_of_range"
        assert client.post("/v1/completions", json=body | {"prompt": "a", "stream": False}).status_code == 200


def test_all_choices_have_a_place_in_the_queue_or_none(tiny: IntegerModel, journal: Journal) -> None:
    held = HeldExecutor(tiny)  # else the first answers can be ready before the last have asked for a place
    node = build_node(tiny, journal, generator=held, capacity=2)
    with TestClient(node.app) as client:
        refused = client.post(
            "/v1/completions", json={"model": "tiny", "prompt": "a", "n": 9, "max_tokens": 200}
        )
        assert refused.status_code == 429 and "retry-after" in refused.headers
        held.go.set()
        assert client.post(
            "/v1/completions", json={"model": "tiny", "prompt": "a", "max_tokens": 1}
        ).is_success
    assert node.journal.response_count() == 1
