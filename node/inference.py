"""A bounded, fair queue before one worker thread that generates.

With a `Batch` (prover/model/batch.py) up to `places` sequences run together and join and leave between two tokens: every weight is
read once for all of them. How many depends on how fast they are: a few dozen always, more only while each still gets its next token soon. Without one (a private model, whose boundaries are kept while it runs; a generator that only
generates) there is one sequence at a time. Either way a caller that goes away frees its place before the next token.

A client is whoever pays, else an address (api/clients.py). A client may have all places, save that a few are kept for those who
have none; and while others wait, it takes no more than half of the memory for keys and values.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from prover.model.batch import Batch, Request, Running
from prover.model.errors import GenerationCancelledError
from prover.model.execute import Rows, StepObserver
from prover.sampling import Sampling

from .answer_watch import AnswerWatch
from .errors import NotReadyError, QueueFullError
from .fair_line import FairLine

PLACES = 256
_SURE_PLACES = 32
"""So many sequences run together however long a pass takes: waiting in the line would not be faster."""
_LONGEST_WAIT_S = 1.0
"""More join as long as a pass of all of them, and so the wait for a next token, is expected to be shorter than this."""
_SPARE = 4
"""One more place in so many is for clients that have none."""
_LONGEST_PASS_S = 0.2
"""About how long a pass with pieces of prompts takes, which is how long the others wait for their next token."""
_LEAST_ROWS, _MOST_ROWS = 64, 1024


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
    client: str = ""
    scope: bytes | None = None  # with whom beginnings of prompts are shared (prover/model/row_blocks.py)
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
    """At most `capacity` requests wait. Start it before submitting, close it at the end."""

    def __init__(
        self, generator: Generator, capacity: int, batch: Batch | None = None, places: int = PLACES
    ) -> None:
        """`batch` runs `places` sequences at a time; None: `generator` runs one."""
        self._generator, self._batch, self._places = generator, batch, places
        self._line: FairLine[Job] = FairLine(capacity)
        self._running: list[Job] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._seconds_per_job = 2.0  # moving average, for Retry-After
        self._seconds_per_row = self._seconds_per_sequence = 0.0  # of a pass, moving averages
        self._taken: dict[int, int] = {}  # blocks of the running jobs

    def start(self) -> None:
        work = self._work_alone if self._batch is None else self._work_together
        self._thread = threading.Thread(target=work, name="inference", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Cancel everything and wait for the worker to end."""
        with self._changed:
            self._closed = True
            for job in (*self._line.all(), *self._running):
                job.cancel()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=30)

    @property
    def waiting(self) -> int:
        return len(self._line)

    @property
    def running(self) -> int:
        """Sequences that are being generated."""
        return len(self._running)

    @property
    def reused_share(self) -> float:
        """Of the tokens of prompts and answers so far, those that were not fed because they stood in memory; NaN: no batch."""
        if self._batch is None or not self._batch.fed_rows:
            return float("nan")
        return self._batch.reused_rows / (self._batch.reused_rows + self._batch.fed_rows)

    @property
    def blocks_used(self) -> float:
        """Share of the memory for keys and values that running sequences hold; NaN: no batch."""
        if self._batch is None:
            return float("nan")
        return 1 - self._batch.blocks.available / self._batch.blocks.count

    def submit(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        promise: Promise | None = None,
        sampling: Sampling | None = None,
        keeper: Keeper | None = None,
        watch: AnswerWatch | None = None,
        client: str = "",
        scope: bytes | None = None,
    ) -> Job:
        """Queue a request from the event loop; `promise` is given up, and `keeper` dropped, when no answer comes of it.

        Raises QueueFullError and NotReadyError, and then leaves the promise to the caller. A job may end with QueueFullError
        later, when it has to leave its place to another client.
        """
        loop = asyncio.get_running_loop()
        job = Job(list(prompt), max_tokens, loop, promise, sampling, keeper, watch, client, scope)
        with self._changed:
            if self._closed:
                raise NotReadyError("it is shutting down")
            self._require_room(client)
            dropped = self._line.put(job)
            self._changed.notify()
        if dropped is not None:
            dropped._failure = QueueFullError(len(self._line), self._retry_after_s())
            dropped._end()
        return job

    def require_room(self, client: str = "") -> None:
        """Before anything is written about a request. Raises QueueFullError."""
        with self._changed:
            self._require_room(client)

    def _require_room(self, client: str) -> None:
        self._clear_cancelled()
        if not self._line.has_room(client):
            raise QueueFullError(len(self._line), self._retry_after_s())

    def _clear_cancelled(self) -> None:
        for job in self._line.clear_cancelled():
            job._failure = GenerationCancelledError("the request was cancelled before it began")
            job._end()

    def _retry_after_s(self) -> int:
        """When, on average, a place in the queue becomes free."""
        return max(1, round(self._seconds_per_job))

    def _wait_for_work(self) -> bool:
        """Until something waits or runs; False once the queue is closed and nothing does."""
        with self._changed:
            while True:
                self._clear_cancelled()
                if len(self._line) or self._running:
                    return True
                if self._closed:
                    return False
                self._changed.wait()

    def _over(self, job: Job) -> None:
        """A running job has its result or its failure."""
        with self._changed:
            if job._failure is None:
                each = job.seconds / len(self._running)
                self._seconds_per_job += 0.2 * (each - self._seconds_per_job)
            self._running.remove(job)
            self._taken.pop(id(job), None)
            produced = 0 if job._result is None else len(job._result.ids)
            self._line.charge(job.client, produced - job.max_tokens)
            self._line.leave(job)
        job._end()

    # --- one at a time

    def _work_alone(self) -> None:
        while self._wait_for_work():
            with self._changed:
                job = self._line.next()
                if job is None:
                    continue
                self._begin(job, blocks=0)
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
            self._over(job)

    def _begin(self, job: Job, blocks: int) -> None:
        self._line.take(job, len(job.prompt) + job.max_tokens)
        self._running.append(job)
        self._taken[id(job)] = blocks

    # --- many together

    def _work_together(self) -> None:
        batch = self._batch
        assert batch is not None
        jobs: dict[int, tuple[Job, float]] = {}
        while self._wait_for_work():
            self._admit(batch, jobs)
            started, rows = time.monotonic(), batch.fed_rows
            try:
                ended = batch.step(self._rows_at_once())
            except Exception as error:  # a fault of this program: nobody may wait for ever
                ended = batch.abandon(error)
            self._note_pace(time.monotonic() - started, batch.fed_rows - rows)
            for sequence in ended:
                job, began = jobs.pop(id(sequence))
                job._result, job._failure = sequence.result, sequence.failure
                job.seconds = time.monotonic() - began
                self._over(job)

    def _admit(self, batch: Batch, jobs: dict[int, tuple[Job, float]]) -> None:
        """Everybody who is next and for whom there is a place and memory."""
        while True:
            with self._changed:
                job = self._line.next(lambda job: self._may_begin(batch, job))
                if job is None:
                    return
                request = _request(job)
                try:
                    batch.check(request)
                except Exception as error:
                    self._begin(job, blocks=0)
                    job._failure = error
                    running: Running | None = None
                else:
                    running = batch.admit(request)
                    if running is None:
                        return  # it is next, so nobody else goes in front of it
                    self._begin(job, batch.windows(request))
            if running is None:
                self._over(job)
            else:
                jobs[id(running)] = job, time.monotonic()

    def _may_begin(self, batch: Batch, job: Job) -> bool:
        own = [other for other in self._running if other.client == job.client]
        if not own:
            return len(self._running) < self._places + max(1, self._places // _SPARE)
        if len(self._running) >= self._places_now():
            return False
        is_alone = all(other.client == job.client for other in (*self._running, *self._line.all()))
        held = sum(self._taken[id(other)] for other in own) + batch.windows(_request(job))
        return is_alone or 2 * held <= batch.blocks.count

    def _places_now(self) -> int:
        """For clients that run something already. Who runs nothing begins whatever the pace: none waits behind another's crowd."""
        if not self._seconds_per_sequence:
            return self._places
        return min(self._places, max(_SURE_PLACES, int(_LONGEST_WAIT_S / self._seconds_per_sequence)))

    def _rows_at_once(self) -> int:
        """How much of prompts to feed in a pass: a whole number of windows."""
        wanted = _LONGEST_PASS_S / self._seconds_per_row if self._seconds_per_row else _LEAST_ROWS
        return int(min(max(wanted, _LEAST_ROWS), _MOST_ROWS)) // 32 * 32

    def _note_pace(self, seconds: float, rows: int) -> None:
        each = seconds / max(1, len(self._running))
        self._seconds_per_sequence += 0.2 * (each - self._seconds_per_sequence)
        if (
            rows >= 32
        ):  # a pass of few rows costs what reading the weights costs, which says nothing about prompts
            known = self._seconds_per_row or seconds / rows
            self._seconds_per_row = known + 0.2 * (seconds / rows - known)


def _request(job: Job) -> Request:
    return Request(
        job.prompt,
        job.max_tokens,
        sampling=job.sampling,
        on_token=job._tell,
        cancelled=job._cancelled.is_set,
        scope=job.scope,
        watch=job.watch,
    )
