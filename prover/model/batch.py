"""Continuous batching: many sequences in one pass, which join and leave between passes; every one gets the integers that it gets alone.

A pass takes the next rows of every sequence through all steps at once: one row of each that generates, a piece of the prompt
of each that has not begun, the padded rows of each that is over (`Executor.finish_window`). Weights are read once for all of
them. Attention is by sequence (prover/operators/attend.py), every other operator is a function of single rows, and all of them are
functions of exact integers, so nothing about a sequence depends on its company. A value that leaves its range ends the
sequence that it belongs to; the step is run again for the others.

While few sequences run, guesses at what follows are fed behind the last token of each (look_ahead.py): rows of wrong ones are as if
they had never been fed, and end nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..program import WINDOW_ROWS, OutOfRange, Span
from ..sampling import Sampling
from ..streams import RESIDUAL
from .errors import GenerationCancelledError, SequenceTooLongError, TokenError
from .execute import Executor, Generation, Rows, Watch
from .look_ahead import LookAhead, as_long_as_right, chooser
from .row_blocks import LayerRows, RowBlocks, bytes_per_block, first_name, next_name

OnStep = Callable[[int, Rows], None]

_ROWS_WITH_GUESSES = 8
"""Of a pass: from there on every row costs what it gives."""


class Pass:
    """Rows of several sequences that are run together (`execute.Fed`). blocks: where earlier rows are; None: there are none."""

    def __init__(self, spans: Sequence[Span], blocks: RowBlocks | None) -> None:
        self.spans, self._blocks = tuple(spans), blocks
        self._positions = np.concatenate([np.arange(s.start, s.start + s.rows) for s in spans])
        self._rows = None if blocks is None else LayerRows(blocks, 0, spans)

    def positions(self, rows: int) -> np.ndarray:
        return self._positions

    def keep_in(self, layer: int) -> dict[str, Any]:
        kept = None if self._rows is None else self._rows.of_layer(layer)
        return {"spans": self.spans, "blocks": kept}

    def only(self, chosen: Sequence[int]) -> tuple[Pass, np.ndarray]:
        """The pass of some of the spans, by number, and their rows."""
        spans, first = [], 0
        for number in chosen:
            span = self.spans[number]
            spans.append(Span(first, first + span.rows, span.start, span.blocks))
            first += span.rows
        rows = [np.arange(self.spans[n].first, self.spans[n].end) for n in chosen]
        return Pass(spans, self._blocks), np.concatenate(rows)


@dataclass
class Outcome:
    """Of one sequence in a pass: its rows behind the last step, or the step where it left its range and how."""

    rows: np.ndarray | None = None
    refused: tuple[int, OutOfRange] | None = None


def run_pass(
    executor: Executor,
    pieces: Sequence[np.ndarray],
    starts: Sequence[int],
    blocks: RowBlocks | None = None,
    tables: Sequence[np.ndarray] = (),
    *,
    on_step: Callable[[int, Rows, Sequence[int], Sequence[Span]], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[Outcome]:
    """Take rows of the residual stream of several sequences, (rows, hidden) int64 each, through all steps.

    starts: positions of the first rows. tables: by sequence the blocks of its rows. `on_step(s, written, numbers, spans)` sees
    what every step writes, and whose rows these are. Raises GenerationCancelledError once `cancelled()` is true.
    """
    if not pieces or any(len(piece) == 0 for piece in pieces):
        raise TokenError("a pass needs a row of every sequence; leave out sequences that have none to feed")
    nothing = np.zeros(0, dtype=np.int64)
    spans, first = [], 0
    for number, (piece, start) in enumerate(zip(pieces, starts, strict=True)):
        spans.append(Span(first, first + len(piece), start, tables[number] if tables else nothing))
        first += len(piece)
    outcomes, present = [Outcome() for _ in pieces], list(range(len(pieces)))
    arrays, config = executor.arrays, executor.model.config
    fed, state = Pass(spans, blocks), {RESIDUAL: arrays.of(np.concatenate(pieces))}
    for step, scheduled in enumerate(config.schedule):
        if cancelled is not None and cancelled():
            raise GenerationCancelledError("the request was cancelled by its caller")
        while True:
            try:
                written = executor.run_step_there(step, state, fed)
                break
            except OutOfRange as error:
                left = _refused(executor, step, state, fed, error)
            for place, refused in left.items():
                outcomes[present[place]].refused = (step, refused)
            remaining = [place for place in range(len(present)) if place not in left]
            if not remaining:
                return outcomes
            fed, rows = fed.only(remaining)
            present = [present[place] for place in remaining]
            state = {name: values[arrays.of(rows)] for name, values in state.items()}
        state |= written
        for stream in config.programs[scheduled.kind].resets:
            del state[stream]
        if on_step is not None:
            on_step(step, executor.to_host(written), present, fed.spans)
    last = arrays.host(state[RESIDUAL])
    for number, span in zip(present, fed.spans, strict=True):
        outcomes[number].rows = last[span.first : span.end]
    return outcomes


def _refused(
    executor: Executor, step: int, state: Rows, fed: Pass, error: OutOfRange
) -> dict[int, OutOfRange]:
    """Which sequences cannot go through a step, by their place in the pass, and what each of them says when it is run alone."""
    left = set(error.rows)
    suspects = [
        place
        for place, span in enumerate(fed.spans)
        if not left or any(span.first <= row < span.end for row in left)
    ]
    found: dict[int, OutOfRange] = {}
    for place in suspects:
        alone, own = fed.only([place])
        try:
            rows = {name: values[executor.arrays.of(own)] for name, values in state.items()}
            executor.run_step_there(step, rows, alone)
        except OutOfRange as refused:
            found[place] = refused
    if not found:
        raise error  # every sequence would be right where all together are not: then nothing is known for certain
    return found


@dataclass
class Request:
    """One generation: as `Executor.generate` takes it.

    scope: with whom beginnings of prompts are shared (row_blocks.py); None: with nobody.
    """

    prompt: Sequence[int]
    max_tokens: int
    sampling: Sampling | None = None
    end_ids: Sequence[int] | None = None
    on_token: Callable[[int], None] | None = None
    cancelled: Callable[[], bool] | None = None
    scope: bytes | None = None
    watch: Watch | None = None

    @property
    def is_plain(self) -> bool:
        """Whether its next token can be chosen in one pass with those of others."""
        return self.sampling is None and (self.watch is None or not self.watch.wants_logits)


@dataclass
class Running:
    """A request that is being run. `result` or `failure` is set once it has ended."""

    request: Request
    blocks: np.ndarray
    fed: int
    reused: int
    ends: frozenset[int]
    produced: list[int] = field(default_factory=list)
    result: Generation | None = None
    failure: BaseException | None = None
    _name: bytes = b""
    _named: int = 0
    _fed_in: int = -1  # the last pass that fed some of its prompt
    _closing: Generation | None = None
    _ahead: LookAhead | None = None
    _guessed: list[int] = field(default_factory=list)  # whose rows are in this pass

    @property
    def has_ended(self) -> bool:
        return self.result is not None or self.failure is not None

    @property
    def unfed(self) -> int:
        """Tokens of the prompt that are still to be fed."""
        return max(0, len(self.request.prompt) - self.fed)

    @property
    def is_cancelled(self) -> bool:
        return self.request.cancelled is not None and self.request.cancelled()

    @property
    def ids(self) -> list[int]:
        """Prompt and output."""
        return [*self.request.prompt, *self.produced]


class Batch:
    """Sequences that are generated together. One thread admits and steps."""

    def __init__(self, executor: Executor, blocks: RowBlocks) -> None:
        self._executor, self.blocks = executor, blocks
        self.running: list[Running] = []
        self.fed_rows = self.reused_rows = self.passes = 0
        self.guessed_rows = self.right_guesses = 0

    def windows(self, request: Request) -> int:
        """Blocks that a request can come to need."""
        return -(-(len(request.prompt) + request.max_tokens - 1) // WINDOW_ROWS)

    def check(self, request: Request) -> None:
        """Raise what `Executor.generate` raises in front of all work: TokenError, SequenceTooLongError."""
        if len(request.prompt) == 0 or request.max_tokens < 1:
            raise TokenError(
                "the prompt is empty or max_tokens is below 1; send at least one token and ask for one"
            )
        length = len(request.prompt) + request.max_tokens - 1
        most = min(self._executor.model.config.max_positions, WINDOW_ROWS * self.blocks.count)
        if length > most:
            raise SequenceTooLongError(length, most)
        self._executor.embed(request.prompt)

    def admit(self, request: Request) -> Running | None:
        """Let a request that `check` takes join; None where its blocks are not available now."""
        found = self.blocks.find(request.prompt, request.scope)
        taken = self.blocks.reserve(found, self.windows(request))
        if taken is None:
            return None
        ends = self._executor.model.end_tokens if request.end_ids is None else request.end_ids
        reused = WINDOW_ROWS * len(found)
        sequence = Running(request, taken, reused, reused, frozenset(ends))
        if self._executor.looks_ahead:
            sequence._ahead = LookAhead(request.prompt, request.max_tokens)
        if request.scope is not None:
            sequence._name = first_name(request.scope)
            self._name_blocks(sequence, known=len(found))
        self.reused_rows += reused
        self.running.append(sequence)
        return sequence

    def step(self, most_rows: int) -> list[Running]:
        """One pass over all that run, with about `most_rows` tokens of prompts; returns those that it ended.

        Prompts share these rows by windows, so that a short one never waits until a long one is through.
        """
        ended = [sequence for sequence in self.running if self._leaves(sequence)]
        self.running = [sequence for sequence in self.running if not sequence.has_ended]
        if not self.running:
            return ended
        present = self._taking_part(most_rows)
        pieces = [piece for _, piece in present]
        sequences = [sequence for sequence, _ in present]
        try:
            outcomes = run_pass(
                self._executor,
                pieces,
                [sequence.fed for sequence in sequences],
                self.blocks,
                [sequence.blocks for sequence in sequences],
                cancelled=lambda: all(sequence.is_cancelled for sequence in sequences),
            )
        except GenerationCancelledError:
            return ended + self._drop_ended(sequence for sequence in self.running if self._leaves(sequence))
        except Exception as error:
            # What no sequence can be blamed for (memory, say) ends all of the pass and none of the others.
            for sequence in sequences:
                self._fail(sequence, error)
            return ended + self._drop_ended(sequences)
        self.passes += 1
        choosing: list[tuple[Running, np.ndarray]] = []
        for sequence, piece, outcome in zip(sequences, pieces, outcomes, strict=True):
            known = len(piece) - len(sequence._guessed)
            self.fed_rows += known
            self.guessed_rows += len(sequence._guessed)
            if outcome.refused is not None:
                if sequence._guessed and sequence._ahead is not None:
                    sequence._ahead.give_up()  # whose row it was shows in the next pass, which is without guesses
                else:
                    self._fail(sequence, outcome.refused[1])
                continue
            assert outcome.rows is not None
            sequence.fed += known
            if sequence._closing is not None:
                self._finish(sequence, sequence._closing)
                continue
            self._name_blocks(sequence)
            if sequence.unfed == 0:
                choosing.append((sequence, outcome.rows[known - 1 :]))
        self._choose(choosing)
        return ended + self._drop_ended(sequences)

    def abandon(self, error: BaseException) -> list[Running]:
        """End everything that runs with the same failure."""
        for sequence in self.running:
            if not sequence.has_ended:
                self._fail(sequence, error)
        return self._drop_ended(self.running)

    def _taking_part(self, most_rows: int) -> list[tuple[Running, np.ndarray]]:
        """Who feeds what in the next pass."""
        present: list[tuple[Running, np.ndarray]] = []
        prompts: list[Running] = []
        guesses = _ROWS_WITH_GUESSES // len(self.running) - 1
        if any(sequence.unfed or sequence._closing for sequence in self.running):
            guesses = 0  # many rows already
        for sequence in self.running:
            sequence._guessed = []
            if sequence.unfed:
                prompts.append(sequence)
            elif sequence._closing is not None:
                missing = -sequence.fed % WINDOW_ROWS
                padded = np.zeros((missing, self._executor.model.config.hidden), dtype=np.int64)
                present.append((sequence, padded))
            else:
                if guesses and sequence._ahead is not None:
                    sequence._guessed = sequence._ahead.guess(guesses)
                fed = [sequence.produced[-1], *sequence._guessed]
                present.append((sequence, self._executor.embed(fed)))
        left = max(most_rows, WINDOW_ROWS)
        # Who was fed longest ago comes first, so that none waits for ever; among them the shortest, whose rest goes to the others.
        prompts.sort(key=lambda sequence: (sequence._fed_in, sequence.unfed))
        for place, sequence in enumerate(prompts):
            share = max(WINDOW_ROWS, left // (len(prompts) - place) // WINDOW_ROWS * WINDOW_ROWS)
            rows = min(sequence.unfed, share)
            # Pieces end with windows, so that the next one begins with one.
            if rows < sequence.unfed:
                rows -= (sequence.fed + rows) % WINDOW_ROWS
            if left <= 0:
                break
            left -= rows
            sequence._fed_in = self.passes
            prompt = sequence.request.prompt[sequence.fed : sequence.fed + rows]
            present.append((sequence, self._executor.embed(prompt)))
        return present

    def _choose(self, choosing: Sequence[tuple[Running, np.ndarray]]) -> None:
        """The next tokens of every sequence whose rows are at hand: the last one that is known and those of guesses."""
        greedy = [(sequence, rows) for sequence, rows in choosing if sequence.request.is_plain]
        if greedy:
            positions = [sequence.fed - 1 + np.arange(len(rows)) for sequence, rows in greedy]
            try:
                chosen = self._executor.largest(
                    np.concatenate([rows for _, rows in greedy]), np.concatenate(positions)
                )
            except OutOfRange:
                for sequence, rows in greedy:
                    self._choose_alone(sequence, rows)
            else:
                first = 0
                for sequence, rows in greedy:
                    own = chosen[first : first + len(rows)].tolist()
                    self._take_right(sequence, rows, own.__getitem__)
                    first += len(rows)
        for sequence, rows in choosing:
            if not sequence.request.is_plain:
                self._choose_alone(sequence, rows)

    def _choose_alone(self, sequence: Running, rows: np.ndarray) -> None:
        choose = chooser(self._executor, rows, sequence.fed - 1, sequence.request.sampling)
        self._take_right(sequence, rows, choose)

    def _take_right(self, sequence: Running, rows: np.ndarray, choose: Callable[[int], int]) -> None:
        """Take one token, and those behind guesses that were right, as if each had been fed alone."""
        watch, right = sequence.request.watch, 0
        wanted = watch is not None and watch.wants_logits
        try:
            for right, token in enumerate(as_long_as_right(sequence._guessed, choose)):
                if right:
                    sequence.fed += 1
                    self.fed_rows += 1
                    self.right_guesses += 1
                    self._name_blocks(sequence)
                row = rows[right : right + 1]
                logits = self._executor.logits(row, sequence.fed - 1)[0] if wanted else None
                self._take(sequence, token, logits)
                if sequence.has_ended or sequence._closing is not None or sequence.is_cancelled:
                    return
        except Exception as error:
            self._fail(sequence, error)
            return
        if sequence._guessed and sequence._ahead is not None:
            sequence._ahead.note(right)

    def _take(self, sequence: Running, token: int, logits: np.ndarray | None = None) -> None:
        request = sequence.request
        sequence.produced.append(token)
        if sequence._ahead is not None:
            sequence._ahead.add(token)
        try:
            is_over = request.watch is not None and request.watch.chosen(token, logits)
            if request.on_token is not None:
                request.on_token(token)
        except Exception as error:
            self._fail(sequence, error)
            return
        if not (token in sequence.ends or is_over or len(sequence.produced) == request.max_tokens):
            return
        reason = "stop" if token in sequence.ends or is_over else "length"
        generation = Generation(sequence.produced, reason)  # type: ignore[arg-type]
        padded = sequence.fed + -sequence.fed % WINDOW_ROWS
        if padded == sequence.fed:
            self._finish(sequence, generation)
        elif padded > self._executor.model.config.max_positions:
            self._fail(sequence, SequenceTooLongError(padded, self._executor.model.config.max_positions))
        else:
            sequence._closing = generation

    def _leaves(self, sequence: Running) -> bool:
        if sequence.is_cancelled and not sequence.has_ended:
            self._fail(sequence, GenerationCancelledError("the request was cancelled by its caller"))
        return sequence.has_ended

    def _finish(self, sequence: Running, generation: Generation) -> None:
        sequence.result = generation
        self.blocks.release(sequence.blocks)

    def _fail(self, sequence: Running, error: BaseException) -> None:
        sequence.failure = error
        self.blocks.release(sequence.blocks)

    def _drop_ended(self, sequences: Any) -> list[Running]:
        ended = [sequence for sequence in sequences if sequence.has_ended]
        self.running = [sequence for sequence in self.running if not sequence.has_ended]
        return ended

    def _name_blocks(self, sequence: Running, known: int = 0) -> None:
        """Name the blocks that are full of tokens now, the first `known` of which have their names."""
        if sequence.request.scope is None:
            return
        ids = sequence.ids
        while WINDOW_ROWS * (sequence._named + 1) <= sequence.fed:
            number = sequence._named
            sequence._name = next_name(sequence._name, ids[WINDOW_ROWS * number : WINDOW_ROWS * (number + 1)])
            if number >= known:
                self.blocks.name(int(sequence.blocks[number]), sequence._name)
            sequence._named += 1


def batch_in_memory(executor: Executor, memory: int, sequences: int) -> Batch:
    """A batch whose blocks take at most `memory` bytes, and no more than twice so many sequences of full length could use.

    A whole sequence always fits, whatever the memory.
    """
    config = executor.model.config
    whole = -(-config.max_positions // WINDOW_ROWS)
    count = min(memory // bytes_per_block(config), 2 * sequences * whole)
    return Batch(executor, RowBlocks(max(count, whole), config.layers, executor.arrays))
