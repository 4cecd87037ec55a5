"""Many requests at once: fair turns, bounded waiting, places that are free at once, and the same answers as alone."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi.testclient import TestClient

from node.api.clients import network_of
from node.errors import QueueFullError
from node.fair_line import FairLine
from node.inference import InferenceQueue, Job
from prover.model.batch import batch_in_memory
from prover.model.errors import GenerationCancelledError, SequenceTooLongError
from prover.model.execute import Executor
from prover.model.weights import IntegerModel

from .conftest import LocalNode


@dataclass(eq=False)
class Waits:
    client: str
    tokens: int = 10
    cancelled: bool = False


def serve_all(line: FairLine[Waits], count: int) -> list[str]:
    served = []
    for _ in range(count):
        job = line.next()
        assert job is not None
        line.take(job, job.tokens)
        served.append(job.client)
        line.leave(job)
    return served


def test_turns_go_by_what_was_served_not_by_how_much_is_asked() -> None:
    line: FairLine[Waits] = FairLine(100)
    for client, requests, tokens in (("many", 40, 10), ("few", 4, 10), ("long", 4, 40)):
        for _ in range(requests):
            line.put(Waits(client, tokens))
    first = Counter(serve_all(line, 9))
    assert first["few"] == 4 and first["long"] == 1 and first["many"] == 4
    assert len(line) == 39


def test_having_been_away_earns_no_turns() -> None:
    line: FairLine[Waits] = FairLine(100)
    for _ in range(30):
        line.put(Waits("here"))
    serve_all(line, 20)
    for _ in range(10):
        line.put(Waits("new"))
    assert Counter(serve_all(line, 10)) == {"here": 5, "new": 5}


def test_one_that_fills_the_line_keeps_nobody_out_and_loses_its_newest() -> None:
    line: FairLine[Waits] = FairLine(4)
    theirs = [Waits("many") for _ in range(4)]
    for job in theirs:
        assert line.put(job) is None
    assert not line.has_room("many") and line.has_room("one")
    assert line.put(Waits("one")) is theirs[3]
    assert line.put(Waits("one")) is theirs[2]
    assert not line.has_room("one") and line.has_room("another")
    theirs[0].cancelled = True
    assert line.clear_cancelled() == [theirs[0]] and line.has_room("many")


def test_a_line_that_is_empty_again_remembers_nobody() -> None:
    line: FairLine[Waits] = FairLine(4)
    for number in range(100):
        line.put(Waits(f"client {number}", tokens=number))
        serve_all(line, 1)
    assert not line._served and not line._present and not line._lines


def together(model: IntegerModel, capacity: int, places: int, memory: int = 1 << 22) -> InferenceQueue:
    executor = Executor(model)
    return InferenceQueue(executor, capacity, batch_in_memory(executor, memory, places), places)


async def answer(job: Job) -> list[int] | Exception:
    try:
        return [token async for token in job.tokens()]
    except Exception as error:
        return error


def test_whoever_comes_and_leaves_everybody_gets_the_answer_that_is_its_own(tiny: IntegerModel) -> None:
    draw = random.Random(7)
    wanted = [
        ([draw.randrange(200) for _ in range(draw.randrange(1, 60))], draw.randrange(1, 12))
        for _ in range(24)
    ]

    async def story() -> list[list[int] | Exception]:
        queue = together(tiny, 100, 4)
        queue.start()
        jobs, answers = [], []
        for number, (prompt, tokens) in enumerate(wanted):
            jobs.append(queue.submit(prompt, tokens, client=f"{number % 3}", scope=b"all"))
            answers.append(asyncio.ensure_future(answer(jobs[-1])))
            if number % 6 == 5:
                jobs[-1].cancel()
            await asyncio.sleep(draw.choice([0, 0.003]))
        found = await asyncio.gather(*answers)
        queue.close()
        assert queue.running == queue.waiting == 0 and queue.blocks_used == 0
        return list(found)

    executor = Executor(tiny)
    for number, found in enumerate(asyncio.run(story())):
        prompt, tokens = wanted[number]
        right = executor.generate(prompt, tokens).ids
        assert found == right or (number % 6 == 5 and isinstance(found, GenerationCancelledError))


def test_a_full_line_is_refused_and_a_newcomer_takes_the_place_of_the_newest(tiny: IntegerModel) -> None:
    async def story() -> None:
        queue = together(tiny, 3, 1)  # not started: everything waits
        theirs = [queue.submit([1], 2, client="many") for _ in range(3)]
        with pytest.raises(QueueFullError, match="3 requests are waiting already; try again in"):
            queue.submit([1], 2, client="many")
        one = queue.submit([2], 2, client="one")
        assert isinstance(await answer(theirs[2]), QueueFullError)
        queue.start()
        assert [len(await answer(job)) for job in (*theirs[:2], one)] == [2, 2, 2]  # type: ignore[arg-type]
        await asyncio.to_thread(queue.close)

    asyncio.run(story())


def test_a_long_prompt_does_not_stop_the_others_and_a_client_with_every_place_leaves_some(
    tiny: IntegerModel,
) -> None:
    async def story() -> None:
        queue = together(tiny, 50, 4)
        long = [queue.submit([3] * 200, 50, client="long") for _ in range(12)]
        queue.start()
        while not queue.running:
            await asyncio.sleep(0.001)
        short = queue.submit([4], 1, client="short")
        assert len(await answer(short)) == 1  # type: ignore[arg-type]
        assert sum(job._result is None for job in long) >= 8, "the short one had to wait for the long ones"
        for job in long:
            job.cancel()
        await asyncio.gather(*map(answer, long))
        await asyncio.to_thread(queue.close)

    asyncio.run(story())


@pytest.mark.parametrize(("sequence_s", "together_at_most"), [(0.001, 40), (1 / 35, 35), (1.0, 32)])
def test_more_than_a_few_dozen_join_only_while_everybodys_next_token_comes_soon(
    tiny: IntegerModel, monkeypatch: pytest.MonkeyPatch, sequence_s: float, together_at_most: int
) -> None:
    async def story() -> None:
        queue = together(tiny, 100, 40)
        batch: Any = queue._batch
        step, present = batch.step, []

        def watched(rows: int) -> Any:
            present.append(len(batch.running))
            return step(rows)

        monkeypatch.setattr(batch, "step", watched)
        monkeypatch.setattr(queue, "_note_pace", lambda *_: None)
        queue._seconds_per_sequence = sequence_s
        crowd = [queue.submit([1, 2], 6, client="crowd") for _ in range(60)]
        queue.start()
        newcomer = queue.submit([3], 1, client="newcomer")
        assert len(await answer(newcomer)) == 1  # type: ignore[arg-type]
        assert sum(job._result is None for job in crowd) >= 60 - together_at_most - 1
        assert all(len(found) == 6 for found in await asyncio.gather(*map(answer, crowd)))  # type: ignore[arg-type]
        assert together_at_most <= max(present) <= together_at_most + 1  # the newcomer has a place of its own
        await asyncio.to_thread(queue.close)

    asyncio.run(story())


def test_what_can_never_fit_is_refused_and_stops_nobody(tiny: IntegerModel) -> None:
    async def story() -> None:
        queue = together(tiny, 5, 2, memory=1)  # one whole context, as always
        queue.start()
        most = tiny.config.max_positions
        assert isinstance(await answer(queue.submit([1] * most, 2)), SequenceTooLongError)
        whole = [
            queue.submit([1] * (most - 3), 4) for _ in range(2)
        ]  # each takes all the memory: one after the other
        assert all(isinstance(found, list) for found in await asyncio.gather(*map(answer, whole)))
        await asyncio.to_thread(queue.close)

    asyncio.run(story())


def test_a_fault_of_a_pass_ends_what_runs_and_not_the_queue(
    tiny: IntegerModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        queue = together(tiny, 5, 2)
        queue.start()
        step: Any = queue._batch.step  # type: ignore[union-attr]

        def breaks(rows: int) -> None:
            monkeypatch.setattr(queue._batch, "step", step)
            raise MemoryError("no memory")

        monkeypatch.setattr(queue._batch, "step", breaks)
        assert isinstance(await answer(queue.submit([1], 3)), MemoryError)
        assert isinstance(await answer(queue.submit([1], 3)), list)
        await asyncio.to_thread(queue.close)

    asyncio.run(story())


def test_a_prompt_that_was_sent_before_is_not_run_again_and_only_for_who_sent_it(
    client: TestClient, node: LocalNode
) -> None:
    batch = node.service.queue._batch
    assert batch is not None
    body = {"model": "tiny", "prompt": list(range(100)), "max_tokens": 2}

    def reused(key: str) -> int:
        before = batch.reused_rows
        answer = client.post("/v1/completions", json=body, headers={"authorization": f"Bearer {key}"})
        assert answer.status_code == 200
        return batch.reused_rows - before

    assert [reused("one"), reused("one"), reused("two"), reused("two")] == [0, 96, 0, 96]
    node.service.shares_prompts = False
    assert reused("one") == 0


@pytest.mark.parametrize(
    ("host", "share"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
    ],
)
def test_an_address_stands_for_its_customer(host: str, share: str) -> None:
    assert network_of(host) == share
