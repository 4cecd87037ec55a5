"""What OpenAI clients get: answers, streams, receipts, and refusals in their own error shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from contracts.bindings.receipts import receipt_signer
from node.receipts import receipt_of
from node.store import Journal
from prover.model.execute import Executor
from prover.model.tokenizer import Tokenizer, TokenizerSpecification
from prover.model.weights import IntegerModel

from .conftest import CHAIN_ID, LEDGER, LocalNode, build_node

HELLO = [{"role": "user", "content": "Hello"}]
_PICTURE = {"type": "image_url", "image_url": {"url": "x"}}


def events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_chat_answers_greedily_and_signs_a_receipt(
    client: TestClient, node: LocalNode, tiny: IntegerModel
) -> None:
    answer = client.post("/v1/chat/completions", json={"model": "tiny", "messages": HELLO, "max_tokens": 7})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    prompt = tiny.tokenizer.encode_chat(HELLO)
    expected = Executor(tiny).generate(prompt, 7)
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"]["content"] == tiny.tokenizer.decode(expected.ids)
    assert body["choices"][0]["finish_reason"] == expected.finish_reason
    assert body["usage"] == {
        "prompt_tokens": len(prompt),
        "completion_tokens": len(expected.ids),
        "total_tokens": len(prompt) + len(expected.ids),
    }
    receipt_id = answer.headers["x-gainsay-receipt"]
    row = node.journal.find_response(receipt_id)
    assert row is not None and row.id == body["id"] and row.signature is not None
    batch = node.journal.batch(row.batch_id)
    assert batch is not None
    receipt = receipt_of(node.issuer.provider, batch, row)
    signature = bytes.fromhex(row.signature[2:])
    assert receipt_signer(receipt, signature, CHAIN_ID, LEDGER) == node.issuer.provider
    assert receipt.max_tokens == 7 and receipt.output_length == len(expected.ids)


def test_text_and_token_prompts_give_the_same_answer(client: TestClient, tiny: IntegerModel) -> None:
    text = client.post("/v1/completions", json={"model": "tiny", "prompt": "ab", "max_tokens": 4}).json()
    ids = client.post(
        "/v1/completions", json={"model": "tiny", "prompt": tiny.tokenizer.encode("ab"), "max_tokens": 4}
    ).json()
    assert text["object"] == "text_completion"
    assert text["choices"][0]["text"] == ids["choices"][0]["text"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_stream_carries_the_same_text_and_the_receipt(client: TestClient, node: LocalNode, path: str) -> None:
    body: dict[str, Any] = {"model": "tiny", "max_tokens": 9}
    body |= {"messages": HELLO} if "chat" in path else {"prompt": "Hello"}
    whole = client.post(path, json=body).json()["choices"][0]
    streamed = client.post(path, json=body | {"stream": True, "stream_options": {"include_usage": True}})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    chunks = events(streamed.text)
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    if "chat" in path:
        pieces = [choice["delta"].get("content") or "" for choice in choices]
        assert choices[0]["delta"]["role"] == "assistant"
        assert "".join(pieces) == whole["message"]["content"]
    else:
        assert "".join(choice["text"] for choice in choices) == whole["text"]
    assert choices[-1]["finish_reason"] == whole["finish_reason"]
    assert [choice["finish_reason"] for choice in choices[:-1]] == [None] * (len(choices) - 1)
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] >= 1
    row = node.journal.find_response(chunks[-1]["x_gainsay_receipt"])
    assert row is not None and row.signature is not None
    assert len({chunk["id"] for chunk in chunks}) == 1


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"temperature": -0.1}, 400, "temperature"),
        ({"temperature": 16.1}, 400, "temperature"),
        ({"temperature": 10**30}, 400, "temperature"),
        ({"temperature": "0.7"}, 400, "temperature"),
        ({"temperature": 0.7, "seed": -1}, 400, "seed"),
        ({"temperature": 0.7, "seed": 2**64}, 400, "seed"),
        ({"temperature": 0.7, "seed": 1.0}, 400, "seed"),
        ({"temperature": 0.7, "top_p": 0.9}, 400, "top_p"),
        ({"temperature": 0.7, "top_k": 40}, 400, "top_k"),
        ({"temperature": 0.7, "typical_p": 0.9}, 400, "typical_p"),
        ({"temperature": 0.7, "min_p": 1.1}, 400, "min_p"),
        ({"n": 0}, 400, "n"),
        ({"n": 21}, 400, "n"),
        ({"n": 2**31}, 400, "n"),
        ({"n": 10**30}, 400, "n"),
        ({"n": True}, 400, "n"),
        ({"n": 2, "best_of": 3}, 400, "best_of"),
        ({"stop": ["a"] * 5}, 400, "stop"),
        ({"stop": ["a", ""]}, 400, "stop.1"),
        ({"stop": "x" * 2**20}, 400, "stop"),
        ({"stop": {"a": 1}}, 400, "stop"),
        ({"logprobs": 3}, 400, "logprobs"),
        ({"top_logprobs": 3}, 400, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 10**9}, 400, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": -1}, 400, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 1.0}, 400, "top_logprobs"),
        ({"logit_bias": {"65": 1}}, 400, "logit_bias"),
        ({"logit_bias": {"NaN": 100}}, 400, "logit_bias"),
        ({"logit_bias": {str(token): 1 for token in range(20_000)}}, 400, "logit_bias"),
        ({"logit_bias": [[65, 1]]}, 400, "logit_bias"),
        ({"presence_penalty": 0.5}, 400, "presence_penalty"),
        ({"frequency_penalty": -0.5}, 400, "frequency_penalty"),
        ({"response_format": {"type": "json_object"}}, 400, "response_format"),
        ({"x" * 10**6: 1}, 400, "x" * 80),
        ({"tools": [{"type": "function"}]}, 400, "tools"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"max_tokens": "5"}, 400, "max_tokens"),
        ({"top_p": 1.5}, 400, "top_p"),
        ({"top_k": -2}, 400, "top_k"),
        ({"repetition_penalty": 1.1}, 400, "repetition_penalty"),
        ({"temperature": False}, 400, "temperature"),
        ({"messages": []}, 400, "messages"),
        ({"messages": "x"}, 400, "messages"),
        ({"messages": ["x"]}, 400, "messages.0"),
        ({"messages": [*HELLO, {"role": "oracle", "content": "x"}]}, 400, "messages.1.role"),
        ({"messages": [{"role": "user", "content": 5}]}, 400, "messages.0.content"),
        ({"messages": [{"role": "user", "content": ["a", _PICTURE]}]}, 400, "messages.0.content.1"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, 400, "messages.0.content.0.text"),
        ({"messages": [*HELLO, {"role": "assistant", "audio": {"id": "a"}}]}, 400, "messages.1.audio"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, 400, "messages.0.tool_calls.0.function"),
        ({"stream_options": {"include_usage": 1}}, 400, "stream_options.include_usage"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, 400, "max_completion_tokens"),
        ({"frobnicate": 1}, 400, "frobnicate"),
        ({"model": "gpt-4"}, 404, "model"),
        ({"max_tokens": 100_000}, 400, None),
        ({"messages": [{"role": "user", "content": "x" * 400}]}, 400, None),
    ],
)
def test_refusals_name_the_field(
    client: TestClient, change: dict[str, Any], status: int, param: str | None
) -> None:
    answer = client.post("/v1/chat/completions", json={"model": "tiny", "messages": HELLO} | change)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) >= {"message", "type", "param", "code"} and error["message"]
    if param is not None:
        assert error["param"] == param


def test_neutral_options_are_accepted(client: TestClient) -> None:
    neutral = {
        "temperature": 0, "top_p": 1, "n": 1, "stop": None, "presence_penalty": 0, "frequency_penalty": 0,
        "seed": 7, "user": "me", "logprobs": False, "tools": [], "response_format": {"type": "text"},
        "max_completion_tokens": 2, "top_k": 40, "min_p": 0.05, "repetition_penalty": 1.0,
        "service_tier": "auto", "prompt_cache_key": "k", "safety_identifier": "me", "store": True,
        "logit_bias": {"65": 0, "NaN": 0.0}, "top_logprobs": 0, "best_of": 1, "metadata": {"a": "b"},
        "parallel_tool_calls": True, "prediction": {"type": "content", "content": "x"},
        "tool_choice": "auto", "audio": None, "web_search_options": None, "stream_options": None,
    }  # fmt: skip
    answer = client.post("/v1/chat/completions", json={"model": "tiny", "messages": HELLO} | neutral)
    assert answer.status_code == 200, answer.text


def test_malformed_bodies_are_400(client: TestClient) -> None:
    for body in (b"", b"{", b"[]", b'"x"', b"\xff\xfe", b'{"model": "tiny"}'):
        answer = client.post(
            "/v1/chat/completions", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 400, (body, answer.text)
        assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        [],
        [[]],
        [300],
        [-1],
        [True],
        ["a", 3],
        ["a", ""],
        [[65], [300]],
        [[65], [True]],
        ["a"] * 21,
        [["a"]],
        [[[65]]],
        5,
        None,
    ],
)
def test_bad_prompts_are_400(client: TestClient, prompt: Any) -> None:
    answer = client.post("/v1/completions", json={"model": "tiny", "prompt": prompt, "max_tokens": 1})
    assert answer.status_code == 400, answer.text


def test_huge_body_is_413(client: TestClient) -> None:
    answer = client.post("/v1/completions", content=b" " * (3 * 1024 * 1024))
    assert answer.status_code == 413 and answer.json()["error"]["code"] == "body_too_long"
    chunks = (b" " * 65536 for _ in range(48))
    assert client.post("/v1/completions", content=chunks).status_code == 413


def test_an_answer_may_fill_all_positions(client: TestClient, tiny: IntegerModel) -> None:
    limit = tiny.config.max_positions
    full = {"model": "tiny", "prompt": [65] * limit, "max_tokens": 1}
    answer = client.post("/v1/completions", json=full)
    assert answer.status_code == 200 and answer.json()["usage"]["completion_tokens"] == 1
    for too_long in (full | {"max_tokens": 2}, {"model": "tiny", "prompt": [65] * (limit + 1)}):
        refused = client.post("/v1/completions", json=too_long)
        error = refused.json()["error"]
        assert refused.status_code == 400 and error["code"] == "context_length_exceeded"
        assert f"maximum context length is {limit + 1} tokens" in error["message"]
        assert f"you requested {limit + 2} tokens" in error["message"]


def test_a_body_is_json_whatever_its_content_type(client: TestClient) -> None:
    body = json.dumps({"model": "tiny", "messages": HELLO, "max_tokens": 1})
    for kind in ({}, {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "text/plain"}):
        answer = client.post("/v1/chat/completions", content=body, headers=kind)
        assert answer.status_code == 200, (kind, answer.text)


def test_pages_may_call_the_api_from_a_browser_where_the_operator_says(
    tiny: IntegerModel, journal: Journal
) -> None:
    page = {"Origin": "https://page.example"}
    preflight = page | {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
    }
    for origins, allowed_origin in ((("*",), "*"), (("https://page.example",), "https://page.example")):
        client = TestClient(build_node(tiny, journal, cors_origins=origins).app)
        allowed = client.options("/v1/chat/completions", headers=preflight)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == allowed_origin
        # A page never speaks with what the browser knows of its reader.
        assert "access-control-allow-credentials" not in allowed.headers
        for path, status in (("/v1/models", 200), ("/v1/models/none", 404)):
            answer = client.get(path, headers=page)
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == allowed_origin
            assert "x-gainsay-receipt" in answer.headers["access-control-expose-headers"].lower()
        other = client.get("/v1/models", headers={"Origin": "https://other.example"})
        assert other.headers.get("access-control-allow-origin") == ("*" if origins == ("*",) else None)


def test_by_default_no_page_makes_a_provider_work(client: TestClient, node: LocalNode) -> None:
    """A browser sends a POST of plain text without asking first, cookies or not; only the page's origin tells it apart."""
    body = json.dumps({"model": "tiny", "prompt": "a", "max_tokens": 1})
    foreign = (
        "https://page.example",
        "null",
        "http://testserver.example",
        "http://[",
        "http://testserver:81",
    )
    for origin in foreign:
        answer = client.post(
            "/v1/completions", content=body, headers={"Origin": origin, "Content-Type": "text/plain"}
        )
        assert answer.status_code == 403 and answer.json()["error"]["code"] == "origin_not_allowed"
        assert "access-control-allow-origin" not in answer.headers
    assert node.journal.response_count() == 0
    own = client.post("/v1/completions", content=body, headers={"Origin": "http://testserver"})
    assert own.status_code == 200


def test_the_model_list_answers_head(client: TestClient) -> None:
    for path in ("/v1/models", "/v1/models/tiny"):
        answer = client.head(path)
        assert answer.status_code == 200 and answer.content == b""


def test_models_are_listed(client: TestClient) -> None:
    listing = client.get("/v1/models").json()
    assert [card["id"] for card in listing["data"]] == ["tiny"]
    assert client.get("/v1/models/tiny").json()["object"] == "model"
    assert client.get("/v1/models/none").status_code == 404


def test_unready_node_answers_503(client: TestClient, node: LocalNode) -> None:
    node.unready.append("the chain does not answer")
    answer = client.post("/v1/chat/completions", json={"model": "tiny", "messages": HELLO})
    assert answer.status_code == 503 and "chain" in answer.json()["error"]["message"]
    assert client.get("/readyz").status_code == 503 and client.get("/healthz").status_code == 200


def test_explorer_and_metrics_are_served(client: TestClient) -> None:
    page = client.get("/")
    assert "Gainsay explorer" in page.text and "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text and "https://" not in page.text
    snapshot = client.get("/v1/settlement")
    again = client.get("/v1/settlement", headers={"If-None-Match": snapshot.headers["etag"]})
    assert again.status_code == 304
    figures = client.get("/metrics").text
    assert 'gainsay_http_requests_total{route="/",status="200"} 1.0' in figures


_LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
# A template that asks for alternating roles, and that a question can send into a loop or a recursion.
_TEMPLATE = (
    "{% macro again() %}{{ again() }}{% endmacro %}"
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% if m.content == 'loop' %}" + _LOOP + "{% elif m.content == 'recurse' %}{{ again() }}"
    "{% elif m.content == 'grow' %}{{ m.content * 10**9 }}{% elif m.content == 'fail' %}{{ '{}{}'.format(1) }}{% endif %}"
    "{{ m.content }}{% endfor %}"
)


@pytest.fixture
def templated(tiny: IntegerModel, journal: Journal) -> Iterator[TestClient]:
    specification = replace(tiny.tokenizer.specification, chat_template=_TEMPLATE)
    node = build_node(replace(tiny, tokenizer=Tokenizer(specification)), journal)
    with TestClient(node.app, raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"role": "system", "content": "x"}, "System role not supported"),
        ({"role": "user", "content": "loop"}, "ran longer than"),
        ({"role": "user", "content": "recurse"}, "calls itself"),
        ({"role": "user", "content": "grow"}, "memory"),
        ({"role": "user", "content": "fail"}, "index out of range"),
    ],
)
def test_a_template_that_refuses_or_never_ends_is_400_with_its_words(
    templated: TestClient, message: dict[str, str], words: str
) -> None:
    body = {"model": "tiny", "messages": [message], "max_tokens": 2}
    answer = templated.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["error"]["message"] and answer.json()["error"]["param"] == "messages"
    assert templated.post("/v1/chat/completions", json=body | {"messages": HELLO}).status_code == 200


def test_others_are_answered_while_a_template_loops(templated: TestClient) -> None:
    body = {"model": "tiny", "max_tokens": 1}
    looping = [{"role": "user", "content": "loop"}]
    with ThreadPoolExecutor() as pool:
        loops = [
            pool.submit(templated.post, "/v1/chat/completions", json=body | {"messages": looping})
            for _ in range(6)
        ]
        assert templated.post("/v1/chat/completions", json=body | {"messages": HELLO}).status_code == 200
        assert not all(loop.done() for loop in loops)
        assert {loop.result().status_code for loop in loops} == {400}


def test_a_completion_keeps_the_space_that_it_starts_with(tiny: IntegerModel, journal: Journal) -> None:
    """Of a SentencePiece model, whose texts start with a space of their own: an answer goes on from a prompt."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    types = [2, 3, 3] + [6] * 256
    for index in range(100, 259):  # whatever the model says begins with a space
        tokens[index], types[index] = f"▁w{index}", 1
    specification = TokenizerSpecification(
        tuple(tokens), tuple(types), merges=(), bos_id=1, eos_id=2,
        kind="sentencepiece", scores=(0.0,) * 259, space_prefix=True,
    )  # fmt: skip
    node = build_node(replace(tiny, tokenizer=Tokenizer(specification)), journal)
    prompt = [104, 110, 200]
    expected = Executor(tiny).generate(prompt, 6).ids
    words = "".join(tokens[index].replace("▁", " ") for index in expected if index >= 100)
    assert words.startswith(" ") and expected[0] >= 100
    with TestClient(node.app) as client:
        body = {"model": "tiny", "prompt": prompt, "max_tokens": 6}
        whole = client.post("/v1/completions", json=body).json()["choices"][0]["text"]
        streamed = client.post("/v1/completions", json=body | {"stream": True})
    assert whole.startswith(f" w{expected[0]}")
    assert "".join(c["text"] for chunk in events(streamed.text) for c in chunk["choices"]) == whole
