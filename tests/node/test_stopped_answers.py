"""Stop strings through the API: what is told, what is committed, and that nobody can dispute it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from challenger.verdicts import malformed
from contracts.protocol.trace import is_truncated
from node.receipts import fields_of
from prover.model.execute import Executor
from prover.model.stop_strings import AnswerCutShortError, require_own_end
from prover.model.weights import IntegerModel
from prover.sampling import Sampling

from .conftest import LocalNode
from .test_completions import events

ASKED = 12
BODY = {"model": "tiny", "prompt": "Hello", "max_tokens": ASKED}


@pytest.fixture(scope="module")
def whole(tiny: IntegerModel) -> list[int]:
    """What the model says without a stop string."""
    ids = Executor(tiny).generate(tiny.tokenizer.encode("Hello"), ASKED).ids
    assert len(ids) == ASKED
    return ids


def text_of(tiny: IntegerModel, ids: list[int]) -> str:
    return tiny.tokenizer.decode(ids, continuation=True)


def a_stop(tiny: IntegerModel, whole: list[int]) -> tuple[str, int]:
    """Two printable characters that the model says for the first time side by side, and how many ids there are with them."""
    for end in range(4, ASKED):
        pair = bytes(whole[end - 2 : end])
        if pair.isascii() and bytes(whole).find(pair) == end - 2:
            return pair.decode(), end
    raise AssertionError("the built-in model has changed")


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_the_answer_ends_with_the_token_that_completes_a_stop_string(
    client: TestClient, node: LocalNode, tiny: IntegerModel, chat: bool, stream: bool
) -> None:
    prompt = (
        tiny.tokenizer.encode_chat([{"role": "user", "content": "Hello"}])
        if chat
        else tiny.tokenizer.encode("Hello")
    )
    whole = Executor(tiny).generate(prompt, ASKED).ids
    stop, length = a_stop(tiny, whole)
    body: dict[str, Any] = {
        "model": "tiny",
        "max_tokens": ASKED,
        "stop": ["never this", stop],
        "stream": stream,
    }
    body |= {"messages": [{"role": "user", "content": "Hello"}]} if chat else {"prompt": "Hello"}
    answer = client.post("/v1/chat/completions" if chat else "/v1/completions", json=body)
    assert answer.status_code == 200, answer.text
    expected = text_of(tiny, whole[: length - 2])
    if stream:
        chunks = events(answer.text)
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        pieces = [choice["delta"].get("content") or "" if chat else choice["text"] for choice in choices]
        assert "".join(pieces) == expected
        receipt, reason = chunks[-1]["x_gainsay_receipt"], choices[-1]["finish_reason"]
    else:
        choice = answer.json()["choices"][0]
        assert (choice["message"]["content"] if chat else choice["text"]) == expected
        assert answer.json()["usage"]["completion_tokens"] == length
        receipt, reason = answer.headers["x-gainsay-receipt"], choice["finish_reason"]
    assert reason == "stop"
    row = node.journal.find_response(receipt)
    assert row is not None
    record = client.get(f"/v1/responses/{receipt}").json()
    # The ids are whole, and their number is the limit that the leaf names.
    assert record["output_ids"] == whole[:length] and record["max_tokens"] == length
    fields = fields_of(row)
    assert malformed(fields, tiny.config.max_positions, tiny.logit_scale) is None
    assert not is_truncated(record["output_ids"], fields.max_tokens, tiny.end_tokens)
    assert Executor(tiny).replay(prompt, record["output_ids"]) is None
    require_own_end(tiny.tokenizer, record["output_ids"], record["max_tokens"], (stop,), ASKED)
    with pytest.raises(AnswerCutShortError, match="cut short"):
        require_own_end(tiny.tokenizer, record["output_ids"], record["max_tokens"], (), ASKED)


def test_an_answer_without_its_stop_string_is_the_ordinary_one(
    client: TestClient, node: LocalNode, tiny: IntegerModel, whole: list[int]
) -> None:
    for stop in (None, "", [], "never this"):
        answer = client.post("/v1/completions", json=BODY | {"stop": stop})
        choice = answer.json()["choices"][0]
        assert (choice["text"], choice["finish_reason"]) == (text_of(tiny, whole), "length")
        row = node.journal.find_response(answer.headers["x-gainsay-receipt"])
        assert row is not None and row.max_tokens == ASKED


def test_a_stop_string_ends_a_sampled_answer(client: TestClient, tiny: IntegerModel) -> None:
    rule = Sampling(2000, 7)
    ids = Executor(tiny).generate(tiny.tokenizer.encode("Hello"), 200, sampling=rule).ids
    place = next(i for i, token in enumerate(ids) if i > 2 and token < 128)
    stop = chr(ids[place])
    first = ids.index(ids[place])
    answer = client.post(
        "/v1/completions",
        json=BODY | {"max_tokens": 200, "temperature": 2, "seed": 7, "stop": stop},
    )
    record = client.get(f"/v1/responses/{answer.headers['x-gainsay-receipt']}").json()
    assert record["output_ids"] == ids[: first + 1] and record["max_tokens"] == first + 1


def test_a_stop_string_with_the_last_token_that_was_asked_for(
    client: TestClient, node: LocalNode, tiny: IntegerModel, whole: list[int]
) -> None:
    stop, length = a_stop(tiny, whole)
    answer = client.post("/v1/completions", json=BODY | {"max_tokens": length, "stop": stop})
    assert answer.json()["choices"][0]["finish_reason"] == "stop"
    row = node.journal.find_response(answer.headers["x-gainsay-receipt"])
    assert row is not None and row.max_tokens == length == fields_of(row).output_length


def test_the_engine_asks_the_watch_about_every_token(tiny: IntegerModel, whole: list[int]) -> None:
    told: list[tuple[int, bool]] = []

    class Third:
        def __init__(self, wants_logits: bool) -> None:
            self.wants_logits = wants_logits

        def chosen(self, token: int, logits: Any) -> bool:
            told.append((token, logits is not None and int(logits.argmax()) == token))
            return len(told) == 3

    seen: list[int] = []
    on_token: Callable[[int], None] = seen.append
    prompt = tiny.tokenizer.encode("Hello")
    for wanted in (False, True):
        told.clear()
        seen.clear()
        made = Executor(tiny).generate(prompt, ASKED, on_token=on_token, watch=Third(wanted))
        assert (made.ids, made.finish_reason) == (whole[:3], "stop") and seen == made.ids
        assert told == [(token, wanted) for token in whole[:3]]
