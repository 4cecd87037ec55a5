"""Runs the model for the challenger's own games, beside the loop that plays them.

A game asks when its stored trace does not say what the next move needs (after a restart, or once ids were forced onto
the chain); the answer is the move itself. When no game asks, the traces of what was found invalid are completed, so
that their games will not have to.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from contracts.bindings.log_setup import told_of
from contracts.protocol.actions import Action
from contracts.protocol.bisection import cuts
from contracts.protocol.game import GameState, Side
from contracts.protocol.honest_player import next_action
from contracts.protocol.streams import Point, boundary_hash
from contracts.protocol.trace import OwnTrace, first_unknown_fed_id
from prover.sampling import Sampling

from .errors import Stopped
from .local_models import LocalModel
from .pace import backoff_s
from .trace_files import StoredTrace, TraceFiles

log = structlog.get_logger(__name__)
_HOT_TRACES = 2  # a trace of the reference model is tens of megabytes
_LONGEST_BACKLOG = 10_000
_LONGEST_RETRY_S = 5.0

Turn = tuple[int, int, int, bytes]


def turn_of(state: GameState) -> Turn:
    """Tells the turns of one game apart, across reorganisations too: what it is about may be another one in the same second."""
    return int(state.game.phase), state.game.round, state.game.turn_started_at, state.game.about


@dataclass(frozen=True)
class Subject:
    """A response under a model, whose trace is wanted. `name` is its file's."""

    name: bytes
    model: LocalModel
    prompt_ids: tuple[int, ...]
    output_ids: tuple[int, ...]
    sampling: Sampling | None = None


@dataclass(frozen=True)
class Question:
    """What is the move in this state of a game, at chain time `now`?"""

    state: GameState
    subject: Subject
    now: int


@dataclass
class _Wait:
    tries: int = 0
    until_s: float = 0.0


class Tracer:
    """`ask` and `complete` never wait; `step` does the work, in a thread of its own."""

    def __init__(self, files: TraceFiles, arity: int) -> None:
        self._files, self._arity = files, arity
        self._lock = threading.Lock()
        self._questions: dict[int, Question] = {}
        self._answers: dict[int, tuple[Turn, Action | None]] = {}
        self._waits: dict[int, _Wait] = {}
        self._backlog: OrderedDict[bytes, Subject] = OrderedDict()
        self._hot: OrderedDict[bytes, OwnTrace] = OrderedDict()
        self._kept: frozenset[bytes] = frozenset()
        self._partial: dict[bytes, StoredTrace] = {}  # the one that is being worked on

    # --- for the other loops

    def ask(self, question: Question) -> None:
        with self._lock:
            self._questions[question.state.game_id] = question

    def answer(self, state: GameState) -> tuple[bool, Action | None]:
        """(whether it is known, the move or None to wait)."""
        with self._lock:
            turn, action = self._answers.get(state.game_id, (None, None))
            return turn == turn_of(state), action

    def complete(self, subject: Subject, trace: OwnTrace | None) -> None:
        """Store everything that games about this response can ask, when there is time; `trace` may be hot still."""
        with self._lock:
            if len(self._backlog) < _LONGEST_BACKLOG:
                self._backlog[subject.name] = subject
            if trace is not None:
                self._keep_hot(subject.name, trace)

    def play_only(self, games: set[int], names: set[bytes]) -> None:
        """Forget the games that are over; keep these files."""
        with self._lock:
            self._kept = frozenset(names)
            self._questions = {i: question for i, question in self._questions.items() if i in games}
            self._answers = {i: answer for i, answer in self._answers.items() if i in games}
            self._waits = {i: wait for i, wait in self._waits.items() if i in games}

    # --- the work

    def step(self) -> bool:
        """Answer the most urgent question, or add one boundary to a trace; whether there was something to do."""
        if (question := self._most_urgent()) is not None:
            self._answer(question)
            return True
        with self._lock:
            subject = next(iter(self._backlog.values()), None)
        if subject is None:
            return False
        self._complete_one(subject)
        return True

    def _most_urgent(self) -> Question | None:
        with self._lock:
            now_s = time.monotonic()
            due = [q for i, q in self._questions.items() if self._waits.get(i, _Wait()).until_s <= now_s]
            return min(due, key=lambda question: question.state.game.deadline, default=None)

    def _answer(self, question: Question) -> None:
        state, game_id = question.state, question.state.game_id
        try:
            trace = self._recorded(question.subject)
            action = next_action(state, Side.CHALLENGER, trace, question.now)
        except Stopped:
            raise
        except Exception as error:
            wait = self._waits.setdefault(game_id, _Wait())
            wait.tries += 1
            wait.until_s = time.monotonic() + backoff_s(wait.tries, first_s=0.5, longest_s=_LONGEST_RETRY_S)
            log.warning("no move known", game=game_id, because=f"{type(error).__name__}: {told_of(error)}")
            return
        with self._lock:
            self._answers[game_id] = (turn_of(state), action)
            if self._questions.get(game_id) is question:
                del self._questions[game_id]
            self._waits.pop(game_id, None)
            if not trace.cannot_be_fed:
                self._backlog.setdefault(question.subject.name, question.subject)
        self._save(question.subject, trace.stored)

    def _complete_one(self, subject: Subject) -> None:
        """One boundary at a time: between two, a game may ask."""
        trace = self._recorded(subject)
        steps = subject.model.commitment.step_count
        first_cuts = cuts(0, steps, self._arity)
        try:
            end = trace.first_unprovable()
            last = steps if end is None else end[0] + 1
            missing = [
                s for s in (*first_cuts, *range(last + 1)) if s <= last and s not in trace.stored.streams
            ]
            if end is None and not trace.stored.wrong[0]:
                trace.first_wrong_output()
            elif missing:
                trace.learn(missing[0])
            elif end is not None:
                trace.learn_windows(last)
            done = not missing
        except Stopped:
            raise
        except Exception as error:
            # What cannot be computed once is left to the games' questions.
            log.warning("trace not completed", because=f"{type(error).__name__}: {told_of(error)}")
            done = True
        if done or len(trace.stored.streams) == len(first_cuts):
            self._save(subject, trace.stored)
        if done:
            with self._lock:
                self._backlog.pop(subject.name, None)
                self._partial.pop(subject.name, None)

    def _recorded(self, subject: Subject) -> _Recorder:
        stored = self._partial.get(subject.name)
        if stored is None:
            stored = self._files.load(
                subject.name, subject.prompt_ids, subject.output_ids, subject.model.commitment
            )
            self._partial = {subject.name: stored}
        return _Recorder(self, subject, stored)

    def run(self, subject: Subject) -> OwnTrace:
        """The trace itself, hot or made anew."""
        with self._lock:
            trace = self._hot.get(subject.name)
        if trace is None:
            trace = subject.model.replay(subject.prompt_ids, subject.output_ids, subject.sampling)
            with self._lock:
                self._keep_hot(subject.name, trace)
        return trace

    def _keep_hot(self, name: bytes, trace: OwnTrace) -> None:
        self._hot[name] = trace
        self._hot.move_to_end(name)
        while len(self._hot) > _HOT_TRACES:
            self._hot.popitem(last=False)

    def _save(self, subject: Subject, stored: StoredTrace) -> None:
        try:
            self._files.save(subject.name, stored, self._kept)
        except OSError as error:
            # Moves do not depend on it: what is not on disk is computed again.
            log.error("trace not written", because=str(error))


class _Recorder:
    """An own trace that looks into the stored part first, and adds to it what it had to compute."""

    def __init__(self, tracer: Tracer, subject: Subject, stored: StoredTrace) -> None:
        self._tracer, self._subject, self.stored = tracer, subject, stored
        self.prompt_ids, self.output_ids = subject.prompt_ids, subject.output_ids

    def first_unprovable(self) -> tuple[int, int] | None:
        if not self.stored.end[0]:
            self.stored.end = (True, self._trace.first_unprovable())
        return self.stored.end[1]

    def learn(self, s: int) -> None:
        """Compute what is known of a boundary, all streams of it."""
        if s not in self.stored.streams:
            streams = range(len(self._subject.model.commitment.chunk_bits))
            self.stored.streams[s] = tuple(_plain(self._trace.stream_points(s, stream)) for stream in streams)

    @property
    def cannot_be_fed(self) -> bool:
        """Whether an id is outside the vocabulary: then there is nothing but b_0."""
        return first_unknown_fed_id(self, self._subject.model.commitment.vocabulary) is not None

    def learn_windows(self, s: int) -> None:
        """Compute the commitments of a boundary of which some windows have none."""
        if s not in self.stored.partial:
            streams = range(len(self._subject.model.commitment.chunk_bits))
            self.stored.partial[s] = tuple(
                tuple(
                    None if point is None else _plain([point])[0]
                    for point in self._trace.window_commitments(s, stream)
                )
                for stream in streams
            )

    def step_kind(self, s: int) -> int:
        return self.stored.step_kind(s)

    def stream_points(self, s: int, stream: int) -> Sequence[Point]:
        self.learn(s)
        return self.stored.stream_points(s, stream)

    def window_commitments(self, s: int, stream: int) -> Sequence[Point | None]:
        if self.cannot_be_fed or ((end := self.first_unprovable()) is not None and s > end[0]):
            self.learn_windows(s)
        else:
            self.learn(s)
        return self.stored.window_commitments(s, stream)

    def stream_roots(self, s: int) -> tuple[bytes, ...]:
        self.learn(s)
        self.first_unprovable()
        return self.stored.stream_roots(s)

    def boundary_hash(self, s: int) -> bytes:
        return boundary_hash(self.stream_roots(s))

    def argmax(self, position: int) -> int | None:
        return self._trace.argmax(position)

    def first_wrong_output(self) -> tuple[int, int] | None:
        if not self.stored.wrong[0]:
            self.stored.wrong = (True, self._trace.first_wrong_output())
        return self.stored.wrong[1]

    @property
    def _trace(self) -> OwnTrace:
        return self._tracer.run(self._subject)


def _plain(points: Sequence[Point]) -> tuple[Point, ...]:
    return tuple((int(x), int(y)) for x, y in points)
