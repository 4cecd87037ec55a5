"""One response under one model: what a provider defends and a challenger compares.

Everything is computed when first asked for and kept: the trace (one causal pass), window commitments of what every
step writes, next tokens, and proofs. Positions run over prompt + output without its last token, which is
predicted but never fed.

Where a value leaves its range, no proof exists (operators/README.md): `first_unprovable` says where the trace ends, and
everything in front of it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from .argument.commitment import commit_integers
from .curve.g1 import INFINITY, Point
from .curve.srs import SRS
from .embedding import prove_embedding
from .errors import BadInputError
from .hiding import hide
from .model.execute import Executor
from .model.trace import Trace
from .model.weights import IntegerModel
from .model_commitment import ModelCommitment, decode_step_key, padded_weights
from .operators.head_pair import RivalWins
from .plan import PRIVATE, PUBLIC, Privacy
from .program import WINDOW_BITS, WINDOW_ROWS, OutOfRange, Program, Tensor
from .proof_system import ProofSystem
from .prove import prove
from .sampling import Sampling, head_publics
from .statement import Statement, StepKey, VerifyingKey
from .stream_commitments import boundary_hash, chunk_points, running_sums, stream_root
from .streams import RESIDUAL, Stream

Progress = Callable[[str, int, int], None]
PHASES = ("witness", "commit", "logup", "sumcheck", "reduction", "opening")


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
    ) -> None:
        """sampling: the response's rule; None is greedy."""
        if not prompt_ids or not output_ids:
            raise BadInputError("a response needs at least one prompt token and one output token")
        self.model, self.commitment, self.srs, self.sampling = model, commitment, srs, sampling
        self.prompt_ids, self.output_ids = list(prompt_ids), list(output_ids)
        self.system = ProofSystem.shared(model.config, srs)
        self._progress = progress
        self._streams = {stream.name: stream for stream in model.config.streams}
        self._points: dict[
            tuple[int, str], list[Point]
        ] = {}  # window commitments by the step that wrote them
        self._roots: dict[tuple[int, str], bytes] = {}
        self._executor = Executor(model)

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

    def padded_window(self, boundary: int, window: int, stream: str = RESIDUAL) -> np.ndarray:
        """Window of a stream at a boundary as the committed integers: 32 rows, every axis padded to a power of two."""
        return self._padded(self.trace.window(boundary, window, stream), stream)

    def window_points(self, boundary: int, stream: str = RESIDUAL) -> list[Point]:
        """C_w of a stream: all W, or those in front of what nobody can prove; none where it has no windows."""
        version = self.trace.version(boundary, stream)
        if version is None:
            return []
        if (version, stream) not in self._points:
            self._points[version, stream] = [
                self._commit(self._streams[stream], window, self.padded_window(boundary, window, stream))
                for window in range(self.trace.known_windows(boundary, stream))
            ]
        return self._points[version, stream]

    def stream_points(self, boundary: int, number: int) -> list[Point]:
        """Running sums R_w of the stream with this number, as far as they are known."""
        stream = self.model.config.streams[number]
        return running_sums(self.window_points(boundary, stream.name), stream.chunk_windows_bits(self.srs.mu))

    def stream_roots(self, boundary: int) -> tuple[bytes, ...]:
        """Roots of all streams. Raises OutOfRange when the boundary is not known as a whole."""
        self.trace.require(boundary)
        return tuple(self._root(boundary, number) for number in range(len(self._streams)))

    def boundary_hash(self, boundary: int) -> bytes:
        """Keccak of the streams' roots. Raises OutOfRange when not all of them are known."""
        return boundary_hash(self.stream_roots(boundary))

    def _root(self, boundary: int, number: int) -> bytes:
        name = self.model.config.streams[number].name
        version = self.trace.version(boundary, name)
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
        shape = [1 << (size - 1).bit_length() for size in rows.shape[1:]]
        if len(shape) == 1:  # channels may have one more place, for the bias of the last norm
            shape = [1 << self._streams[stream].row_bits]
        padded = np.zeros((count or len(rows), *shape), dtype=np.int64)
        padded[(slice(0, len(rows)), *(slice(0, size) for size in rows.shape[1:]))] = rows
        return padded

    # --- statements and proofs --------------------------------------------------------------------------

    def step_kind(self, step: int) -> int:
        """Number of the kind of a step."""
        return self.commitment.kind(step)

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
        if self.trace.version(step, stream) is None:
            return [INFINITY]
        points = self.window_points(step, stream)
        if "context" not in tensor.axes:
            return [points[window]]
        bits = self._streams[stream].chunk_windows_bits(self.srs.mu)
        return chunk_points(running_sums(points[: window + 1], bits), window, bits)

    def step_tensors(self, step: int, window: int, context_bits: int) -> dict[str, np.ndarray]:
        """What a step's program reads, padded: streams and weights."""
        program = self._program(step)
        rows, tensors = WINDOW_ROWS * (window + 1), padded_weights(self.model, step)
        for stream, name in program.reads.items():
            if "context" in program.tensors[name].axes:
                known = self.trace.stream(step, stream)[:rows]
                tensors[name] = self._padded(known, stream, 1 << context_bits)
            elif self.trace.version(step, stream) is None:
                tensors[name] = np.zeros(
                    program.shape(program.tensors[name].axes, context_bits), dtype=np.int64
                )
            else:
                tensors[name] = self.padded_window(step, window, stream)
        return tensors

    def prove_step(self, step: int, window: int) -> bytes:
        """Proof of one window of a step."""
        return self.prove_step_as(PUBLIC, step, window)[1]

    def prove_step_as(self, privacy: Privacy, step: int, window: int) -> tuple[Statement, bytes]:
        """The statement that is proven about one window of a step, and its proof.

        A private one is about hiding commitments to what the public one is about, with blindings drawn for this proof.
        """
        statement = self.step_statement(step, window)
        scheduled = self.model.config.schedule[step]
        verifying_key = self.system.verifying_key(scheduled.kind, privacy)
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

        return self._prove(verifying_key, statement, witness)

    def _prove(
        self, key: VerifyingKey, statement: Statement, witness: Callable[[], dict[str, np.ndarray]]
    ) -> tuple[Statement, bytes]:
        """witness: makes the tensors, so that nobody but the prover holds them."""
        blindings = None
        if key.plan.privacy == PRIVATE:
            statement, blindings = hide(key, statement)
        return statement, prove(key, self.srs, statement, witness(), self._phase, blindings).encode()

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

    def prove_head(self, position: int, rival: int) -> bytes:
        """Proof of a head pair; raises RivalWins when the committed token loses."""
        return self.prove_head_as(PUBLIC, position, rival)[1]

    def prove_head_as(self, privacy: Privacy, position: int, rival: int) -> tuple[Statement, bytes]:
        """The statement that is proven about a head pair, and its proof; a private one as in `prove_step_as`."""
        statement = self.head_statement(position, rival)
        verifying_key = self.system.verifying_key("head", privacy)
        last = self.padded_window(self.commitment.step_count, position // WINDOW_ROWS)
        tensors = {
            "chosen": self._head_row(self.winner(position, rival)),
            "rival": self._head_row(rival),
            "window": last,
        }
        witness = verifying_key.plan.program.witness(tensors, {}, statement.publics, WINDOW_BITS)
        self.model.release_pages()
        return self._prove(verifying_key, statement, lambda: witness)

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
        return prove_embedding(
            self.system.embedding_key, self.srs, rows, commitment, values, self.padded_window(0, window)
        )

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


__all__ = ["Replay", "RivalWins"]
