"""No request ends a running provider: hostile bodies through raw sockets on every POST route."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path
from typing import Any

from contracts.bindings.deployment import Deployment
from node.serving import CommittedServing
from tests.contracts.local_chain import LocalChain
from tests.hostile_json import HOSTILE
from tests.node.test_provider_command import Command

ROUTES = ("/v1/completions", "/v1/chat/completions")


def post(port: int, path: str, body: bytes, *, headers: bytes = b"", announced: int | None = None) -> Any:
    """(status, parsed answer) of one request. Whoever goes on sending what was refused may lose the answer to a reset."""
    for _ in range(9):
        with contextlib.suppress(ConnectionResetError):
            return post_once(port, path, body, headers, announced)
    return post_once(port, path, body, headers, announced)


def post_once(port: int, path: str, body: bytes, headers: bytes, announced: int | None) -> Any:
    """The same over one socket of our own."""
    length = b"" if announced is None else b"content-length: %d\r\n" % announced
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(
            b"POST " + path.encode() + b" HTTP/1.1\r\nhost: provider\r\nconnection: close\r\n"
            b"content-type: application/json\r\n" + length + headers + b"\r\n"
        )
        with contextlib.suppress(OSError):  # refused before the end: the answer is there all the same
            connection.sendall(body)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(content)


def test_a_provider_survives_every_body(
    tmp_path: Path, local_chain: LocalChain, deployment: Deployment, serving: CommittedServing
) -> None:
    command = Command(tmp_path, local_chain, deployment, account=7)
    with command.serving() as process:
        for route in ROUTES:
            for name, body in HOSTILE.items():
                status, answer = post(command.port, route, body, announced=len(body))
                assert status == 400, (route, name, answer)
                assert answer["error"]["type"] == "invalid_request_error", (name, answer)
                assert "the body" in answer["error"]["message"], (name, answer)
                assert len(answer["error"]["message"]) < 300, name
            status, answer = post(command.port, route, b"[", announced=50 * 2**20)
            assert (status, answer["error"]["code"]) == (413, "body_too_long")
        chunks = b"10000\r\n" + b"[" * 65536 + b"\r\n"
        status, answer = post(command.port, ROUTES[0], chunks * 33, headers=b"transfer-encoding: chunked\r\n")
        assert (status, answer["error"]["code"]) == (413, "body_too_long")
        assert process.poll() is None
        resident = Path(f"/proc/{process.pid}/statm")
        if resident.exists():
            pages = int(resident.read_text().split()[1])
            assert pages * os.sysconf("SC_PAGESIZE") < 4 * 2**30
        assert command.ask("still there")
