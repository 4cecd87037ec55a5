"""GET and POST over HTTP to a stranger: one deadline for everything, a byte budget, no redirects, no compression.

A timeout per read is no bound: one byte every two seconds, of the headers too, keeps such a request for ever. Here the
whole request, name resolution and connecting included, is cancelled at its deadline.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import ssl
import threading

import httpx

_READ_S = 10.0
_GRACE_S = 2.0


class FetchFailed(Exception):
    """Nothing usable came back; the text is plain ASCII and short, whatever the stranger sent."""


class BoundedFetcher:
    """Requests run on one event loop in a thread of its own; `get` may be called from many threads."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._trust = ssl.create_default_context()
        self._running: set[concurrent.futures.Future[tuple[int, bytes]]] = set()
        threading.Thread(target=self._loop.run_forever, name="http", daemon=True).start()

    def get(self, url: str, *, within_s: float, at_most_bytes: int) -> bytes:
        """The body of a 200 answer. Raises `FetchFailed`, at the latest `within_s` (and a little) after the call."""
        status, body = self._within("GET", url, None, within_s, at_most_bytes)
        if status != 200:
            raise FetchFailed(f"status {status}")
        return body

    def post(self, url: str, content: bytes, *, within_s: float, at_most_bytes: int) -> tuple[int, bytes]:
        """Status and body of the answer to JSON, whatever the status. Raises `FetchFailed` like `get`."""
        return self._within("POST", url, content, within_s, at_most_bytes)

    def _within(
        self, method: str, url: str, content: bytes | None, within_s: float, at_most_bytes: int
    ) -> tuple[int, bytes]:
        if within_s <= 0:
            raise FetchFailed("no time is left for it")
        asked = self._ask(method, url, content, within_s, at_most_bytes)
        future = asyncio.run_coroutine_threadsafe(asked, self._loop)
        self._running.add(future)
        try:
            return future.result(within_s + _GRACE_S)
        except (TimeoutError, concurrent.futures.TimeoutError) as error:
            future.cancel()
            raise FetchFailed(f"the answer was not complete within {within_s:.0f} s") from error
        except FetchFailed:
            raise
        except Exception as error:
            # Whatever a transport library raises about a hostile answer is the stranger's fault.
            raise FetchFailed(
                f"{type(error).__name__}: {error}".encode("ascii", "replace").decode()[:200]
            ) from error
        finally:
            self._running.discard(future)

    def interrupt(self) -> None:
        """Every request that runs now fails at once."""
        for future in list(self._running):
            future.cancel()

    async def _ask(
        self, method: str, url: str, content: bytes | None, within_s: float, at_most_bytes: int
    ) -> tuple[int, bytes]:
        # A client per request: nothing that one stranger sends (cookies, say) is kept for the next.
        async with (
            asyncio.timeout(within_s),
            httpx.AsyncClient(
                timeout=min(_READ_S, within_s), follow_redirects=False, verify=self._trust
            ) as client,
            client.stream(
                method,
                url,
                content=content,
                headers={"accept-encoding": "identity"}
                | ({} if content is None else {"content-type": "application/json"}),
            ) as answer,
        ):
            if content is None and answer.status_code != 200:
                return answer.status_code, b""
            if answer.headers.get("content-encoding", "identity").lower() != "identity":
                raise FetchFailed("the answer is compressed though that was declined")
            body = bytearray()
            async for chunk in answer.aiter_raw(1 << 16):
                body += chunk
                if len(body) > at_most_bytes:
                    raise FetchFailed(f"the answer has more than {at_most_bytes} bytes")
            return answer.status_code, bytes(body)


_shared: BoundedFetcher | None = None
_shared_lock = threading.Lock()


def shared_fetcher() -> BoundedFetcher:
    """The process's fetcher."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = BoundedFetcher()
        return _shared
