"""OpenAI's client and LangChain with their defaults: nothing is set but the URL, the key and the model.

LiteLLM's are in test_clients.py: importing it takes seconds, once per module.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import uvicorn
from langchain_openai import ChatOpenAI, OpenAI

from devnet.anvil import free_port
from node.api_keys import KeyRing, draw_key, hash_of
from node.store import Journal, open_engine
from prover.model.execute import Executor
from prover.model.stop_strings import require_own_end
from prover.model.weights import IntegerModel

from .conftest import build_node

KEY = draw_key()
HELLO: Any = [{"role": "user", "content": "Hello"}]
DEFAULT_TOKENS = 16  # of `build_node`


@pytest.fixture(scope="module")
def url(tiny: IntegerModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on a port that wants keys."""
    folder: Path = tmp_path_factory.mktemp("clients")
    keys = folder / "keys.toml"
    keys.write_text(f'[keys.app]\nsha256 = "{hash_of(KEY).hex()}"\nconcurrent = 20\n')
    journal = Journal(open_engine(f"sqlite:///{folder}/node.db"))
    node = build_node(tiny, journal, capacity=32, keys=KeyRing(keys))
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(node.app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}/v1"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def said(tiny: IntegerModel) -> str:
    """What the model answers to HELLO when nothing else is asked."""
    ids = Executor(tiny).generate(tiny.tokenizer.encode_chat(HELLO), DEFAULT_TOKENS).ids
    return tiny.tokenizer.decode(ids, continuation=True)


def a_stop(said: str) -> str:
    """A character of the answer that is one: U+FFFD stands for bytes that are none, and no stop string matches those."""
    return next(letter for letter in said[1:] if letter.isascii())


def test_the_official_client(url: str, said: str, tiny: IntegerModel) -> None:
    client = openai.OpenAI(base_url=url, api_key=KEY)
    assert [model.id for model in client.models.list()] == ["tiny"] == [client.models.retrieve("tiny").id]
    answer = client.chat.completions.create(model="tiny", messages=HELLO)
    assert answer.choices[0].message.content == said
    chunks = client.chat.completions.create(model="tiny", messages=HELLO, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == said

    several = client.chat.completions.create(
        model="tiny", messages=HELLO, n=2, temperature=1, seed=1, logprobs=True, top_logprobs=2, stop=["e"],
        user="me", metadata={"a": "b"}, store=False, service_tier="auto", parallel_tool_calls=True,
        response_format={"type": "text"}, tools=[],
    )  # fmt: skip
    assert [choice.index for choice in several.choices] == [0, 1]
    for choice in several.choices:
        assert choice.logprobs is not None and choice.logprobs.content
        assert all(len(entry.top_logprobs) == 2 for entry in choice.logprobs.content)
        receipt = str((choice.model_extra or {})["x_gainsay_receipt"])
        record = client.get(f"/responses/{receipt}", cast_to=dict[str, Any])
        assert [entry.token_id for entry in choice.logprobs.content] == record["output_ids"]  # type: ignore[attr-defined]
        require_own_end(tiny.tokenizer, record["output_ids"], record["max_tokens"], ("e",), DEFAULT_TOKENS)

    texts = client.completions.create(model="tiny", prompt=["a", "b"], max_tokens=2, logprobs=1)
    assert [choice.index for choice in texts.choices] == [0, 1]
    assert texts.choices[1].logprobs is not None and len(texts.choices[1].logprobs.tokens or ()) == 2

    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=url, api_key="gainsay-other").models.list()
    with pytest.raises(openai.NotFoundError, match="chat/completions"):
        client.responses.create(model="tiny", input="Hello")
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "x" * 400}])
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError, match="nobody could dispute"):
        client.chat.completions.create(model="tiny", messages=HELLO, logit_bias={"65": 1})


def test_langchain(url: str, said: str) -> None:
    chat = ChatOpenAI(model="tiny", base_url=url, api_key=KEY)
    assert chat.invoke("Hello").text == said
    assert "".join(chunk.text for chunk in chat.stream("Hello")) == said
    stop = a_stop(said)
    assert chat.invoke("Hello", stop=[stop]).text == said[: said.index(stop)]
    assert "".join(chunk.text for chunk in chat.stream("Hello", stop=[stop])) == said[: said.index(stop)]
    told = chat.bind(logprobs=True).invoke("Hello").response_metadata["logprobs"]["content"]
    assert len(told) == DEFAULT_TOKENS
    generated = ChatOpenAI(model="tiny", base_url=url, api_key=KEY, n=2).generate([chat_messages()])
    assert [one.text for one in generated.generations[0]] == [said, said]
    # The older interface sends lists of prompts, a temperature of 0.7 and 256 tokens: all but the last is left as it is.
    text = OpenAI(model="tiny", base_url=url, api_key=KEY, max_tokens=4)
    answers = text.generate(["a", "b", "c"], stop=["never this"])
    assert len(answers.generations) == 3 and all(batch[0].text for batch in answers.generations)


def chat_messages() -> list[Any]:
    from langchain_core.messages import HumanMessage

    return [HumanMessage("Hello")]


@pytest.mark.long
def test_langchains_older_interface_with_every_default(url: str) -> None:
    """256 tokens are all that the built-in model has room for behind one."""
    text = OpenAI(model="tiny", base_url=url, api_key=KEY)
    assert text.invoke("a")
    assert "".join(text.stream("a"))
    assert len(text.batch(["a"] * 3)) == 3


@pytest.mark.long
def test_many_asynchronous_clients(url: str, said: str) -> None:
    async def talk() -> None:
        client = openai.AsyncOpenAI(base_url=url, api_key=KEY)
        asks = (client.chat.completions.create(model="tiny", messages=HELLO, n=2) for _ in range(10))
        for answer in await asyncio.gather(*asks):
            assert [choice.message.content for choice in answer.choices] == [said, said]
        chat = ChatOpenAI(model="tiny", base_url=url, api_key=KEY)
        assert [answer.text for answer in await chat.abatch(["Hello"] * 10)] == [said] * 10

    asyncio.run(talk())
