"""Strangers who open thousands of connections, send forever or send the longest bodies do not stop a started provider."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from contracts.bindings.deployment import Deployment
from devnet.anvil import free_port
from node.api.connections import bounded_protocol
from node.serving import CommittedServing
from tests.contracts.local_chain import LocalChain
from tests.node.test_hostile_requests import post
from tests.node.test_provider_command import Command

UNFINISHED = b"POST /v1/completions HTTP/1.1\r\nhost: provider\r\ncontent-length: 2000000\r\n\r\n["


@pytest.mark.long
def test_a_provider_outlives_connections_and_bodies(
    tmp_path: Path, local_chain: LocalChain, deployment: Deployment, serving: CommittedServing
) -> None:
    command = Command(tmp_path, local_chain, deployment, account=8)
    with command.serving(deposit="500") as process:
        command.ask("before")
        _survives_connections(command, process.pid)
        _survives_long_prompts(command)
        assert process.poll() is None
        assert command.figure("gainsay_answers_reserved") == 0
        assert len(command.log()) < 100_000, "what a stranger sends fills the disk"


def _survives_connections(command: Command, pid: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (900, 900))  # many systems allow 1,024
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ExitStack() as opened:
        for number in range(1500):
            connection = socket.create_connection(("127.0.0.1", command.port), timeout=20)
            opened.enter_context(connection)
            connection.sendall(UNFINISHED[: 10 + number % len(UNFINISHED)])
        started = time.monotonic()
        command.ask("while 1,500 connections are open")
        assert time.monotonic() - started < 10
        command.wait_until(lambda: command.unready() is None, 10)
        assert len(os.listdir(f"/proc/{pid}/fd")) < 800


def _survives_long_prompts(command: Command) -> None:
    wrong = json.dumps({"model": "tiny", "prompt": [{}] * 300_000}).encode()
    digits = json.dumps({"model": "tiny", "prompt": "1" * 700_000}).encode()
    unknown = json.dumps({"model": "tiny", "prompt": "a"} | {f"a{i}": 1 for i in range(150_000)}).encode()

    def send(body: bytes) -> tuple[int, Any]:
        return post(command.port, "/v1/completions", body, announced=len(body))

    with ThreadPoolExecutor(8) as senders:
        answers = [senders.submit(send, body) for body in (wrong, digits, unknown, wrong, digits)]
        longest = 0.0
        while not all(answer.done() for answer in answers):
            started = time.monotonic()
            command.ask("short")
            longest = max(longest, time.monotonic() - started)
            time.sleep(0.2)
    assert longest < 5, longest
    for answer in answers:
        status, body = answer.result()
        assert status in (400, 429) and len(body["error"]["message"]) < 300, body


@contextmanager
def _server(most: int, seconds: float) -> Iterator[tuple[str, int]]:
    """A started server whose /slow takes three times `seconds`, and whose /long has 131 MB."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        while (await receive()).get("more_body"):
            pass
        if scope["path"] == "/slow":
            await asyncio.sleep(3 * seconds)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(2_000 if scope["path"] == "/long" else 0):
            await send({"type": "http.response.body", "body": b"a" * 65536, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"whole"})

    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(
            app, port=port, http=bounded_protocol(most, seconds, seconds), lifespan="off", log_level="error",
            timeout_graceful_shutdown=1,
        )
    )  # fmt: skip
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}", port
    finally:
        server.should_exit = True
        thread.join(10)


def _closed_within(connection: socket.socket, seconds: float) -> bool:
    connection.settimeout(seconds)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def _received(connection: socket.socket) -> int:
    """Bytes until the other side ends or breaks off."""
    count = 0
    try:
        while block := connection.recv(1 << 20):
            count += len(block)
    except ConnectionError:
        pass
    return count


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /",
        UNFINISHED,
        *(pytest.param(sent, marks=pytest.mark.long) for sent in (b"", UNFINISHED.replace(b"POST", b"GET"))),
    ],
)
def test_a_request_that_never_ends_is_given_up_and_a_slow_answer_is_not(sent: bytes) -> None:
    with _server(10, 0.5) as (url, port), socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(sent)
        assert httpx.get(f"{url}/slow", timeout=10).text == "whole"
        assert _closed_within(connection, 0.5)


def test_bytes_that_trickle_do_not_prolong_a_request() -> None:
    with _server(10, 1.0) as (_, port), socket.create_connection(("127.0.0.1", port)) as connection:
        started = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - started < 5:
                connection.sendall(b"P")
                time.sleep(0.1)
        assert time.monotonic() - started < 3


def test_a_connection_may_rest_between_requests_and_the_next_one_has_its_own_time() -> None:
    """Whoever sends on a connection must be the one that ends it, or a request is lost in between."""
    with _server(10, 0.5) as (url, port), httpx.Client(base_url=url) as client:
        assert client.get("/").text == "whole"
        time.sleep(1.5)
        assert client.get("/").text == "whole"
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            answer = b""
            while not answer.endswith(b"0\r\n\r\n"):
                answer += connection.recv(1 << 16)
            assert not _closed_within(connection, 1.5), "no client could use it again"
            connection.sendall(b"GET /")
            assert _closed_within(connection, 1.5)


def test_an_answer_that_nobody_reads_is_given_up() -> None:
    with _server(10, 0.5) as (_, port), socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /long HTTP/1.1\r\nhost: a\r\n\r\n")
        time.sleep(2)
        connection.settimeout(5)
        assert _received(connection) < 2_000 * 65536


def _get(port: int, path: str, source: str) -> str:
    """From an address of this machine."""
    with httpx.Client(transport=httpx.HTTPTransport(local_address=source), timeout=20) as client:
        return client.get(f"http://127.0.0.1:{port}{path}").text


def test_attack_one_address_that_fills_the_server_with_requests_keeps_nobody_out() -> None:
    """All its connections have answers under way, so none is idle; it loses the newest of them, and its own next one."""
    with _server(4, 1) as (_, port), ThreadPoolExecutor(8) as senders:
        slow = [senders.submit(_get, port, "/slow", "127.0.0.1") for _ in range(4)]
        time.sleep(0.7)
        with pytest.raises(httpx.HTTPError):
            _get(port, "/quick", "127.0.0.1")
        assert _get(port, "/quick", "127.0.0.2") == "whole"
        assert _get(port, "/quick", "127.0.0.3") == "whole"
        ended = [one.exception() is None and one.result() == "whole" for one in slow]
        assert ended.count(True) == 3, "one made room, for both"


def test_of_many_addresses_the_longest_idle_connection_makes_room() -> None:
    with _server(3, 30) as (_, port), ExitStack() as opened:
        idle = [
            opened.enter_context(
                socket.create_connection(("127.0.0.1", port), source_address=(f"127.0.0.{2 + number}", 0))
            )
            for number in range(3)
        ]
        time.sleep(0.2)
        assert _get(port, "/quick", "127.0.0.9") == "whole"
        assert _closed_within(idle[0], 1) and not _closed_within(idle[2], 0.2)


def test_the_longest_idle_connection_makes_room() -> None:
    with _server(3, 30) as (url, port), ExitStack() as opened:
        idle = [opened.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(3)]
        time.sleep(0.2)
        assert httpx.get(url).text == "whole"
        assert _closed_within(idle[0], 1) and not _closed_within(idle[2], 0.2)
        many = [opened.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(50)]
        time.sleep(0.2)
        assert sum(not _closed_within(connection, 0.01) for connection in many) <= 3
        assert httpx.get(url).text == "whole"
