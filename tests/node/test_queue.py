"""The queue is bounded, callers that leave stop their generation, and errors in the middle reach the caller."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import httpx
import openai
import pytest
import uvicorn
from fastapi.testclient import TestClient

from devnet.anvil import free_port
from node.inference import InferenceQueue
from node.store import Journal
from prover.model.errors import GenerationCancelledError
from prover.model.execute import Executor, Generation
from prover.model.weights import IntegerModel
from prover.program import OutOfRange
from prover.sampling import Sampling

from .conftest import LocalNode, build_node


class HeldExecutor:
    """The real executor, which waits for permission before every token after the first."""

    def __init__(self, model: IntegerModel) -> None:
        self._executor = Executor(model)
        self.go, self.begun = threading.Event(), threading.Event()
        self.ended: list[str] = []

    def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        *,
        sampling: Sampling | None = None,
        on_token: Callable[[int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Generation:
        def wait(token: int) -> None:
            if on_token:
                on_token(token)
            self.begun.set()
            while not self.go.wait(0.01):
                if cancelled and cancelled():
                    break

        try:
            result = self._executor.generate(
                prompt, max_tokens, on_token=wait, cancelled=cancelled, end_ids=()
            )
            self.ended.append("finished")
            return result
        except GenerationCancelledError:
            self.ended.append("cancelled")
            raise


class OverflowingExecutor:
    """Produces some tokens, then leaves the provable range as the real model does on hostile text."""

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens

    def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        *,
        sampling: Any = None,
        on_token: Any = None,
        cancelled: Any = None,
    ) -> Generation:
        for token in range(65, 65 + self._tokens):
            on_token(token)
        raise OutOfRange("gate", 7, 2**20, "[-2^17, 2^17)", layer=3)


@pytest.fixture
def held(tiny: IntegerModel) -> HeldExecutor:
    return HeldExecutor(tiny)


@contextlib.contextmanager
def served(node: LocalNode) -> Iterator[str]:
    """The application behind a real socket."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(node.app, port=port, log_level="error", timeout_graceful_shutdown=2)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


def until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    deadline = threading.Event()
    for _ in range(int(timeout_s / 0.02)):
        if condition():
            return
        deadline.wait(0.02)
    raise AssertionError("it did not happen in time")


BODY = {"model": "tiny", "prompt": "hello", "max_tokens": 5}


def test_a_full_queue_is_429_with_retry_after(
    tiny: IntegerModel, journal: Journal, held: HeldExecutor
) -> None:
    node = build_node(tiny, journal, generator=held, capacity=2)

    async def story() -> None:
        transport = httpx.ASGITransport(app=node.app)
        async with running(node), httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            first = asyncio.ensure_future(client.post("/v1/completions", json=BODY))
            await asyncio.to_thread(held.begun.wait, 5)
            waiting = [asyncio.ensure_future(client.post("/v1/completions", json=BODY)) for _ in range(2)]
            while node.service.queue.waiting < 2:
                await asyncio.sleep(0.01)
            refused = await client.post("/v1/completions", json=BODY)
            assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
            assert refused.json()["error"]["type"] == "rate_limit_error"
            held.go.set()
            answers = await asyncio.gather(first, *waiting)
            assert [answer.status_code for answer in answers] == [200, 200, 200]

    asyncio.run(story())
    assert node.journal.response_count() == 3


@contextlib.asynccontextmanager
async def running(node: LocalNode) -> AsyncIterator[None]:
    async with node.app.router.lifespan_context(node.app):
        yield


@pytest.mark.parametrize("stream", [True, False])
def test_a_caller_that_leaves_stops_its_generation(
    tiny: IntegerModel, journal: Journal, held: HeldExecutor, stream: bool
) -> None:
    node = build_node(tiny, journal, generator=held)
    with served(node) as url:
        with httpx.Client(base_url=url, timeout=0.5 if not stream else 5) as client:
            if stream:
                with client.stream("POST", "/v1/completions", json=BODY | {"stream": True}) as answer:
                    assert next(answer.iter_lines()).startswith("data: ")
            else:
                with pytest.raises(httpx.ReadTimeout):
                    client.post("/v1/completions", json=BODY)
        until(lambda: held.ended == ["cancelled"])
        held.go.set()
        assert httpx.post(f"{url}/v1/completions", json=BODY).status_code == 200
    assert node.journal.response_count() == 1  # the abandoned answer was never committed


def test_an_abandoned_place_in_the_queue_is_free_again(tiny: IntegerModel, held: HeldExecutor) -> None:
    async def story() -> None:
        queue = InferenceQueue(held, 1)
        queue.start()
        first = queue.submit([65], 2)
        await asyncio.to_thread(held.begun.wait, 5)
        second = queue.submit([66], 2)
        second.cancel()
        third = queue.submit([67], 2)
        held.go.set()
        assert len([token async for token in first.tokens()]) == 2
        assert len([token async for token in third.tokens()]) == 2
        queue.close()

    asyncio.run(story())


def test_closing_cancels_what_runs(tiny: IntegerModel, held: HeldExecutor) -> None:
    async def story() -> None:
        queue = InferenceQueue(held, 4)
        queue.start()
        jobs = [queue.submit([65], 9) for _ in range(3)]
        await asyncio.to_thread(held.begun.wait, 5)
        await asyncio.to_thread(queue.close)
        for job in jobs:
            with pytest.raises(GenerationCancelledError):
                async for _ in job.tokens():
                    pass

    asyncio.run(story())


def test_out_of_range_is_422_naming_the_tensor(tiny: IntegerModel, journal: Journal) -> None:
    node = build_node(tiny, journal, generator=OverflowingExecutor(0))
    with TestClient(node.app) as client:
        for stream in (False, True):
            answer = client.post("/v1/completions", json=BODY | {"stream": stream})
            assert answer.status_code == 422
            error = answer.json()["error"]
            assert (error["tensor"], error["layer"], error["position"]) == ("gate", 3, 7)
    assert node.journal.response_count() == 0


def test_an_error_in_a_running_stream_ends_it_without_a_receipt(tiny: IntegerModel, journal: Journal) -> None:
    node = build_node(tiny, journal, generator=OverflowingExecutor(3))
    with TestClient(node.app) as client:
        answer = client.post("/v1/completions", json=BODY | {"stream": True})
        assert answer.status_code == 200
        last = json.loads(answer.text.strip().split("\n\n")[-1].removeprefix("data: "))
        assert last["error"]["code"] == "out_of_range" and "[DONE]" not in answer.text
    assert node.journal.response_count() == 0


def test_the_openai_client_works_unchanged(tiny: IntegerModel, journal: Journal) -> None:
    node = build_node(tiny, journal)
    with served(node) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0)
        messages: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
        raw = client.chat.completions.with_raw_response.create(
            model="tiny", messages=messages, max_tokens=6, temperature=0
        )
        whole = raw.parse()
        assert node.journal.find_response(raw.headers["x-gainsay-receipt"]) is not None
        pieces = list(
            client.chat.completions.create(
                model="tiny", messages=messages, max_tokens=6, stream=True,
                stream_options={"include_usage": True},
            )
        )  # fmt: skip
        text = "".join(c.choices[0].delta.content or "" for c in pieces if c.choices)
        assert text == whole.choices[0].message.content
        assert pieces[-1].usage is not None and pieces[-1].usage.completion_tokens >= 1
        extra = pieces[-1].model_extra or {}
        assert node.journal.find_response(extra["x_gainsay_receipt"]) is not None
        done = client.completions.create(model="tiny", prompt="Hello", max_tokens=3)
        assert done.choices[0].finish_reason in ("stop", "length")
        assert [card.id for card in client.models.list()] == ["tiny"]
        with pytest.raises(openai.BadRequestError, match="temperature, seed and min_p are offered"):
            client.chat.completions.create(model="tiny", messages=messages, temperature=1.0, top_p=0.5)
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="other", messages=messages)
