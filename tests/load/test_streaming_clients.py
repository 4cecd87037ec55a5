"""Many clients that stream from a started provider on a chain: no receipt is lost, every batch is posted, memory stays flat.

    GAINSAY_LOAD_SECONDS=600 GAINSAY_LOAD_CLIENTS=200 python -m pytest -n 0 -m long -s tests/load

Half a minute with 40 clients unless the environment says otherwise. Prints tokens per second, times to the first token and memory; times are not
asserted, since they say as much about the machine's other work.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from contracts.bindings.deployment import Deployment
from devnet.benchmarks.load import Streamed, a_prompt, one_client, resident_mib, stream_answer
from node.serving import CommittedServing
from tests.contracts.local_chain import LocalChain
from tests.node.test_provider_command import Command

_SECONDS = float(os.environ.get("GAINSAY_LOAD_SECONDS", "30"))
_CLIENTS = int(os.environ.get("GAINSAY_LOAD_CLIENTS", "40"))
_LEAVE = 0.05
"""Share of the requests whose client leaves in the middle."""
_GROWTH_MIB = 64
"""Memory may grow by so much after the first third: caches that are full by then grow no more."""


@dataclass
class Seen:
    """What all clients saw."""

    answers: list[Streamed] = field(default_factory=list)
    left: int = 0
    memory: list[float] = field(default_factory=list)


@pytest.mark.long
def test_streaming_clients_lose_no_receipt(
    tmp_path: Path,
    local_chain: LocalChain,
    deployment: Deployment,
    serving: CommittedServing,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = Command(tmp_path, local_chain, deployment, account=7)
    # No answer becomes final meanwhile, so stake for all of them: twice what this machine answers in a second, each a lock of half an ether.
    local_chain.chain.request("anvil_setBalance", [command.chain_arguments[-1], hex(10**24)])
    deposit = str(max(5000, round(100 * _SECONDS)))
    command.settings |= {"GAINSAY_QUEUE_SIZE": str(2 * _CLIENTS), "GAINSAY_BATCH_SIZE": "1024"}
    with command.serving(deposit=deposit) as process:
        seen = asyncio.run(_load(command, process.pid))
        answered = [answer for answer in seen.answers if answer.status == 200]
        statuses = Counter(answer.status for answer in seen.answers)
        with capsys.disabled():
            _tell(seen, answered, statuses)
        assert answered and set(statuses) <= {200, 429, 503}, statuses
        assert all(answer.receipt is not None for answer in answered), "a stream ended without its receipt"
        receipts = [answer.receipt for answer in answered]
        assert len(set(receipts)) == len(receipts)
        assert process.poll() is None
        command.wait_until(lambda: command.figure("gainsay_responses_unposted") == 0, 60)
        assert command.figure("gainsay_answers_reserved") == 0
        assert command.figure("gainsay_sequences_running") == command.figure("gainsay_cache_used") == 0
        with httpx.Client(base_url=f"http://127.0.0.1:{command.port}", timeout=30) as client:
            for receipt in random.Random(1).sample(receipts, min(200, len(receipts))):
                found = client.get(f"/v1/receipts/{receipt}")
                assert found.status_code == 200 and found.json()["receipt"]
        assert "step failed" not in command.log()
        third = len(seen.memory) // 3
        assert max(seen.memory[third:]) - seen.memory[third] < _GROWTH_MIB, seen.memory


async def _load(command: Command, pid: int) -> Seen:
    seen, until = Seen(), time.monotonic() + _SECONDS

    async def one(number: int) -> None:
        draw = random.Random(number)
        async with one_client(f"http://127.0.0.1:{command.port}", timeout=120) as client:
            while time.monotonic() < until:
                body = {
                    "model": "tiny",
                    "prompt": a_prompt(draw, draw.randrange(1, 60)),
                    "max_tokens": draw.randrange(4, 24),
                }
                if draw.random() < _LEAVE:
                    await _leave(client, body)
                    seen.left += 1
                    continue
                answer = await stream_answer(client, body)
                seen.answers.append(answer)
                if answer.status != 200:
                    await asyncio.sleep(1)

    async def watch() -> None:
        while time.monotonic() < until:
            seen.memory.append(resident_mib(pid))
            await asyncio.sleep(_SECONDS / 30)

    await asyncio.gather(watch(), *(one(number) for number in range(_CLIENTS)))
    return seen


async def _leave(client: httpx.AsyncClient, body: dict[str, object]) -> None:
    try:
        async with client.stream("POST", "/v1/completions", json=body | {"stream": True}) as answer:
            async for _ in answer.aiter_lines():
                return
    except httpx.HTTPError:
        return


def _tell(seen: Seen, answered: list[Streamed], statuses: Counter[int]) -> None:
    first = sorted(answer.first_token_s for answer in answered)
    tokens = sum(answer.tokens for answer in answered)
    problems = Counter(answer.problem for answer in seen.answers if answer.problem)
    print(
        f"\n{_CLIENTS} clients, {_SECONDS:.0f} s: {len(answered)} answers ({seen.left} clients left), {tokens / _SECONDS:.0f} tokens/s, "
        f"first token median {first[len(first) // 2]:.2f} s, p99 {first[len(first) * 99 // 100]:.2f} s, statuses {dict(statuses)}, "
        f"problems {dict(problems)}, load {os.getloadavg()[0]:.1f}, MiB over time: {' '.join(f'{mib:.0f}' for mib in seen.memory)}"
    )
