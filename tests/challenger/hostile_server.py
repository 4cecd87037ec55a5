"""An HTTP server that answers as badly as a test asks it to: raw bytes, dripped bytes, endless bytes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

#: What is written to the socket, chunk by chunk; the pieces may take their time.
Answer = Callable[[], Iterator[bytes]]


class HostileServer:
    """`answers` maps a path to what is sent for it; other paths get `fallback`."""

    def __init__(self, fallback: Answer | None = None) -> None:
        self.answers: dict[str, Answer] = {}
        self.fallback = fallback or raw(404, b"{}")
        self.requests: list[tuple[float, str]] = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                asked = connection.recv(1 << 16).split(b" ")
                path = asked[1].decode() if len(asked) > 1 else ""
                self.requests.append((time.monotonic(), path))
                for chunk in self.answers.get(path, self.fallback)():
                    connection.sendall(chunk)
            except OSError:
                return  # the challenger hung up, as it should


def raw(status: int, body: bytes, headers: str = "") -> Answer:
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return lambda: iter([head.encode(), body])


def dripped_body(pause_s: float = 2.0) -> Answer:
    """A promising head, then one byte every `pause_s`, for ever."""

    def answer() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"
        while True:
            yield b"["
            time.sleep(pause_s)

    return answer


def dripped_head(pause_s: float = 2.0) -> Answer:
    """Not even the head comes to an end."""

    def answer() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nx-slow: "
        while True:
            yield b"a"
            time.sleep(pause_s)

    return answer


def endless_body() -> Answer:
    def answer() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n\r\n"
        while True:
            yield b" " * (1 << 16)

    return answer


def interim_answers() -> Answer:
    """100 Continue, for ever."""

    def answer() -> Iterator[bytes]:
        while True:
            yield b"HTTP/1.1 100 Continue\r\n\r\n"
            time.sleep(0.01)

    return answer
