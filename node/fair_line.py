"""Who is next when several clients wait: whoever was served least.

Every client has a counter of the tokens that it was served (virtual token counters; Sheng et al., "Fairness in serving large
language models", OSDI 2024). The next request is the oldest one of the client with the smallest counter. Who comes anew starts
with the smallest counter of those who are there: having been away earns no turns. One client by itself gets everything.

Where the line is full, a client with fewer requests in it than another takes the place of the other's newest one ("longest
queue drop"): one that fills the line keeps nobody out.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """What stands in the line."""

    client: str

    @property
    def cancelled(self) -> bool: ...


_Job = TypeVar("_Job", bound=Waiting)


class FairLine(Generic[_Job]):
    """At most `capacity` requests that wait. Not thread-safe."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lines: dict[str, deque[_Job]] = {}
        self._served: dict[str, float] = {}
        self._present: dict[str, int] = {}  # requests of a client that wait or run

    def __len__(self) -> int:
        return sum(len(line) for line in self._lines.values())

    def clear_cancelled(self) -> list[_Job]:
        """Take out whose callers left: they must not keep others out."""
        gone = [job for line in self._lines.values() for job in line if job.cancelled]
        for job in gone:
            self._lines[job.client].remove(job)
            self.leave(job)
        return gone

    def has_room(self, client: str) -> bool:
        """Whether one more request of a client may wait, perhaps in another's place."""
        return len(self) < self._capacity or self._longest(client) is not None

    def put(self, job: _Job) -> _Job | None:
        """Add a request for which there `has_room`; returns the one that had to leave for it."""
        dropped: _Job | None = None
        if len(self) >= self._capacity:
            longest = self._longest(job.client)
            assert longest is not None
            dropped = self._lines[longest].pop()
            self.leave(dropped)
        if not self._present.get(job.client):
            least = min((self._served[name] for name in self._present), default=0.0)
            self._served[job.client] = max(least, self._served.get(job.client, least))
        self._present[job.client] = self._present.get(job.client, 0) + 1
        self._lines.setdefault(job.client, deque()).append(job)
        return dropped

    def next(self, may: Callable[[_Job], bool] = lambda job: True) -> _Job | None:
        """The request that is next, which stays where it is; clients whose oldest one may not begin now are passed over."""
        ready = [line[0] for line in self._lines.values() if line and may(line[0])]
        return min(ready, key=lambda job: self._served[job.client], default=None)

    def take(self, job: _Job, tokens: int) -> None:
        """The next one begins and will be served so many tokens."""
        taken = self._lines[job.client].popleft()
        assert taken is job
        self.charge(job.client, tokens)

    def charge(self, client: str, tokens: int) -> None:
        """A client was served so many tokens more, or fewer than was said."""
        if client in self._served:
            self._served[client] += tokens

    def leave(self, job: _Job) -> None:
        """A request that waited or ran is over."""
        self._present[job.client] -= 1
        if not self._present[job.client]:
            # A counter of somebody who is away says nothing that `put` would not say again, unless it is ahead of the others.
            del self._present[job.client]
            self._lines.pop(job.client, None)
            others = [self._served[name] for name in self._present]
            self._served = {
                name: served
                for name, served in self._served.items()
                if name in self._present or (others and served > min(others))
            }

    def all(self) -> list[_Job]:
        """Everything that waits."""
        return list(itertools.chain.from_iterable(self._lines.values()))

    def _longest(self, client: str) -> str | None:
        """Whose newest request one of `client` takes the place of."""
        longest = max(self._lines, key=lambda name: len(self._lines[name]), default=None)
        if longest is None or len(self._lines[longest]) <= len(self._lines.get(client, ())) + 1:
            return None
        return longest
