"""Conversations of five turns through the clients that people use, every answer sent back as it came."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import openai
import pytest
import uvicorn
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_openai import ChatOpenAI

from devnet.anvil import free_port
from node.store import Journal
from prover.model.execute import Executor
from prover.model.weights import IntegerModel

from .conftest import LocalNode, build_node

TURNS = ("a", "b", "c", "d", "e")
TOKENS = 2  # the built-in model has 256 positions


@pytest.fixture
def node(tiny: IntegerModel, journal: Journal) -> LocalNode:
    return build_node(tiny, journal, capacity=8)


@pytest.fixture
def url(node: LocalNode) -> Iterator[str]:
    """A server on a port, as clients meet it."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(node.app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}/v1"
    server.should_exit = True
    thread.join()


@pytest.fixture
def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def expected(tiny: IntegerModel) -> list[str]:
    """What the model answers, turn by turn."""
    messages: list[dict[str, str]] = []
    executor = Executor(tiny)
    for text in TURNS:
        messages.append({"role": "user", "content": text})
        ids = executor.generate(tiny.tokenizer.encode_chat(messages), TOKENS).ids
        messages.append({"role": "assistant", "content": tiny.tokenizer.decode(ids)})
    return [message["content"] for message in messages[1::2]]


def test_the_official_client_appends_the_messages_that_it_got(
    client: openai.OpenAI, expected: list[str]
) -> None:
    messages: list[Any] = []
    for text in TURNS:
        messages.append({"role": "user", "content": text})
        answer = client.chat.completions.create(model="tiny", messages=messages, max_tokens=TOKENS)
        messages.append(answer.choices[0].message)
    assert [message.content for message in messages[1::2]] == expected


def test_the_official_client_appends_dumps_with_every_field(
    client: openai.OpenAI, expected: list[str]
) -> None:
    """With every null, as programs that store conversations send them."""
    messages: list[Any] = []
    for text in TURNS:
        messages.append({"role": "user", "content": text, "name": None})
        answer = client.chat.completions.create(model="tiny", messages=messages, max_tokens=TOKENS)
        dump = answer.choices[0].message.model_dump()
        assert None in dump.values()
        messages.append(json.loads(json.dumps(dump)))
    assert [message["content"] for message in messages[1::2]] == expected


def test_the_official_client_streams(client: openai.OpenAI, expected: list[str]) -> None:
    messages: list[Any] = []
    for text in TURNS:
        messages.append({"role": "user", "content": text})
        message: dict[str, Any] = {}
        for chunk in client.chat.completions.create(
            model="tiny",
            messages=messages,
            max_tokens=TOKENS,
            stream=True,
            stream_options={"include_usage": True},
        ):
            for choice in chunk.choices:
                delta = choice.delta.model_dump()
                text = (message.get("content") or "") + (delta["content"] or "")
                message |= {name: value for name, value in delta.items() if value is not None}
                message = dict.fromkeys(delta) | message | {"content": text}
        messages.append(message)
    assert [message["content"] for message in messages[1::2]] == expected


def test_every_field_that_is_sent_is_taken_back(client: openai.OpenAI, url: str) -> None:
    """The message of an answer, the deltas of a stream, and every field of the response beside them as an option."""
    whole = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "a"}], max_tokens=TOKENS
    )
    deltas = [
        chunk.choices[0].delta.model_dump()
        for chunk in client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "a"}], max_tokens=TOKENS, stream=True
        )
        if chunk.choices
    ]
    fields = {name for delta in deltas for name in delta} | set(whole.choices[0].message.model_dump())
    merged = whole.choices[0].message.model_dump() | dict.fromkeys(fields - {"role", "content"})
    again = client.chat.completions.create(
        model=whole.model, messages=[{"role": "user", "content": "a"}, merged], max_tokens=TOKENS
    )
    assert again.choices[0].message.role == "assistant"


def test_turns_with_tools_are_text_where_the_template_has_none(
    client: openai.OpenAI, tiny: IntegerModel
) -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"place": "Graz"}'},
    }
    messages: list[Any] = [
        {"role": "user", "content": [{"type": "text", "text": "w", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sun"},
    ]
    plain = [
        {"role": "user", "content": "w"},
        {"role": "assistant", "content": '{"name": "weather", "arguments": {"place": "Graz"}}'},
        {"role": "user", "content": "sun"},
    ]
    answer = client.chat.completions.create(model="tiny", messages=messages, max_tokens=TOKENS)
    prompt = tiny.tokenizer.encode_chat(plain)
    assert answer.usage is not None and answer.usage.prompt_tokens == len(prompt)
    ids = Executor(tiny).generate(prompt, TOKENS).ids
    assert answer.choices[0].message.content == tiny.tokenizer.decode(ids)


def langchain(url: str, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(model="tiny", base_url=url, api_key="none", max_retries=0, max_tokens=TOKENS, **options)


@pytest.mark.parametrize("streamed", [False, True])
def test_langchain_holds_a_conversation(url: str, expected: list[str], streamed: bool) -> None:
    chat = langchain(url)
    messages: list[BaseMessage] = []
    for text in TURNS:
        messages.append(HumanMessage(text))
        if streamed:
            pieces = list(chat.stream(messages))
            whole = pieces[0]
            for piece in pieces[1:]:
                whole = whole + piece
            assert isinstance(whole, AIMessageChunk)
            messages.append(whole)
        else:
            answer = chat.invoke(messages)
            assert isinstance(answer, AIMessage)
            messages.append(answer)
    assert [message.text for message in messages[1::2]] == expected


def test_langchain_recognises_a_prompt_that_is_too_long(url: str) -> None:
    with pytest.raises(Exception) as caught:
        langchain(url).invoke([HumanMessage("x" * 4000)])
    assert type(caught.value).__name__ == "OpenAIContextOverflowError", str(caught.value)


def _litellm() -> Any:
    """Imported late and from its own copy of its price list: it would fetch that from the network."""
    import os

    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    return litellm


@pytest.mark.parametrize("streamed", [False, True])
def test_litellm_holds_a_conversation(url: str, expected: list[str], streamed: bool) -> None:
    litellm = _litellm()
    messages: list[Any] = []
    for text in TURNS:
        messages.append({"role": "user", "content": text})
        answer = litellm.completion(
            model="openai/tiny", api_base=url, api_key="none", messages=messages, max_tokens=TOKENS,
            stream=streamed, num_retries=0,
        )  # fmt: skip
        if streamed:
            answer = litellm.stream_chunk_builder(list(answer), messages=messages)
        message = answer.choices[0].message
        messages.append(message if isinstance(message, Mapping) else message.model_dump())
    assert [message["content"] for message in messages[1::2]] == expected


def test_litellm_with_its_defaults(url: str, tiny: IntegerModel) -> None:
    litellm, hello = _litellm(), [{"role": "user", "content": "Hello"}]
    ids = Executor(tiny).generate(tiny.tokenizer.encode_chat(hello), 16).ids  # as many as `build_node` gives
    said = tiny.tokenizer.decode(ids, continuation=True)
    common: dict[str, Any] = {"api_base": url, "api_key": "none"}
    answer = litellm.completion(model="openai/tiny", messages=hello, **common)
    assert answer.choices[0].message.content == said
    pieces = list(litellm.completion(model="openai/tiny", messages=hello, stream=True, **common))
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == said
    stop = next(letter for letter in said[1:] if letter.isascii())
    options: dict[str, Any] = {"n": 2, "stop": stop, "logprobs": True, "top_logprobs": 1, "user": "me"}
    cut = litellm.completion(model="openai/tiny", messages=hello, **options, **common)
    assert [choice.message.content for choice in cut.choices] == [said[: said.index(stop)]] * 2
    text = litellm.text_completion(
        model="text-completion-openai/tiny", prompt=["a", "b"], max_tokens=2, **common
    )
    assert len(text.choices) == 2


def test_litellm_recognises_a_prompt_that_is_too_long(url: str) -> None:
    litellm = _litellm()
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(
            model="openai/tiny", api_base=url, api_key="none", num_retries=0,
            messages=[{"role": "user", "content": "x" * 4000}],
        )  # fmt: skip
