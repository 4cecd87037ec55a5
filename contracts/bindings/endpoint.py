"""One RPC endpoint over HTTP: a request ends in time, whatever the other side does."""

from __future__ import annotations

import io
import json
import socket
import ssl
import threading
import time
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from prover.foreign_json import ForeignJsonError, Limits, read_json

_ANSWER_LIMITS = Limits(bytes=64 * 2**20)  # the logs of a thousand full proofs stay far below this
_LONGEST_CONNECT_S = 3.0
_now = threading.local()  # .deadline of the request that this thread makes


class EndpointFailed(Exception):
    """No JSON-RPC answer came. `status` is the HTTP status, if there was one."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class Endpoint:
    """Sends JSON-RPC requests to one URL. May be used by several threads."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._pool = _pool_for(url)
        self._headers = {"Content-Type": "application/json", "User-Agent": "gainsay"}
        if (parts := urlsplit(url)).username is not None:
            self._headers |= urllib3.make_headers(basic_auth=f"{parts.username}:{parts.password or ''}")

    @property
    def shown_url(self) -> str:
        """The URL without what may be a key in it: user, password and query."""
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"

    def request(self, method: str, parameters: list[object], timeout_s: float) -> dict[str, Any]:
        """The JSON-RPC answer, within `timeout_s` from now on. Raises `EndpointFailed`."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
        _now.deadline = time.monotonic() + timeout_s
        timeout = urllib3.Timeout(connect=min(timeout_s, _LONGEST_CONNECT_S), read=timeout_s)
        try:
            response = self._pool.request(
                "POST",
                self.url,
                body=body,
                headers=self._headers,
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            with response:
                content = _read(response)
                response.release_conn()
        except (HTTPError, OSError, ValueError) as error:
            reason = "it took too long" if time.monotonic() >= _now.deadline else " ".join(str(error).split())
            raise EndpointFailed(reason) from error
        return _decode(content, response.status)


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    received = bytearray()
    for chunk in response.stream(2**16):
        received += chunk
        if len(received) > _ANSWER_LIMITS.bytes:
            raise ValueError(f"its answer is longer than {_ANSWER_LIMITS.bytes} bytes")
    return bytes(received)


def _decode(content: bytes, status: int) -> dict[str, Any]:
    """Nodes put JSON-RPC errors into HTTP errors, too."""
    try:
        answer = read_json(content, what="the endpoint's answer", limits=_ANSWER_LIMITS)
    except ForeignJsonError:
        answer = None
    if isinstance(answer, dict) and ("result" in answer or answer.get("error") is not None):
        return answer
    if status != 200:
        raise EndpointFailed(f"HTTP status {status}", status)
    raise EndpointFailed("its answer is no JSON-RPC")


# --- connections that end at the deadline. A timeout of a socket is one of each read: a byte now and then would
# --- keep it waiting for ever.


class _DeadlineSocket:
    def __init__(self, plain: socket.socket) -> None:
        self._plain = plain

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def _arm(self) -> None:
        left = _now.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._plain.settimeout(left)

    def sendall(self, data: Any, *arguments: Any) -> None:
        self._arm()
        self._plain.sendall(data, *arguments)

    def recv_into(self, *arguments: Any) -> int:
        self._arm()
        return self._plain.recv_into(*arguments)

    def makefile(self, mode: str = "rb", *_: Any, **__: Any) -> io.BufferedReader:
        # As `socket.makefile`, but reading through this object.
        self._plain._io_refs += 1  # type: ignore[attr-defined]
        return io.BufferedReader(socket.SocketIO(self, "rb"))  # type: ignore[arg-type]


class _HttpConnection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        self.sock = _DeadlineSocket(self.sock)


class _HttpsConnection(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self.sock = _DeadlineSocket(self.sock)


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


def _pool_for(url: str) -> urllib3.PoolManager:
    parts = urlsplit(url)
    trusted = ssl.create_default_context()
    trusted.load_verify_locations(certifi.where())  # beside the system's, which a container may lack
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and parts.hostname and not urllib.request.proxy_bypass(parts.hostname):
        pool: urllib3.PoolManager = urllib3.ProxyManager(proxy, maxsize=16, ssl_context=trusted)
    else:
        pool = urllib3.PoolManager(maxsize=16, ssl_context=trusted)
    pool.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return pool
