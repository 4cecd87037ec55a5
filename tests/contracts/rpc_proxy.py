"""An RPC endpoint between a program and a real chain: slow, limited, lagging, frozen or lying, as a test wants it."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = dict[str, Any]
#: (method, parameters) -> a JSON-RPC body of its own, an HTTP status, or None: what the chain says.
Script = Callable[[str, list[Any]], Answer | int | None]


def error(message: str, code: int = -32000) -> Answer:
    """A JSON-RPC error."""
    return {"error": {"code": code, "message": message}}


@dataclass
class RpcProxy:
    """Counts requests and passes them on, `latency_s` later; `script` may answer in the chain's place."""

    chain_url: str
    url: str = ""
    latency_s: float = 0.0
    drip_s: float = 0.0  # between two bytes of an answer
    frozen: threading.Event = field(default_factory=threading.Event)
    script: Script = lambda method, parameters: None
    requests: list[tuple[str, list[Any]]] = field(default_factory=list)

    def answer(self, body: bytes) -> tuple[int, bytes]:
        asked = json.loads(body)
        self.requests.append((asked["method"], asked["params"]))
        time.sleep(self.latency_s)
        own = self.script(asked["method"], asked["params"])
        if isinstance(own, int):
            return own, b"<html>no</html>"
        if own is not None:
            return 200, json.dumps({"jsonrpc": "2.0", "id": asked["id"], **own}).encode()
        request = urllib.request.Request(self.chain_url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return 200, answer.read()

    def methods(self) -> list[str]:
        return [method for method, _ in self.requests]


@contextmanager
def rpc_proxy(chain_url: str, latency_s: float = 0.0) -> Iterator[RpcProxy]:
    """A proxy that listens until the context ends."""
    proxy = RpcProxy(chain_url, latency_s=latency_s)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            while proxy.frozen.is_set():
                time.sleep(0.05)
            status, content = proxy.answer(body)
            head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
            message = head.encode() + content
            try:
                if not proxy.drip_s:
                    self.wfile.write(message)
                    return
                for byte in message:
                    self.wfile.write(bytes([byte]))
                    time.sleep(proxy.drip_s)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            pass

        def server_bind(self) -> None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            super().server_bind()

    server = Server(("127.0.0.1", 0), Handler)
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.frozen.clear()
        server.shutdown()
        server.server_close()
