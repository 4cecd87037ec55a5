"""The API's connections, bounded in number and in time.

A connection is a file of this process, and so is everything that posting and defending needs: journals, sockets to
the chain, proofs. Whoever opens thousands of connections, sends a byte a minute or never reads an answer must not take
the last of them, so each step of a request has its time, and where there are too many connections, whoever has the most
gives one up: the one that waits for a request the longest, else one whose answer nobody reads, else the newest whose
answer is being made. So one address that fills the server with requests keeps nobody else out.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from .clients import network_of

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
    # In the order in which they began.
    waiting: dict[Any, None] = {}
    unread: dict[Any, None] = {}
    of_network: dict[str, dict[Any, None]] = {}

    def surplus() -> Any:
        """The connection to end, of those who have the most."""
        count = max(map(len, of_network.values()))
        largest = {name: members for name, members in of_network.items() if len(members) == count}
        idle = (one for state in (waiting, unread) for one in state if one._network in largest)
        return next(idle, None) or next(reversed(next(iter(largest.values()))))

    class BoundedProtocol(H11Protocol):
        """One connection: it waits for a request, has its answer made, and has it read."""

        _is_idle = False
        _network = ""
        _request_deadline: asyncio.TimerHandle | None = None
        _unread_deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._network = network_of(self.client[0] if self.client else "")
            of_network.setdefault(self._network, {})[self] = None
            self._wait_for_request()
            if sum(map(len, of_network.values())) > most:
                ended = surplus()
                ended._forget()  # at once: the next one may come before this one is gone
                ended.transport.abort()

        def _forget(self) -> None:
            waiting.pop(self, None)
            unread.pop(self, None)
            members = of_network.get(self._network, {})
            members.pop(self, None)
            if not members:
                of_network.pop(self._network, None)

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
            self._forget()
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
