"""Faults within a second: small questions, asked several times a second, each by a thread of its own.

The workers ask the chain and the database long questions with long patience, and fail rightly late. A probe asks a short
one with little patience, and fails when two in a row found no answer: one slow answer is none's fault. With the default
pace (0.15 s between questions, 0.33 s of patience) that is at most 0.86 s after the last good answer; a refusal shows in a
quarter of that. What cannot be bounded (a file system that hangs) counts as failed after 3 s.
An endpoint that is slow by nature gets four times the patience of what it was measured to need.
"""

from __future__ import annotations

import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import structlog

from contracts.bindings.chain import Block, Chain
from contracts.bindings.errors import RpcUnavailable
from prover.errors import GainsayError

from .errors import error_sentence
from .metrics import Metrics

log = structlog.get_logger("node.pulse")

_PACE_S = 0.15  # at the usual poll_s of a second; slower where that is slower
PATIENCE_S = 0.33
_AGAIN_S = 0.05
_JUDGED_S = 0.9
_HUNG_S = 3.0
#: A database, its log and the traces of disputes grow; below this much room the disk is as good as full.
LEAST_DISK_BYTES = 64 * 2**20
_JUDGES = 8
_LONGEST_PATIENCE_S = 5.0
_MEASURED, _TIMES = 3, 4
_PROBE_BYTES = 8192


class Probe:
    """Asks `question` again and again; it raises what is wrong. `recovered` is called when it is well again."""

    def __init__(
        self,
        name: str,
        question: Callable[[], None],
        pace_s: float,
        metrics: Metrics,
        recovered: Callable[[], None],
        *,
        bounded: bool,
    ) -> None:
        """bounded: it ends in time by itself. Then only its end counts: on a busy machine its thread may be late."""
        self._hung_s, self._recovered = math.inf if bounded else _HUNG_S, recovered
        self.name = name
        self._question, self._pace_s, self._metrics = question, pace_s, metrics
        self._failure: str | None = None
        self._since: float | None = None  # when the question began that has not ended yet
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"probe {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def reason(self) -> str | None:
        """Why the last two questions failed, or None."""
        if self._failure is not None:
            return self._failure
        since = self._since
        if since is not None and time.monotonic() - since > self._hung_s:
            return f"{self.name} does not answer"
        return None

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._since = time.monotonic()
            try:
                self._question()
                failures, failure = 0, None
            except Exception as error:  # whatever it is, it is what is wrong
                failures += 1
                failure = error_sentence(error)
            self._since = None
            if failures != 1:
                self._tell(failure)
            self._stopping.wait(_AGAIN_S if failures == 1 else self._pace_s)

    def _tell(self, failure: str | None) -> None:
        if (failure is None) != (self._failure is None):
            if failure is None:
                log.warning("answers again", probe=self.name)
                self._recovered()
            else:
                self._metrics.failures.labels(f"probe {self.name}").inc()
                log.error("does not answer", probe=self.name, because=failure)
        self._failure = failure


class Pulse:
    """All probes of a node. Not started (a node that a test steps by hand), it finds nothing."""

    def __init__(self, poll_s: float, metrics: Metrics, recovered: Callable[[], None] = lambda: None) -> None:
        """`recovered`: called when a fault is over, so that who waits after failures need not wait on."""
        self._recovered = recovered
        self._pace_s, self._metrics = _PACE_S * max(1.0, poll_s), metrics
        self._probes: list[Probe] = []
        self._judges: ThreadPoolExecutor | None = None  # only while it runs

    def add(self, name: str, question: Callable[[], None], *, bounded: bool = True) -> None:
        probe = Probe(name, question, self._pace_s, self._metrics, self._recovered, bounded=bounded)
        self._probes.append(probe)

    @property
    def patience_s(self) -> float:
        """How long a question may take."""
        return PATIENCE_S * self._pace_s / _PACE_S

    def start(self) -> None:
        self._judges = ThreadPoolExecutor(_JUDGES, thread_name_prefix="readiness")
        for probe in self._probes:
            probe.start()

    def stop(self) -> None:
        for probe in self._probes:
            probe.stop()
        if self._judges is not None:
            self._judges.shutdown(wait=False)
            self._judges = None

    def in_time(self, judge: Callable[[], str | None]) -> str | None:
        """What `judge` says, or that it does not come to an end: a database may hang before a probe knows."""
        if (judges := self._judges) is None:
            return judge()
        try:
            return judges.submit(judge).result(_JUDGED_S)
        except TimeoutError:
            return "the database does not answer in time"
        except RuntimeError:
            return "it is shutting down"

    def reason(self) -> str | None:
        """What fails now, most basic first. Waits for nothing."""
        return next((reason for probe in self._probes if (reason := probe.reason()) is not None), None)


class ChainProbe:
    """Asks for the newest block. Raises what the bindings raise, and `Unwell` for clocks that differ."""

    def __init__(
        self,
        chain: Chain,
        least_patience_s: float,
        on_news: Callable[[], None],
        max_head_age_s: float | None,
        max_clock_lag_s: float | None,
    ) -> None:
        """`on_news` is called when there is another block: whoever follows need not wait for his turn."""
        self._chain, self._on_news, self._least_s = chain, on_news, least_patience_s
        self._max_head_age_s, self._max_clock_lag_s = max_head_age_s, max_clock_lag_s
        self._seen: bytes | None = None
        self._quick: Chain | None = None  # None: how long it takes is to be measured
        self._misses = 0

    def __call__(self) -> None:
        head = self._newest()
        if head.hash != self._seen:
            self._seen = head.hash
            self._on_news()
        self._compare_clocks(head)

    def _newest(self) -> Block:
        quick = self._quick or self._measured()
        try:
            head = quick.head()
        except RpcUnavailable:
            self._misses += 1
            if self._misses > 1:
                self._quick = None  # gone, or slower than it was
            raise
        self._quick, self._misses = quick, 0
        return head

    def _measured(self) -> Chain:
        patient, slowest = self._chain.impatient(_LONGEST_PATIENCE_S), 0.0
        for _ in range(_MEASURED):
            started = time.monotonic()
            patient.head()
            slowest = max(slowest, time.monotonic() - started)
        return self._chain.impatient(max(self._least_s, min(_TIMES * slowest, _LONGEST_PATIENCE_S)))

    def _compare_clocks(self, head: Block) -> None:
        age = time.time() - head.timestamp
        if self._max_head_age_s is not None and age > self._max_head_age_s:
            raise Unwell(
                f"the chain's newest block is {age:.0f} s old by this machine's clock, more than {self._max_head_age_s:.0f} s: "
                "it is too old; check that the RPC endpoint keeps up, and this machine's clock"
            )
        if self._max_clock_lag_s is not None and -age > self._max_clock_lag_s:
            raise Unwell(
                f"this machine's clock is {-age:.0f} s behind the chain's newest block, more than "
                f"{self._max_clock_lag_s:.0f} s; set it (NTP), or correct the RPC endpoint"
            )


class DiskProbe:
    """Whether the folders in which the node writes can be written to, and have room. Raises `Unwell`."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        for folder in folders:  # at the start they may not exist yet; later they must
            with suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)

    def __call__(self) -> None:
        for folder in self._folders:
            self._look_at(folder)

    @staticmethod
    def _look_at(folder: Path) -> None:
        try:
            free = shutil.disk_usage(folder).free
            name = folder / f".probe-{os.getpid()}"
            with name.open("wb") as file:
                file.write(bytes(_PROBE_BYTES))
            name.unlink()
        except OSError as error:
            raise Unwell(
                f"nothing can be written in {folder}: {error.strerror}; make room on its disk, or make the folder (writable) again"
            ) from error
        if free < LEAST_DISK_BYTES:
            raise Unwell(f"the disk of {folder} has {free / 2**20:.0f} MB left; make room on its disk")


class FilesProbe:
    """Whether files that are mapped into memory are what they were when they were loaded. Raises `Unwell`."""

    def __init__(self, what: str, files: Sequence[Path]) -> None:
        self._what = what
        self._known = {file: self._state(file) for file in files}

    def __call__(self) -> None:
        for file, known in self._known.items():
            if self._state(file) != known:
                raise Unwell(
                    f"{self._what} changed on the disk while it was served ({file}): put the file back, and restart the node"
                )

    @staticmethod
    def _state(file: Path) -> tuple[int, int, int] | None:
        try:
            found = file.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


class Unwell(GainsayError):
    """A probe found something that no library says."""
