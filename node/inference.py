"""A bounded queue before one worker thread that generates.

One sequence at a time: exact integer matrix products already use every core, and a second sequence would only
make both slower. A caller that goes away cancels its generation between two steps of a layer.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from prover.model.errors import GenerationCancelledError
from prover.model.execute import Rows, StepObserver
from prover.sampling import Sampling

from .answer_watch import AnswerWatch
from .errors import NotReadyError, QueueFullError


class Generated(Protocol):
    """What a generation gives back (`prover.model.execute.Generation`)."""

    @property
    def ids(self) -> list[int]: ...

    @property
    def finish_reason(self) -> Literal["stop", "length"]: ...


class Promise(Protocol):
    """What a job reserves (`node.backing.Reservation`)."""

    def generated(self) -> None: ...

    def give_up(self) -> None: ...

    def begin_placing(self) -> None: ...

    def end_placing(self) -> None: ...


class Generator(Protocol):
    """The part of `prover.model.execute.Executor` that the queue needs."""

    def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        *,
        sampling: Sampling | None = None,
        on_token: Callable[[int], None] | None = None,
        on_step: StepObserver | None = None,
        cancelled: Callable[[], bool] | None = None,
        watch: AnswerWatch | None = None,
    ) -> Generated: ...


class Keeper(Protocol):
    """Sees what every step writes (`prover.answer_commitments.AnswerCommitments`)."""

    def keep(self, step: int, written: Rows) -> None: ...

    def drop(self) -> None: ...


@dataclass
class Job:
    """One request on its way through the queue. Iterate over `tokens()`, then read `result`."""

    prompt: list[int]
    max_tokens: int
    _loop: asyncio.AbstractEventLoop
    promise: Promise | None = None
    sampling: Sampling | None = None  # None: greedy
    keeper: Keeper | None = None
    watch: AnswerWatch | None = None  # None: the request wants nothing but its tokens
    _news: asyncio.Queue[int | None] = field(default_factory=asyncio.Queue)
    _cancelled: threading.Event = field(default_factory=threading.Event)
    _result: Generated | None = None
    _failure: BaseException | None = None
    seconds: float = 0.0

    def cancel(self) -> None:
        """Stop the generation; nothing of it will be committed unless that has begun."""
        self._cancelled.set()
        if self.promise is not None:
            self.promise.give_up()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    async def tokens(self) -> AsyncIterator[int]:
        """Ids as they are produced. Raises what the generation raised."""
        while (token := await self._news.get()) is not None:
            yield token
        if self._failure is not None:
            raise self._failure

    @property
    def result(self) -> Generated:
        """The finished generation; only after `tokens()` ran to its end."""
        assert self._result is not None
        return self._result

    def _end(self) -> None:
        if self.promise is not None:
            if self._failure is not None or self.cancelled:
                self.promise.give_up()
            else:
                self.promise.generated()
        if self.keeper is not None and (self._failure is not None or self.cancelled):
            self.keeper.drop()
        self._tell(None)

    def _tell(self, token: int | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.put_nowait, token)


class InferenceQueue:
    """At most `capacity` requests wait; one runs. Start it before submitting, close it at the end."""

    def __init__(self, generator: Generator, capacity: int) -> None:
        self._generator, self._capacity = generator, capacity
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._seconds_per_job = 2.0  # moving average, for Retry-After

    def start(self) -> None:
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Cancel everything and wait for the worker to end."""
        with self._changed:
            self._closed = True
            for job in (*self._waiting, *([self._running] if self._running else [])):
                job.cancel()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=30)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        return self._running is not None

    def submit(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        promise: Promise | None = None,
        sampling: Sampling | None = None,
        keeper: Keeper | None = None,
        watch: AnswerWatch | None = None,
    ) -> Job:
        """Queue a request from the event loop; `promise` is given up, and `keeper` dropped, when no answer comes of it.

        Raises QueueFullError and NotReadyError, and then leaves the promise to the caller.
        """
        job = Job(list(prompt), max_tokens, asyncio.get_running_loop(), promise, sampling, keeper, watch)
        with self._changed:
            if self._closed:
                raise NotReadyError("it is shutting down")
            self._require_room()
            self._waiting.append(job)
            self._changed.notify()
        return job

    def require_room(self) -> None:
        """Before anything is written about a request. Raises QueueFullError."""
        with self._changed:
            self._require_room()

    def _require_room(self) -> None:
        # Requests whose callers left must not keep others out.
        self._waiting = deque(entry for entry in self._waiting if not entry.cancelled)
        if len(self._waiting) >= self._capacity:
            raise QueueFullError(len(self._waiting), self._retry_after_s())

    def _retry_after_s(self) -> int:
        """When, on average, a place in the queue becomes free."""
        return max(1, round(self._seconds_per_job))

    def _work(self) -> None:
        while (job := self._next()) is not None:
            started = time.monotonic()
            try:
                observed: dict[str, Any] = {} if job.keeper is None else {"on_step": job.keeper.keep}
                if job.watch is not None:
                    observed["watch"] = job.watch
                job._result = self._generator.generate(
                    job.prompt,
                    job.max_tokens,
                    sampling=job.sampling,
                    on_token=job._tell,
                    cancelled=job._cancelled.is_set,
                    **observed,
                )
            except Exception as error:  # goes to the caller, who knows what to make of it
                job._failure = error
            job.seconds = time.monotonic() - started
            if job._failure is None:
                self._seconds_per_job += 0.2 * (job.seconds - self._seconds_per_job)
            self._running = None
            job._end()

    def _next(self) -> Job | None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if not self._waiting:
                    return None
                job = self._waiting.popleft()
                if not job.cancelled:
                    self._running = job
                    return job
            job._failure = GenerationCancelledError("the request was cancelled before it began")
            job._end()
