"""Running a model: the layer programs' operators on exact integers, for a whole sequence or token by token.

A `Decoding` holds the rotated keys and the values of every position seen. Feeding ids in one call or in many
gives the same integers, because every operator is a function of exact integers and attention is causal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal, Protocol

import numpy as np

from ..arrays import Arrays
from ..kept_memory import keep_freed_memory
from ..operators.routed_rows import RoutedRows
from ..program import WINDOW_ROWS, Operator, OutOfRange, Program, RunContext
from ..sampling import Sampling
from ..streams import RESIDUAL, SUMS
from .devices import HOST_DEVICE, Device, Largest, Product
from .errors import GenerationCancelledError, SequenceTooLongError, TokenError
from .exact_gemm import Matrix
from .look_ahead import LookAhead, as_long_as_right, chooser
from .stream_versions import EMBEDDING
from .weights import IntegerModel

# (layer, tensors of one step by name, each with rows first)
Observer = Callable[[int, dict[str, np.ndarray]], None]

_LOGIT_ROWS_AT_ONCE = 128
_UNSEEN_ROWS_AT_ONCE, _UNSEEN_ROWS_AT_MOST = 4 * WINDOW_ROWS, 8 * WINDOW_ROWS
"""Pieces of what nobody looks into, so that what operators pass on stays in the caches, and how many rows are still one piece, for which
weights are read once."""
_KEPT_ROWS_AT_ONCE = 8 * WINDOW_ROWS
"""Of a prompt, where what every step writes is kept: bounds what is kept at once."""


Rows = dict[str, np.ndarray]
"""Rows of streams by name: (rows, ...) int64, NumPy's unless it says that they lie on the executor's device."""

StepObserver = Callable[[int, Rows], None]
"""(step, what it wrote); EMBEDDING for the rows in front of the first step."""


class Fed(Protocol):
    """Where the rows of a pass stand: those of one sequence (`Decoding`), or of several (`batch.Pass`)."""

    def positions(self, rows: int) -> np.ndarray:
        """Of every row, (rows,)."""

    def keep_in(self, layer: int) -> dict[str, Any]:
        """What `RunContext` has to know about earlier rows: its `cache`, or its `spans` and `blocks`."""


@dataclass
class Decoding:
    """Position of one sequence: how many tokens were fed, and per layer the keys and values that attention needs."""

    caches: list[dict[str, np.ndarray]]
    length: int = 0

    def positions(self, rows: int) -> np.ndarray:
        return np.arange(self.length, self.length + rows)

    def keep_in(self, layer: int) -> dict[str, Any]:
        return {"cache": self.caches[layer]}


@dataclass(frozen=True)
class Generation:
    """What a generation produced. `ids` ends with the end token when `finish_reason` is "stop"."""

    ids: list[int]
    finish_reason: Literal["stop", "length"]


@dataclass(frozen=True)
class _PreparedStep:
    """What a step needs besides its rows, found out once: a token runs dozens of steps."""

    program: Program
    layer: int
    operators: tuple[Operator, ...]
    reads: tuple[tuple[str, str], ...]
    writes: tuple[tuple[str, str], ...]
    weights: Rows
    matmul: Callable[..., Any]
    rounded: Callable[..., tuple[Any, bool]]


class Watch(Protocol):
    """What a request sees of its own generation, token by token, in the thread that generates."""

    @property
    def wants_logits(self) -> bool:
        """Whether the logits of every row are worth a whole head."""

    def chosen(self, token: int, logits: np.ndarray | None) -> bool:
        """The next id, and its row of logits, (vocabulary,) int64, if wanted. True: the answer ends with it."""


@dataclass
class Executor:
    """Runs one model, on a device: what comes in and goes out are NumPy arrays. Thread-safe: all state of a sequence is in its `Decoding`."""

    model: IntegerModel
    observer: Observer | None = None
    device: Device = HOST_DEVICE
    _parameters: list[dict[str, int]] = field(init=False, repr=False)
    _matrices: dict[tuple[int, str, int | None, int | None], Product] = field(
        init=False, repr=False, default_factory=dict
    )
    _steps: dict[int, _PreparedStep] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        keep_freed_memory()
        self._parameters = [
            self.model.layer_parameters(step.layer, step.kind, step.tile)
            for step in self.model.config.schedule
        ]

    @property
    def arrays(self) -> Arrays:
        """Where rows lie while steps run."""
        return self.device.arrays

    def to_host(self, rows: Rows) -> Rows:
        """Rows on the device as NumPy arrays."""
        return {name: self.arrays.host(values) for name, values in rows.items()}

    def start(self) -> Decoding:
        """An empty sequence."""
        return Decoding([{} for _ in range(self.model.config.layers)])

    def embed(self, ids: Sequence[int]) -> np.ndarray:
        """Rows of the residual stream in front of the first step, (T, hidden) int64. Raises TokenError for ids outside the vocabulary."""
        indices = np.asarray(ids, dtype=np.int64)
        vocabulary = self.model.config.vocabulary
        if indices.size and (indices.min() < 0 or indices.max() >= vocabulary):
            bad = next(i for i in ids if not 0 <= i < vocabulary)
            raise TokenError(f"token id {bad} is outside the vocabulary of {vocabulary}")
        return self.model.weights.embedding[indices].astype(np.int64)

    def run_step(self, step: int, state: Mapping[str, np.ndarray], fed: Fed) -> Rows:
        """What step number `step` writes, from the same rows of the streams in front of it.

        The rows follow those fed before; a step that reads earlier windows of a stream takes them
        from what is kept of the layer and extends it. Raises prover.program.OutOfRange when a value leaves its declared range.
        """
        on_device = {name: self.arrays.of(values) for name, values in state.items()}
        return self.to_host(self.run_step_there(step, on_device, fed))

    def run_step_there(self, step: int, state: Mapping[str, Any], fed: Fed) -> Rows:
        """`run_step` of rows on the device, which stay there."""
        kept = self._prepared(step)
        context = self._context(step, kept, state, fed)
        for operator in kept.operators:
            operator.run(context)
            if context.idle:  # an expert that no row is routed to: its weights are not even looked at
                return {stream: context.tensors[kept.program.reads[stream]] for stream in kept.program.writes}
        if self.observer is not None:
            self.observer(kept.layer, self.to_host(context.tensors))
        return {stream: context.tensors[tensor] for stream, tensor in kept.writes}

    def pass_over(self, step: int, state: Mapping[str, np.ndarray], fed: Fed) -> None:
        """Keep of rows what later ones read of them in this step, without running it."""
        kept = self._prepared(step)
        on_device = {name: self.arrays.of(values) for name, values in state.items()}
        context = self._context(step, kept, on_device, fed)
        for operator in kept.operators:
            operator.keep(context)

    def _context(self, step: int, kept: _PreparedStep, state: Mapping[str, Any], fed: Fed) -> RunContext:
        """What the operators of a step start from, on the device."""
        rows = state[RESIDUAL].shape[0]
        return RunContext(
            tensors={
                tensor: self.arrays.of(_nothing(kept.program, tensor, rows))
                if stream in SUMS and stream not in state
                else state[stream]
                for stream, tensor in kept.reads
            },
            parameters=self._parameters[step],
            matmul=kept.matmul,
            positions=fed.positions(rows),
            layer=kept.layer,
            weights=kept.weights,
            arrays=self.arrays,
            rounded=kept.rounded,
            **fed.keep_in(kept.layer),
        )

    def _prepared(self, step: int) -> _PreparedStep:
        if (known := self._steps.get(step)) is not None:
            return known
        scheduled = self.model.config.schedule[step]
        program = self.model.config.programs[scheduled.kind]
        self._steps[step] = _PreparedStep(
            program,
            scheduled.layer,
            tuple(program.operators),
            tuple(program.reads.items()),
            tuple(program.writes.items()),
            self._other_weights(step),
            lambda name, x, inputs=slice(None): self._matrix(step, name, inputs).multiply(x),
            partial(self._multiply_rounded, step),
        )
        return self._steps[step]

    def _other_weights(self, step: int) -> Rows:
        """The weights of a step that are no matrices, on the device."""
        scheduled = self.model.config.schedule[step]
        matrices = self.model.config.steps[scheduled.kind].matrices
        weight = partial(self.model.layer_weight, scheduled.layer, scheduled.kind, scheduled.tile)
        names = (tensor.name for tensor in self.model.config.programs[scheduled.kind].weights)
        return {name: self.arrays.of(weight(name)) for name in names if name not in matrices}

    def _multiply_rounded(
        self, step: int, name: str, x: Any, bias: Any, shift: int, limit: int
    ) -> tuple[Any, bool]:
        """`RunContext.rounded`."""
        matrix = self._matrix(step, name, slice(None))
        if isinstance(matrix, Matrix):
            return matrix.multiply_rounded(x, bias, shift, limit)
        return self.arrays.round_rows(matrix.multiply(x), bias, shift, limit)

    def _matrix(self, step: int, name: str, inputs: slice) -> Product:
        """A matrix of a step, or those of its rows that meet some inputs; what the kernels know about it is found out once."""
        scheduled, key = self.model.config.schedule[step], (step, name, inputs.start, inputs.stop)
        if (known := self._matrices.get(key)) is not None:
            return known
        weights = self.model.layer_weight(scheduled.layer, scheduled.kind, scheduled.tile, name)[inputs].T
        whole = self.model.weights.layers[scheduled.layer][name].values
        if not np.may_share_memory(weights, whole):  # a last tile with zeros behind it: a copy
            passing = self.device.passing(weights)
            if passing is not None:
                return passing
        self._matrices[key] = self.device.matrix(weights)
        return self._matrices[key]

    @cached_property
    def _head(self) -> Largest:
        return self.device.outputs(self.model.weights.head)

    def feed_rows(
        self,
        rows: np.ndarray,
        decoding: Decoding,
        *,
        on_step: StepObserver | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> np.ndarray:
        """Take rows of the residual stream through all steps; returns what they are behind the last one.

        `on_step(s, written)` sees what every step writes; where nobody looks, many rows go in pieces. Raises
        SequenceTooLongError, prover.program.OutOfRange, and
        GenerationCancelledError once `cancelled()` is true.
        """
        total = decoding.length + rows.shape[0]
        if total > self.model.config.max_positions:
            raise SequenceTooLongError(total, self.model.config.max_positions)
        if on_step is None and self.observer is None and len(rows) > _UNSEEN_ROWS_AT_MOST:
            pieces = [
                self.feed_rows(rows[start : start + _UNSEEN_ROWS_AT_ONCE], decoding, cancelled=cancelled)
                for start in range(0, len(rows), _UNSEEN_ROWS_AT_ONCE)
            ]
            return np.concatenate(pieces)
        state: Rows = {RESIDUAL: self.arrays.of(rows)}
        for step in range(len(self.model.config.schedule)):
            if cancelled is not None and cancelled():
                raise GenerationCancelledError("the request was cancelled by its caller")
            written = self.run_step_there(step, state, decoding)
            state |= written
            for stream in self.model.config.programs[self.model.config.schedule[step].kind].resets:
                del state[stream]
            if on_step:
                on_step(step, self.to_host(written))
        decoding.length = total
        return self.arrays.host(state[RESIDUAL])

    def feed(
        self,
        ids: Sequence[int],
        decoding: Decoding,
        *,
        on_step: StepObserver | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> np.ndarray:
        """Append tokens to a sequence; returns their rows of the residual stream behind the last step, (len(ids), hidden) int64.

        `on_step` sees the embedding rows, then what every step writes.
        """
        rows = self.embed(ids)
        if on_step:
            on_step(EMBEDDING, {RESIDUAL: rows})
        return self.feed_rows(rows, decoding, on_step=on_step, cancelled=cancelled)

    def feed_kept(
        self,
        ids: Sequence[int],
        decoding: Decoding,
        on_step: StepObserver,
        *,
        cancelled: Callable[[], bool] | None = None,
    ) -> np.ndarray:
        """`feed` in pieces, so that whoever keeps what steps write need not keep a long text's at once; returns the last piece's rows."""
        for first in range(0, len(ids), _KEPT_ROWS_AT_ONCE):
            piece = ids[first : first + _KEPT_ROWS_AT_ONCE]
            rows = self.feed(piece, decoding, on_step=on_step, cancelled=cancelled)
        return rows

    def finish_window(
        self,
        decoding: Decoding,
        *,
        on_step: StepObserver | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Run the padded rows of the last window (zero embedding), which a trace contains beside those of the text.

        They attend to the whole text, so nobody can know beforehand that they stay in range. Whoever commits must have
        run them; nothing can be fed behind them. Raises as `feed_rows` does.
        """
        missing = -decoding.length % WINDOW_ROWS
        if missing:
            rows = np.zeros((missing, self.model.config.hidden), dtype=np.int64)
            if on_step:
                on_step(EMBEDDING, {RESIDUAL: rows})
            self.feed_rows(rows, decoding, on_step=on_step, cancelled=cancelled)

    def logits(self, rows: np.ndarray, first_position: int = 0) -> np.ndarray:
        """Integer logits of rows of the last boundary, (rows, vocabulary) int64; their scale does not matter."""
        positions = np.arange(first_position, first_position + rows.shape[0])
        return self._run_head(rows, positions, self._head.multiply)

    def _run_head(self, rows: np.ndarray, positions: np.ndarray, product: Callable[[Any], Any]) -> np.ndarray:
        """`product` of what the head multiplies: its normalised rows."""
        context = RunContext(
            tensors={"window": self.arrays.of(rows)},
            parameters={},
            matmul=lambda weight, x: product(x),
            positions=positions,
            layer=self.model.config.layers,
            arrays=self.arrays,
        )
        for operator in self.model.config.programs["head"].operators:
            operator.run(context)
        return self.arrays.host(context.tensors["logits"])

    def largest(self, rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """argmax of the logits of rows at any positions, (rows,) int64, ties to the smaller id."""
        pieces = [
            slice(start, start + _LOGIT_ROWS_AT_ONCE) for start in range(0, len(rows), _LOGIT_ROWS_AT_ONCE)
        ]
        chosen = [self._run_head(rows[some], positions[some], self._head.largest) for some in pieces]
        return np.concatenate(chosen) if chosen else np.empty(0, dtype=np.int64)

    def predictions(
        self, rows: np.ndarray, first_position: int = 0, sampling: Sampling | None = None
    ) -> np.ndarray:
        """Next token of each row, (rows,) int64: argmax of the logits, or of the rule's scores, ties to the smaller id.

        Raises SamplingError for a model whose logits have a scale that no rule takes.
        """

        def choose(position: int, some: np.ndarray) -> np.ndarray:
            if sampling is None:
                return self.largest(some, np.arange(position, position + len(some)))
            return sampling.choose(self.logits(some, position), position, self.model.logit_scale)

        chosen = [
            choose(first_position + start, rows[start : start + _LOGIT_ROWS_AT_ONCE])
            for start in range(0, rows.shape[0], _LOGIT_ROWS_AT_ONCE)
        ]
        return np.concatenate(chosen) if chosen else np.empty(0, dtype=np.int64)

    def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        *,
        end_ids: Sequence[int] | None = None,
        sampling: Sampling | None = None,
        on_token: Callable[[int], None] | None = None,
        on_step: StepObserver | None = None,
        cancelled: Callable[[], bool] | None = None,
        watch: Watch | None = None,
    ) -> Generation:
        """Continuation of `prompt`, greedy or by `sampling`, until an end token, `max_tokens` or the word of `watch`; what it
        returns can be traced.

        `on_token` is called with each id as soon as it is known, end token included, and after `watch`. `on_step` sees, in parts,
        all rows that a trace of the answer has, those of the padding too. Raises TokenError (empty
        prompt, bad id, max_tokens < 1), SequenceTooLongError before anything is computed,
        prover.program.OutOfRange and GenerationCancelledError; the padded rows of the last window are run at the end,
        so OutOfRange may follow the last token.
        """
        if len(prompt) == 0 or max_tokens < 1:
            raise TokenError(
                "the prompt is empty or max_tokens is below 1; send at least one token and ask for one"
            )
        length = len(prompt) + max_tokens - 1  # the last token is predicted but never fed
        if length > self.model.config.max_positions:
            raise SequenceTooLongError(length, self.model.config.max_positions)
        ends = frozenset(self.model.end_tokens if end_ids is None else end_ids)
        decoding, produced, fed, guessed = self.start(), list[int](), list(prompt), list[int]()
        ahead = LookAhead(prompt, max_tokens) if self.looks_ahead and on_step is None else None
        while True:
            if on_step:
                rows = self.feed_kept(fed, decoding, on_step, cancelled=cancelled)
            else:
                rows = self._feed_guessed(fed, guessed, decoding, cancelled)
                guessed = guessed[: len(rows) - len(fed)]
                decoding.length -= len(guessed)
            rows = rows[len(rows) - 1 - len(guessed) :]
            choose = chooser(self, rows, decoding.length - 1, sampling)
            for place, chosen in enumerate(as_long_as_right(guessed, choose)):
                decoding.length += place > 0
                produced.append(chosen)
                ends_here = chosen in ends
                if watch is not None:
                    row, position = rows[place : place + 1], decoding.length - 1
                    wanted = self.logits(row, position)[0] if watch.wants_logits else None
                    ends_here = watch.chosen(chosen, wanted) or ends_here
                if on_token:
                    on_token(chosen)
                if ends_here or len(produced) == max_tokens:
                    self.finish_window(decoding, on_step=on_step, cancelled=cancelled)
                    return Generation(produced, "stop" if ends_here else "length")
                if cancelled is not None and cancelled():
                    raise GenerationCancelledError("the request was cancelled by its caller")
                if ahead is not None:
                    ahead.add(chosen)
            fed = [chosen]
            if ahead is not None:
                if guessed:
                    ahead.note(place)
                guessed = ahead.guess()

    @cached_property
    def looks_ahead(self) -> bool:
        """Whether a pass of several rows reads hardly more weights than one of a single row: not where rows go to experts of their own.
        And whoever watches steps wants those of the text only."""
        kinds = {step.kind for step in self.model.config.schedule}
        operators = (operator for kind in kinds for operator in self.model.config.programs[kind].operators)
        return self.observer is None and not any(isinstance(operator, RoutedRows) for operator in operators)

    def _feed_guessed(
        self,
        fed: list[int],
        guessed: list[int],
        decoding: Decoding,
        cancelled: Callable[[], bool] | None,
    ) -> np.ndarray:
        """`feed` with guessed tokens behind; without them where one of their rows, which may be none of the text, leaves its range."""
        try:
            return self.feed([*fed, *guessed], decoding, cancelled=cancelled)
        except OutOfRange:
            if not guessed:
                raise
            return self.feed(fed, decoding, cancelled=cancelled)

    def replay(
        self, prompt: Sequence[int], output: Sequence[int], sampling: Sampling | None = None
    ) -> int | None:
        """Check a response in one causal pass.

        Returns the index of the first output token that is not the rule's, or None if all are.
        """
        if len(prompt) == 0 or len(output) == 0:
            raise TokenError("prompt and output must not be empty")
        rows = self.feed([*prompt, *output[:-1]], self.start())
        first = len(prompt) - 1
        wrong = np.flatnonzero(self.predictions(rows[first:], first, sampling) != np.asarray(output))
        return int(wrong[0]) if wrong.size else None


def _nothing(program: Program, tensor: str, rows: int) -> np.ndarray:
    """A sum that nobody wrote yet: a tile that adds to it has weights over its axes."""
    sizes = (program.real_sizes[axis] for axis in program.tensors[tensor].axes[1:])
    return np.zeros((rows, *sizes), dtype=np.int64)
