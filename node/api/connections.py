"""The API's connections, bounded in number and in time.

A connection is a file of this process, and so is everything that posting and defending needs: journals, sockets to
the chain, proofs. Whoever opens thousands of connections, sends a byte a minute or never reads an answer must not take
the last of them, so the longest idle one makes room for the next, and each step of a request has its time.
"""

from __future__ import annotations

import asyncio
import resource

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 512
# What the rest of the node may have open, and what can be accepted in one turn of the event loop, before anything is closed.
_RESERVED_FILES = 256
BACKLOG = 128
# Until a request has arrived whole, and until an answer that nobody reads is given up.
REQUEST_SECONDS = 60.0
UNREAD_SECONDS = 60.0
# Of a connection between two requests. Longer than clients and proxies keep theirs (5 s in httpx, 60 s in nginx): whoever ends it must be
# the side that sends on it, or a request meets a connection that is just being closed, and is lost.
IDLE_SECONDS = 75


def most_connections() -> int:
    """As many as the limit of open files leaves room for; that limit is raised as far as this process may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + BACKLOG + _RESERVED_FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(MOST_CONNECTIONS, soft // 4 if soft < wanted else MOST_CONNECTIONS))


def bounded_protocol(
    most: int, request_seconds: float = REQUEST_SECONDS, unread_seconds: float = UNREAD_SECONDS
) -> type[H11Protocol]:
    """uvicorn's protocol with at most `most` connections at a time, all limits shared by one server."""
    # In the order in which they began; only these can be closed for others, not those whose answer is being made.
    waiting: dict[H11Protocol, None] = {}
    unread: dict[H11Protocol, None] = {}

    class BoundedProtocol(H11Protocol):
        """One connection: it waits for a request, has its answer made, and has it read."""

        _is_idle = False
        _request_deadline: asyncio.TimerHandle | None = None
        _unread_deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._wait_for_request()
            if len(self.connections) > most:
                longest = next(iter(waiting or unread))
                waiting.pop(longest, None)  # at once: the next one may come before this one is gone
                unread.pop(longest, None)
                longest.transport.abort()

        def data_received(self, data: bytes) -> None:
            if self._is_idle:
                self._wait_for_request()
            super().data_received(data)
            self._look_for_request()

        def on_response_complete(self) -> None:
            self._wait_for_request()
            self._stay_idle()
            super().on_response_complete()  # which begins with a request that came meanwhile, and ends an idle connection in time
            self._look_for_request()

        def pause_writing(self) -> None:
            super().pause_writing()
            unread[self] = None
            self._unread_deadline = self.loop.call_later(unread_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            self._end_unread()
            super().resume_writing()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end_waiting()
            self._end_unread()
            super().connection_lost(exc)

        def _wait_for_request(self) -> None:
            self._end_waiting()
            self._is_idle = False
            if not self.transport.is_closing():
                waiting[self] = None
                self._request_deadline = self.loop.call_later(request_seconds, self.transport.abort)

        def _stay_idle(self) -> None:
            """Nothing of a request came yet: its time begins with its first byte."""
            self._is_idle = True
            if self._request_deadline is not None:
                self._request_deadline.cancel()

        def _look_for_request(self) -> None:
            if self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete:
                self._end_waiting()

        def _end_waiting(self) -> None:
            waiting.pop(self, None)
            if self._request_deadline is not None:
                self._request_deadline.cancel()

        def _end_unread(self) -> None:
            unread.pop(self, None)
            if self._unread_deadline is not None:
                self._unread_deadline.cancel()

    return BoundedProtocol
