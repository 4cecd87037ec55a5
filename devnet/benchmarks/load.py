"""Clients that stream answers, and what a provider gives many of them beside one."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ..anvil import free_port
from ..errors import DevnetError

_VOCABULARY = 200
"""Prompts are ids below this, which every model has."""


@dataclass(frozen=True)
class Streamed:
    """One answer as a client saw it. status 200 and no receipt: it broke off. problem: why there is none."""

    status: int
    first_token_s: float = 0.0
    seconds: float = 0.0
    tokens: int = 0
    receipt: str | None = None
    problem: str = ""


def one_client(url: str, timeout: float) -> httpx.AsyncClient:
    """A client with one connection of its own. A pool that all share looks through all connections whenever an answer ends, and with
    hundreds of them that takes seconds in which nobody reads."""
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
    return httpx.AsyncClient(base_url=url, timeout=timeout, limits=limits, verify=False, trust_env=False)


async def stream_answer(client: httpx.AsyncClient, body: dict[str, Any]) -> Streamed:
    """POST /v1/completions with `stream`; what cannot be reached counts as status 0."""
    started = time.monotonic()
    first, tokens, receipt = 0.0, 0, None
    asked = body | {"stream": True, "stream_options": {"include_usage": True}}
    try:
        async with client.stream("POST", "/v1/completions", json=asked) as answer:
            if answer.status_code != 200:
                problem = (await answer.aread()).decode()
                return Streamed(answer.status_code, problem=problem)
            async for line in answer.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                first = first or time.monotonic() - started
                if '"x_gainsay_receipt"' in line:
                    event = json.loads(line[6:])
                    receipt = event["x_gainsay_receipt"]
                    tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
    except httpx.HTTPError as error:
        return Streamed(0, problem=repr(error))
    return Streamed(200, first, time.monotonic() - started, tokens, receipt)


def a_prompt(draw: random.Random, length: int) -> list[int]:
    """Token ids that no other prompt begins with, so that nothing of it stands in memory."""
    return [draw.randrange(1, _VOCABULARY) for _ in range(length)]


@contextmanager
def started(name: str, models: Path, at_once: int, queue_size: int) -> Iterator[tuple[str, int]]:
    """A chainless provider: its URL and process."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.chainless", name, str(models), str(port), str(at_once), str(queue_size)],
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise DevnetError(f"the provider of {name} did not start; the lines above say why")
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def measure_together(
    name: str, models: Path, counts: Sequence[int], prompt: int, tokens: int, answers: int
) -> list[dict[str, Any]]:
    """One row per number of clients that ask at the same time, each `answers` times, in one run by the same process.

    `times_one`: tokens per second beside the first row's; `times_one_by_cpu`: tokens per processor second beside it, which a busy
    machine changes less.
    """
    rows: list[dict[str, Any]] = []
    most = max(counts)
    with started(name, models, most, 2 * most) as (url, pid):
        draw = random.Random(1)
        asyncio.run(_ask(url, 1, 1, prompt, 4, draw))
        for count in counts:
            cpu, began = processor_seconds(pid), time.monotonic()
            found = asyncio.run(_ask(url, count, answers, prompt, tokens, draw))
            seconds, cpu = time.monotonic() - began, processor_seconds(pid) - cpu
            produced = sum(answer.tokens for answer in found)
            first = sorted(answer.first_token_s for answer in found)
            rows.append(
                {
                    "model": name,
                    "concurrent": count,
                    "answers": sum(answer.receipt is not None for answer in found),
                    "tokens_per_s": round(produced / seconds, 2),
                    "tokens_per_cpu_s": round(produced / max(cpu, 1e-9), 2),
                    "first_token_median_s": round(first[len(first) // 2], 3),
                    "first_token_p99_s": round(first[min(len(first) - 1, len(first) * 99 // 100)], 3),
                }
            )
            one = rows[0]
            rows[-1]["times_one"] = round(rows[-1]["tokens_per_s"] / one["tokens_per_s"], 2)
            rows[-1]["times_one_by_cpu"] = round(rows[-1]["tokens_per_cpu_s"] / one["tokens_per_cpu_s"], 2)
    return rows


async def _ask(
    url: str, count: int, answers: int, prompt: int, tokens: int, draw: random.Random
) -> list[Streamed]:
    async def one() -> list[Streamed]:
        async with one_client(url, timeout=600) as client:
            model = (await client.get("/v1/models")).json()["data"][0]["id"]
            bodies = (
                {"model": model, "prompt": a_prompt(draw, prompt), "max_tokens": tokens}
                for _ in range(answers)
            )
            return [await stream_answer(client, body) for body in bodies]

    return [answer for found in await asyncio.gather(*(one() for _ in range(count))) for answer in found]


def processor_seconds(pid: int) -> float:
    """Of all threads of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Memory of a process that is resident now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
