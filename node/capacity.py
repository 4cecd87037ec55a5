"""How many games this machine can defend at once, measured; beyond that no new answer is promised.

    games = clock / 2 / (slowest trace + slowest proof)

A game costs its provider at most one trace (boundaries and their commitments) and one proof, and gives it `clock` seconds of
thinking in all. Games that wait together share the machine, so all of them are done in time when the sum of their work
fits one clock. The other half is for blocks, transactions and whatever else the machine does. What counts is the slowest
of the last games, and what `measure` found at a start; it is kept beside the traces.

A private model's answers have no games, but audits, each with a window of its own on chain:

    audits . slowest trace + items . slowest proof <= window / 2

over all audits that wait on chain, and over the one that a new answer may bring. Those off chain are put off for them, and
taken on while all of both fit.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import structlog

from contracts.protocol.streams import Point
from contracts.protocol.trace import AuditedTrace, ProvingTrace
from prover.foreign_json import ForeignJsonError, read_json_file

log = structlog.get_logger("node.capacity")
_KEPT = 32
_SHARE_OF_CLOCK = 0.5
_SLOWER = 1.05  # a few per cent are noise


class Capacity:
    """Seconds of recent traces and proofs, and what follows from them. May be used from any thread."""

    def __init__(self, file: Path | None, clock_s: int) -> None:
        """`clock_s`: thinking time of the provider in one game. A file that cannot be read counts as none; without one
        nothing is kept."""
        self._file, self._clock_s, self._lock = file, clock_s, threading.Lock()
        self._numbers = itertools.count()
        self._begun: set[str] = set()  # kinds of proofs
        # kind -> number of the trace or proof -> seconds, the newest last
        self._seconds: dict[str, dict[int, float]] = {"trace": {}, "proof": {}}
        if file is not None:
            self._load(file)

    def number(self) -> int:
        """Names one trace or proof."""
        return next(self._numbers)

    def note(self, kind: str, number: int, seconds: float) -> None:
        """A trace or a proof ("trace", "proof") has taken so long until now."""
        with self._lock:
            kept = self._seconds[kind]
            is_slower = not kept or seconds > _SLOWER * max(kept.values())
            kept[number] = seconds
            while len(kept) > _KEPT:
                del kept[next(iter(kept))]
            stored = {name: list(values.values()) for name, values in self._seconds.items()}
        if is_slower and self._file is not None:
            self._store(self._file, stored)

    @property
    def seconds_per_game(self) -> float | None:
        """None until a trace and a proof were measured."""
        with self._lock:
            if not all(self._seconds.values()):
                return None
            return sum(max(values.values()) for values in self._seconds.values())

    @property
    def games(self) -> int | None:
        """Games that can be defended at once; None until that was measured."""
        seconds = self.seconds_per_game
        return None if seconds is None else self._games_of(seconds)

    def forget(self) -> None:
        """Before a new measurement: a machine that was busy once is not slow for ever."""
        with self._lock:
            for kept in self._seconds.values():
                kept.clear()

    def reason(self, open_games: int) -> str | None:
        """Why one more answer could not be defended, or None."""
        most = self.games
        if most is None or open_games < most:
            return None
        if open_games == 0:
            # One slow moment must not end the node for good: only if no game was ever fast enough.
            if self._games_of(self._fastest_s()) > 0:
                return None
            return (
                f"one game would take this machine {self.seconds_per_game:.0f} s of the {self._clock_s} s that it has; "
                "serve a smaller model or use a faster machine, or measure again with `gainsay provider capacity`"
            )
        return (
            f"{open_games} games are open, and this machine can defend {most} at once within their clocks; "
            "wait until some are over"
        )

    def seconds_per_audit(self, items: int) -> float | None:
        """Of an audit with so many items; None until a trace and a proof were measured."""
        with self._lock:
            if not all(self._seconds.values()):
                return None
            trace, proof = (max(self._seconds[kind].values()) for kind in ("trace", "proof"))
        return trace + items * proof

    def audit_reason(self, audits: int, items: int, window_s: int) -> str | None:
        """Why so many audits with so many items in all could not be answered within a window, or None."""
        with self._lock:
            if not all(self._seconds.values()):
                return None
            # One slow moment must not end the node for good: what is asked for first counts as at its fastest.
            longest = min if audits <= 1 else max
            trace, proof = (longest(self._seconds[kind].values()) for kind in ("trace", "proof"))
        seconds = audits * trace + items * proof
        if seconds <= _SHARE_OF_CLOCK * window_s:
            return None
        told = f"{audits} audits with {items} items would take this machine {seconds:.0f} s of a window of {window_s} s; "
        if audits <= 1:  # nothing waits, so waiting does not help, and nothing is measured again by itself
            return told + "use a faster machine, or measure again with `gainsay provider capacity --private`"
        return told + "wait until some are answered, or use a faster machine"

    def _games_of(self, seconds: float) -> int:
        return int(_SHARE_OF_CLOCK * self._clock_s / seconds)

    def _fastest_s(self) -> float:
        with self._lock:
            return sum(min(values.values()) for values in self._seconds.values())

    def timed(self, trace: ProvingTrace, *, is_warm: bool = False) -> ProvingTrace:
        """The same trace; what it takes is noted, but for the first proof of each kind unless `is_warm`: it reads kernels and makes tables,
        and a node that had only such times would refuse the answers whose audits or games measure others.
        """
        return _TimedTrace(trace, self, is_warm)

    def is_first(self, kind: str) -> bool:
        """Whether no proof of this kind was begun before; now one is."""
        with self._lock:
            if kind in self._begun:
                return False
            self._begun.add(kind)
            return True

    def _load(self, file: Path) -> None:
        with contextlib.suppress(OSError, ForeignJsonError):
            stored = read_json_file(file)
            for kind, kept in self._seconds.items():
                values = stored.get(kind) if isinstance(stored, dict) else None
                for value in values if isinstance(values, list) else []:
                    if _is_seconds(value):
                        kept[self.number()] = float(value)

    def _store(self, file: Path, stored: dict[str, list[float]]) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=file.parent)
            with os.fdopen(handle, "w", encoding="utf-8") as written:
                json.dump(stored, written)
            os.replace(name, file)
        except OSError as error:
            log.warning("capacity not kept", error=str(error))


class _TimedTrace:
    """A `ProvingTrace` that tells how long it works: as a trace in all so far, and per proof."""

    def __init__(self, trace: ProvingTrace, capacity: Capacity, is_warm: bool) -> None:
        self._trace, self._capacity, self._is_warm = trace, capacity, is_warm
        self._number, self._traced_s = capacity.number(), 0.0
        self.prompt_ids, self.output_ids = trace.prompt_ids, trace.output_ids

    def __getattr__(self, name: str) -> Any:
        """What is neither a trace nor a proof costs nothing."""
        return getattr(self._trace, name)

    @contextlib.contextmanager
    def _tracing(self) -> Iterator[None]:
        started = time.monotonic()
        yield
        self._traced_s += time.monotonic() - started
        self._capacity.note("trace", self._number, self._traced_s)

    @contextlib.contextmanager
    def _proving(self, kind: str) -> Iterator[None]:
        is_noted = self._is_warm or not self._capacity.is_first(kind)
        started = time.monotonic()
        yield
        if is_noted:
            self._capacity.note("proof", self._capacity.number(), time.monotonic() - started)

    def first_unprovable(self) -> tuple[int, int] | None:
        with self._tracing():
            return self._trace.first_unprovable()

    def step_kind(self, s: int) -> int:
        return self._trace.step_kind(s)

    def stream_points(self, s: int, stream: int) -> Sequence[Point]:
        with self._tracing():
            return self._trace.stream_points(s, stream)

    def window_commitments(self, s: int, stream: int) -> Sequence[Point | None]:
        with self._tracing():
            return self._trace.window_commitments(s, stream)

    def stream_roots(self, s: int) -> tuple[bytes, ...]:
        with self._tracing():
            return self._trace.stream_roots(s)

    def boundary_hash(self, s: int) -> bytes:
        with self._tracing():
            return self._trace.boundary_hash(s)

    def argmax(self, position: int) -> int | None:
        with self._tracing():
            return self._trace.argmax(position)

    def first_wrong_output(self) -> tuple[int, int] | None:
        with self._tracing():
            return self._trace.first_wrong_output()

    def prove_step(self, s: int, window: int) -> bytes:
        with self._proving(f"step {self._trace.step_kind(s)}"):
            return self._trace.prove_step(s, window)

    def prove_embedding(self, window: int) -> bytes:
        with self._proving("embedding"):
            return self._trace.prove_embedding(window)

    def winner(self, position: int, rival: int) -> int:
        with self._tracing():
            return self._trace.winner(position, rival)

    def prove_head(self, position: int, rival: int) -> bytes:
        with self._proving("head"):
            return self._trace.prove_head(position, rival)

    def prove_head_tile(self, window: int, tile: int) -> bytes:
        """Of a private model's trace."""
        with self._proving("head tile"):
            return cast(AuditedTrace, self._trace).prove_head_tile(window, tile)


def measure(capacity: Capacity, trace: ProvingTrace, steps: int) -> None:
    """Play a game's work on an answer: every boundary that a bisection can ask for, then a proof of the last step of every
    kind in the last window, where they are slowest."""
    windows = -(-(len(trace.prompt_ids) + len(trace.output_ids) - 1) // 32)
    timed = capacity.timed(trace, is_warm=True)
    for boundary in range(steps + 1):
        timed.boundary_hash(boundary)
    last_of_kind = {timed.step_kind(step): step for step in range(steps)}
    for step in sorted(last_of_kind.values()):
        timed.prove_step(step, windows - 1)


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value > 0
