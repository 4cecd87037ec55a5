"""One response under one model: what a provider defends and a challenger compares.

Everything is computed when first asked for and kept: the trace (one causal pass), window commitments of what every
step writes, next tokens, and proofs. Positions run over prompt + output without its last token, which is
predicted but never fed.

Where a value leaves its range, no proof exists (operators/README.md): `first_unprovable` says where the trace ends, and
everything in front of it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, wraps
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np

from .answer_commitments import padded_sizes
from .argument.commitment import commit_integers
from .audits.head_tiles import HeadAudit
from .audits.private_head import PrivateHead
from .curve.g1 import INFINITY, Point
from .curve.srs import SRS
from .embedding_prover import prove_embedding
from .errors import BadInputError
from .hidden_points import blind_all
from .hiding import Blindings
from .model.execute import Executor
from .model.stream_versions import EMBEDDING, StreamVersions
from .model.trace import Trace, traces
from .model.weights import IntegerModel
from .model_blindings import ResponseBlindings
from .model_commitment import ModelCommitment, decode_step_key, padded_weights
from .operators.head_pair import RivalWins
from .plan import PRIVATE
from .program import WINDOW_BITS, WINDOW_ROWS, OutOfRange, Program, Tensor
from .proof_system import ProofSystem
from .prove import prove
from .sampling import Sampling, head_publics
from .statement import Statement, StepKey
from .stream_commitments import boundary_hash, chunk_points, running_blindings, running_sums, stream_root
from .streams import RESIDUAL, Stream

Progress = Callable[[str, int, int], None]
PHASES = ("witness", "commit", "logup", "sumcheck", "reduction", "opening")


_Result = TypeVar("_Result")
_Arguments = ParamSpec("_Arguments")


def _discreet(
    method: Callable[Concatenate[Replay, _Arguments], _Result],
) -> Callable[Concatenate[Replay, _Arguments], _Result]:
    """Of a private model, errors that leave here name no value of a run: they go into logs, and over the wire."""

    @wraps(method)
    def called(self: Replay, /, *arguments: _Arguments.args, **options: _Arguments.kwargs) -> _Result:
        if self._blindings is None:
            return method(self, *arguments, **options)
        try:
            return method(self, *arguments, **options)
        except OutOfRange as error:
            told: Exception = error.without_value()
        except RivalWins:
            told = RivalWins("a committed token does not beat a rival (head statement is false)")
        raise told

    return called


class Replay:
    """A sequence of token ids run by `model`, with commitments and proofs under `commitment` and `srs`."""

    def __init__(
        self,
        model: IntegerModel,
        commitment: ModelCommitment,
        srs: SRS,
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
        progress: Progress | None = None,
        sampling: Sampling | None = None,
        blindings: ResponseBlindings | None = None,
        points: Mapping[tuple[int, str], list[Point]] | None = None,
        last_rows: np.ndarray | None = None,
        executor: Executor | None = None,
    ) -> None:
        """sampling: the response's rule; None is greedy. blindings: of a private model's commitment and of this response's windows.
        points: all that would be committed, by step and stream, if that was done while generating (`answer_commitments`). last_rows: (32 W, hidden) rows
        of the last boundary, likewise. executor: what runs the model; None: one of its own, in this process."""
        if not prompt_ids or not output_ids:
            raise BadInputError("a response needs at least one prompt token and one output token")
        _check_blindings(commitment, blindings)
        self.model, self.commitment, self.srs, self.sampling = model, commitment, srs, sampling
        self.prompt_ids, self.output_ids = list(prompt_ids), list(output_ids)
        self.system = ProofSystem.shared(model.config, srs, commitment.privacy)
        self._blindings = blindings
        self._progress = progress
        self._streams = {stream.name: stream for stream in model.config.streams}
        # window commitments by the step that wrote them
        self._points: dict[tuple[int, str], list[Point]] = dict(points or {})
        self._is_committed = points is not None
        self._last_rows = last_rows
        self._versions = StreamVersions(model.config)
        self._roots: dict[tuple[int, str], bytes] = {}
        self._executor = executor or Executor(model)

    # --- the sequence -----------------------------------------------------------------------------------

    @property
    def sequence(self) -> list[int]:
        """Prompt and output ids."""
        return [*self.prompt_ids, *self.output_ids]

    @property
    def positions(self) -> int:
        """T: number of fed tokens."""
        return len(self.sequence) - 1

    @property
    def windows(self) -> int:
        """W = ceil(T / 32)."""
        return -(-self.positions // WINDOW_ROWS)

    @cached_property
    def trace(self) -> Trace:
        """All boundaries, or those in front of a value that leaves its range. Raises TokenError, SequenceTooLongError."""
        return Trace(self._executor, self.sequence[:-1], progress=self._progress)

    def first_unprovable(self) -> tuple[int, int] | None:
        """(step, window) of the first step that nobody can prove, in its first such window; None when all can be."""
        refusal = self.trace.refusal
        return None if refusal is None else (refusal.step, refusal.window)

    @cached_property
    @_discreet
    def predictions(self) -> list[int | None]:
        """The rule's next token after every position from the last prompt token on; None where no pair is provable.

        Raises OutOfRange when the trace ends before the head.
        """
        first = len(self.prompt_ids) - 1
        rows = self.trace.stream(self.trace.steps)[first : self.positions]
        try:
            return [int(token) for token in self._executor.predictions(rows, first, self.sampling)]
        except OutOfRange:
            return [self._prediction(rows[i : i + 1], first + i) for i in range(len(rows))]

    def _prediction(self, row: np.ndarray, position: int) -> int | None:
        try:
            return int(self._executor.predictions(row, position, self.sampling)[0])
        except OutOfRange:
            return None

    def argmax(self, position: int) -> int | None:
        """The token after `position` with the largest score under the response's rule, ties to the smaller id.

        None when that row leaves the head's range: then no token can be shown to beat another.
        """
        first = len(self.prompt_ids) - 1
        if not first <= position < self.positions:
            raise BadInputError(
                f"position {position} predicts no output token; they are {first}..{self.positions - 1}"
            )
        return self.predictions[position - first]

    def first_wrong_output(self) -> tuple[int, int] | None:
        """(position, rival) of the first output token that cannot be shown to beat that rival.

        The rival is the rule's token, the one with the largest logit where min_p excludes the output token, or any other one
        where no pair is provable.
        """
        first = len(self.prompt_ids) - 1
        for offset, (token, predicted) in enumerate(zip(self.output_ids, self.predictions, strict=True)):
            if token == predicted:
                continue
            if predicted is None:
                return first + offset, int(token == 0)
            largest = self._excluding(first + offset, token)
            return first + offset, predicted if largest is None else largest
        return None

    def winner(self, position: int, rival: int) -> int:
        """The token whose row answers a rival: the committed one, or the one that excludes the rival by min_p."""
        largest = self._excluding(position, rival)
        return self.sequence[position + 1] if largest is None else largest

    def _excluding(self, position: int, token: int) -> int | None:
        """The token with the largest logit after `position` if min_p leaves `token` out because of it."""
        if self.sampling is None or not self.sampling.min_p or token >= self.model.config.vocabulary:
            return None
        row = self.trace.stream(self.trace.steps)[position : position + 1]
        logits = self._executor.logits(row, position)[0]
        if self.sampling.is_candidate(logits, token, self.model.logit_scale):
            return None
        return int(logits.argmax())

    # --- commitments ------------------------------------------------------------------------------------

    @_discreet
    def padded_window(self, boundary: int, window: int, stream: str = RESIDUAL) -> np.ndarray:
        """Window of a stream at a boundary as the committed integers: 32 rows, every axis padded to a power of two."""
        return self._padded(self.trace.window(boundary, window, stream), stream)

    @_discreet
    def window_points(self, boundary: int, stream: str = RESIDUAL) -> list[Point]:
        """C_w of a stream: all W, or those in front of what nobody can prove; none where it has no windows."""
        version = self._versions.version(boundary, stream)
        if version is None:
            return []
        if (version, stream) not in self._points:
            points = [
                self._commit(self._streams[stream], window, self.padded_window(boundary, window, stream))
                for window in range(self.trace.known_windows(boundary, stream))
            ]
            if self._blindings is not None:
                points = blind_all(points, self._window_blindings(boundary, stream), self.srs.digest)
            self._points[version, stream] = points
        return self._points[version, stream]

    @_discreet
    def window_commitments(self, boundary: int, number: int) -> list[Point | None]:
        """Of a public model: C_w of all W windows of the stream with this number, [] where it has none; None where nobody can
        prove the window: the step that wrote it leaves its range there, or in front of the first step an id has no row.

        Raises OutOfRange behind the step where the trace ends.
        """
        if self._blindings is not None:
            raise BadInputError("answers of a private model are audited; nobody disputes their windows")
        stream = self.model.config.streams[number]
        version = self._versions.version(boundary, stream.name)
        if version == EMBEDDING and (version, stream.name) not in self._points:
            return self._input_commitments(stream)
        points: list[Point | None] = list(self.window_points(boundary, stream.name))
        if version is None or len(points) == self.windows:
            return points
        provable = self.trace.provable_windows(boundary, stream.name)[len(points) :]
        points += [None] * (self.windows - len(points))
        for window in provable:
            rows = self.trace.provable_window(boundary, window, stream.name)
            points[window] = self._commit(stream, window, self._padded(rows, stream.name))
        return points

    def _input_commitments(self, stream: Stream) -> list[Point | None]:
        """C_w of b_0, without a run: ids that cannot be fed leave the windows of the others as they are."""
        fed = self.sequence[:-1]
        windows = [fed[first : first + WINDOW_ROWS] for first in range(0, len(fed), WINDOW_ROWS)]
        return [
            None
            if max(ids) >= self.model.config.vocabulary
            else self._commit(
                stream, window, self._padded(self._executor.embed(ids), stream.name, WINDOW_ROWS)
            )
            for window, ids in enumerate(windows)
        ]

    def _window_blindings(self, boundary: int, stream: str) -> list[int]:
        """b of `window_points`."""
        version, number = self._versions.version(boundary, stream), list(self._streams).index(stream)
        if version is None:
            return []
        assert self._blindings is not None
        known = self._points.get((version, stream))
        windows = range(self.trace.known_windows(boundary, stream) if known is None else len(known))
        return [self._blindings.of_window(version + 1, number, window) for window in windows]

    def stream_points(self, boundary: int, number: int) -> list[Point]:
        """Running sums R_w of the stream with this number, as far as they are known."""
        stream = self.model.config.streams[number]
        return running_sums(self.window_points(boundary, stream.name), stream.chunk_windows_bits(self.srs.mu))

    @_discreet
    def stream_roots(self, boundary: int) -> tuple[bytes, ...]:
        """Roots of all streams. Raises OutOfRange when the boundary is not known as a whole."""
        if not self._is_committed:
            self.trace.require(boundary)
        return tuple(self._root(boundary, number) for number in range(len(self._streams)))

    def boundary_hash(self, boundary: int) -> bytes:
        """Keccak of the streams' roots. Raises OutOfRange when not all of them are known."""
        return boundary_hash(self.stream_roots(boundary))

    def _root(self, boundary: int, number: int) -> bytes:
        name = self.model.config.streams[number].name
        version = self._versions.version(boundary, name)
        if version is None:
            return stream_root([])
        if (version, name) not in self._roots:
            self._roots[version, name] = stream_root(self.stream_points(boundary, number))
        return self._roots[version, name]

    def _commit(self, stream: Stream, window: int, values: np.ndarray) -> Point:
        first = stream.place(window, self.srs.mu) << stream.window_bits
        return commit_integers(self.srs.g1[first : first + values.size], values.reshape(-1))

    def _padded(self, rows: np.ndarray, stream: str, count: int | None = None) -> np.ndarray:
        """Rows with every axis padded to a power of two, and zero rows behind them up to `count`."""
        sizes = padded_sizes(self._streams[stream], rows.shape[1:])
        padded = np.zeros((count or len(rows), *sizes), dtype=np.int64)
        padded[(slice(0, len(rows)), *(slice(0, size) for size in rows.shape[1:]))] = rows
        return padded

    # --- statements and proofs --------------------------------------------------------------------------

    def step_kind(self, step: int) -> int:
        """Number of the kind of a step."""
        return self.commitment.kind(step)

    @_discreet
    def step_statement(self, step: int, window: int) -> Statement:
        """The public claim about one window of a step."""
        self._check_window(window)
        self._check_step(step)
        program = self._program(step)
        for stream in program.writes:
            _ = self.trace.window(step + 1, window, stream)  # raises OutOfRange when there is no such window
        read = [
            point
            for stream, tensor in program.reads.items()
            for point in self._read(step, window, stream, program.tensors[tensor])
        ]
        written = [self.window_points(step + 1, stream)[window] for stream in program.writes]
        publics = {"window": window} if "window" in program.public_scalars else {}
        return Statement(decode_step_key(self.system, self.commitment, step), publics, tuple(read + written))

    def _read(self, step: int, window: int, stream: str, tensor: Tensor) -> list[Point]:
        if self._versions.version(step, stream) is None:
            return [INFINITY]
        points = self.window_points(step, stream)
        if "context" not in tensor.axes:
            return [points[window]]
        bits = self._streams[stream].chunk_windows_bits(self.srs.mu)
        return chunk_points(running_sums(points[: window + 1], bits), window, bits)

    @_discreet
    def step_tensors(self, step: int, window: int, context_bits: int) -> dict[str, np.ndarray]:
        """What a step's program reads, padded: streams and weights."""
        program = self._program(step)
        rows, tensors = WINDOW_ROWS * (window + 1), padded_weights(self.model, step)
        for stream, name in program.reads.items():
            if "context" in program.tensors[name].axes:
                known = self.trace.stream(step, stream)[:rows]
                tensors[name] = self._padded(known, stream, 1 << context_bits)
            elif self._versions.version(step, stream) is None:
                tensors[name] = np.zeros(
                    program.shape(program.tensors[name].axes, context_bits), dtype=np.int64
                )
            else:
                tensors[name] = self.padded_window(step, window, stream)
        return tensors

    def step_blindings(self, step: int, window: int) -> Blindings:
        """Of a private model: b of every commitment of `step_statement`."""
        assert self._blindings is not None
        program, key = self._program(step), decode_step_key(self.system, self.commitment, step)
        read = [
            blinding
            for stream, tensor in program.reads.items()
            for blinding in self._read_blindings(step, window, stream, program.tensors[tensor])
        ]
        written = [self._window_blindings(step + 1, stream)[window] for stream in program.writes]
        of_key = self._blindings.model.of_step(step, len(key.points))
        return Blindings(of_key, tuple(read + written))

    def _read_blindings(self, step: int, window: int, stream: str, tensor: Tensor) -> list[int]:
        if self._versions.version(step, stream) is None:
            return [0]  # the point at infinity, which is no secret
        blindings = self._window_blindings(step, stream)
        if "context" not in tensor.axes:
            return [blindings[window]]
        bits = self._streams[stream].chunk_windows_bits(self.srs.mu)
        return chunk_points(running_blindings(blindings[: window + 1], bits), window, bits)

    @_discreet
    def prove_step(self, step: int, window: int) -> bytes:
        """Proof of `step_statement`."""
        statement = self.step_statement(step, window)
        scheduled = self.model.config.schedule[step]
        verifying_key = self.system.verifying_key(scheduled.kind)
        context_bits = statement.context_bits(verifying_key.plan)

        def witness() -> dict[str, np.ndarray]:
            tensors = verifying_key.plan.program.witness(
                self.step_tensors(step, window, context_bits),
                self.model.layer_parameters(scheduled.layer, scheduled.kind, scheduled.tile),
                statement.publics,
                context_bits,
            )
            self.model.release_pages()  # the proof needs memory, and nothing of the model but these tensors
            return tensors

        blindings = None if self._blindings is None else self.step_blindings(step, window)
        return prove(verifying_key, self.srs, statement, witness(), self._phase, blindings).encode()

    def _program(self, step: int) -> Program:
        return self.model.config.programs[self.model.config.schedule[step].kind]

    def _check_step(self, step: int) -> None:
        if not 0 <= step < self.commitment.step_count:
            raise BadInputError(
                f"step {step} does not exist; the model has steps 0..{self.commitment.step_count - 1}"
            )

    def head_statement(self, position: int, rival: int) -> Statement:
        """The committed next token beats `rival` at a position, or `winner` excludes it."""
        window, row = divmod(position, WINDOW_ROWS)
        self._check_window(window)
        if position + 1 >= len(self.sequence):
            raise BadInputError(
                f"position {position} has no next token; positions are 0..{self.positions - 1}"
            )
        chosen = self.sequence[position + 1]
        if chosen == rival:
            raise BadInputError(f"the rival {rival} is the committed token itself; name another one")
        winner = self.winner(position, rival)
        pair = head_publics(self.sampling, self.model.logit_scale, position, chosen, rival, winner)
        points = (
            self.commitment.row(winner)[1],
            self.commitment.row(rival)[1],
            self.window_points(self.commitment.step_count)[window],
        )
        return Statement(StepKey((), ()), {"row": row, **pair}, points)

    def head_blindings(self, position: int, rival: int) -> Blindings:
        """Of a private model: b of the commitments of `head_statement`."""
        assert self._blindings is not None
        window = self._window_blindings(self.commitment.step_count, RESIDUAL)[position // WINDOW_ROWS]
        rows = [self._blindings.model.of_row(token)[1] for token in (self.sequence[position + 1], rival)]
        return Blindings((), (*rows, window))

    @_discreet
    def prove_head(self, position: int, rival: int) -> bytes:
        """Proof of `head_statement`, a head pair; raises RivalWins when the committed token loses."""
        statement = self.head_statement(position, rival)
        verifying_key = self.system.verifying_key("head")
        last = self.padded_window(self.commitment.step_count, position // WINDOW_ROWS)
        tensors = {
            "chosen": self._head_row(self.winner(position, rival)),
            "rival": self._head_row(rival),
            "window": last,
        }
        witness = verifying_key.plan.program.witness(tensors, {}, statement.publics, WINDOW_BITS)
        self.model.release_pages()
        blindings = None if self._blindings is None else self.head_blindings(position, rival)
        return prove(verifying_key, self.srs, statement, witness, self._phase, blindings).encode()

    @cached_property
    def _head(self) -> PrivateHead:
        """Of a private model. Raises OutOfRange when the trace ends before the head."""
        if self._blindings is None:
            raise BadInputError(
                "a public model's head is proven pair by pair; only a private one's has tiles"
            )
        last = self.trace if self._last_rows is None else self._last_rows
        audit = HeadAudit(self.model, self.srs, self.prompt_ids, self.output_ids, last)
        return PrivateHead(audit, self.commitment, self._blindings)

    @_discreet
    def chosen_logit_points(self) -> list[Point]:
        """Of a private model: commitments of the committed tokens' logits, all W windows (audits/private_head.py)."""
        return self._head.points

    @_discreet
    def head_tile_statement(self, window: int, tile: int) -> Statement:
        """Of a private model: the committed tokens of a window beat the ids of a tile."""
        self._check_window(window)
        return self._head.statement(window, tile, self.window_points(self.commitment.step_count)[window])

    @_discreet
    def prove_head_tile(self, window: int, tile: int) -> bytes:
        """Proof of `head_tile_statement`; raises RivalWins when a committed token loses there."""
        self._check_window(window)
        last = self.commitment.step_count
        residual, blinding = self.window_points(last)[window], self._window_blindings(last, RESIDUAL)[window]
        return self._head.prove(window, tile, residual, blinding)

    def embedding_inputs(self, window: int) -> tuple[list[Point], Point]:
        """Row commitments of the window's 32 tokens ((0, 0) for padding), and its own commitment."""
        self._check_window(window)
        fed = self.sequence[:-1][WINDOW_ROWS * window : WINDOW_ROWS * (window + 1)]
        rows = [self.commitment.row(token)[0] for token in fed]
        return rows + [INFINITY] * (WINDOW_ROWS - len(rows)), self.window_points(0)[window]

    def prove_embedding(self, window: int) -> bytes:
        """Proof that a window of b_0 holds the embedding rows of its tokens."""
        rows, commitment = self.embedding_inputs(window)
        values = np.zeros((WINDOW_ROWS, self.model.config.hidden), dtype=np.int64)
        fed = self.sequence[:-1][WINDOW_ROWS * window : WINDOW_ROWS * (window + 1)]
        values[: len(fed)] = np.asarray(self.model.embedding)[fed]
        blindings = None
        if self._blindings is not None:
            of_rows = [self._blindings.model.of_row(token)[0] for token in fed]
            padding = [0] * (WINDOW_ROWS - len(fed))
            own = self._window_blindings(0, RESIDUAL)[window]
            blindings = Blindings((), (*of_rows, *padding, own))
        padded, key = self.padded_window(0, window), self.system.embedding_key
        return prove_embedding(key, self.srs, rows, commitment, values, padded, blindings)

    def _head_row(self, token: int) -> np.ndarray:
        row = np.zeros(1 << self.model.config.channel_bits, dtype=np.int64)
        row[: self.model.config.head_inputs] = self.model.head[token]
        return row

    def _check_window(self, window: int) -> None:
        if not 0 <= window < self.windows:
            raise BadInputError(
                f"window {window} does not exist; the response has windows 0..{self.windows - 1}"
            )

    def _phase(self, phase: str) -> None:
        if self._progress is not None:
            self._progress(f"prove: {phase}", PHASES.index(phase), len(PHASES))


def _check_blindings(commitment: ModelCommitment, blindings: ResponseBlindings | None) -> None:
    """Raise BadInputError unless a private model comes with its own blindings, and a public one with none."""
    own = b"" if blindings is None else blindings.model.identity
    if (commitment.privacy == PRIVATE) != (blindings is not None) or own != commitment.blindings:
        raise BadInputError(
            "a private model's responses need the blindings that it was committed with, and a public one's have none: open the"
            " blindings file with `commit_private`"
        )


__all__ = ["Replay", "RivalWins"]


def trace_together(replays: Sequence[Replay], progress: Progress | None = None) -> None:
    """Compute the traces of several responses of one public model in one pass, and the next tokens of the greedy ones.

    Nothing about a response depends on its company. Raises what `traces` raises; then none of them has a trace yet.
    """
    if not replays:
        return
    executor = replays[0]._executor
    for replay, trace in zip(
        replays, traces(executor, [replay.sequence[:-1] for replay in replays], progress), strict=True
    ):
        replay.__dict__["trace"] = trace  # where `cached_property` keeps it
    greedy = [r for r in replays if r.sampling is None and r.trace.refusal is None]
    ranges = [(len(replay.prompt_ids) - 1, replay.positions) for replay in greedy]
    if not greedy:
        return
    rows = [
        replay.trace.stream(replay.trace.steps)[first:end]
        for replay, (first, end) in zip(greedy, ranges, strict=True)
    ]
    positions = np.concatenate([np.arange(first, end) for first, end in ranges])
    try:
        chosen = executor.largest(np.concatenate(rows), positions).tolist()
    except OutOfRange:
        return  # each finds out for itself which of its rows leave the head's range
    start = 0
    for replay, (first, end) in zip(greedy, ranges, strict=True):
        replay.__dict__["predictions"] = chosen[start : start + end - first]
        start += end - first
