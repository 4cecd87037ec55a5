"""One response under one model: what a provider defends and a challenger compares.

Everything is computed when first asked for and kept: the trace (one causal pass), window commitments per
boundary, next tokens, and proofs. Positions run over prompt + output without its last token, which is
predicted but never fed.

Where a value leaves its range, no proof exists (operators/README.md): `first_unprovable` says where the trace ends, and
everything in front of it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from eth_hash.auto import keccak

from .argument.commitment import commit_integers
from .curve.g1 import INFINITY, Point, point_to_bytes
from .curve.srs import SRS
from .embedding import prove_embedding
from .errors import BadInputError
from .model.execute import Executor
from .model.trace import Trace
from .model.weights import IntegerModel
from .model_commitment import ModelCommitment, decode_step_key, padded_weights, step_kind
from .operators.head_pair import RivalWins
from .program import WINDOW_BITS, WINDOW_ROWS, OutOfRange
from .proof_system import ProofSystem
from .prove import prove
from .statement import Statement, StepKey

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
    ) -> None:
        if not prompt_ids or not output_ids:
            raise BadInputError("a response needs at least one prompt token and one output token")
        self.model, self.commitment, self.srs = model, commitment, srs
        self.prompt_ids, self.output_ids = list(prompt_ids), list(output_ids)
        self.system = ProofSystem.shared(model.config, srs)
        self._progress = progress
        self._points: dict[int, list[Point]] = {}
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
        """The model's next token after every position from the last prompt token on; None where no pair is provable.

        Raises OutOfRange when the trace ends before the head.
        """
        first = len(self.prompt_ids) - 1
        rows = self.trace.boundary(self.trace.steps)[first : self.positions]
        try:
            return [int(token) for token in self._executor.predictions(rows, first)]
        except OutOfRange:
            return [self._prediction(rows[i : i + 1], first + i) for i in range(len(rows))]

    def _prediction(self, row: np.ndarray, position: int) -> int | None:
        try:
            return int(self._executor.predictions(row, position)[0])
        except OutOfRange:
            return None

    def argmax(self, position: int) -> int | None:
        """The model's next token after `position`, ties to the smaller id.

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

        The rival is the model's token, or any other one where no pair is provable.
        """
        first = len(self.prompt_ids) - 1
        for offset, (token, predicted) in enumerate(zip(self.output_ids, self.predictions, strict=True)):
            if token != predicted:
                return first + offset, int(token == 0) if predicted is None else predicted
        return None

    # --- commitments ------------------------------------------------------------------------------------

    def padded_window(self, boundary: int, window: int) -> np.ndarray:
        """Window of a boundary as the committed (32, padded_d) integers."""
        padded = np.zeros((WINDOW_ROWS, 1 << self.model.config.channel_bits), dtype=np.int64)
        padded[:, : self.model.config.hidden] = self.trace.window(boundary, window)
        return padded

    def boundary_points(self, boundary: int) -> list[Point]:
        """The window commitments of a boundary: all W, or those in front of what nobody can prove."""
        if boundary not in self._points:
            self._points[boundary] = [
                commit_integers(self.srs.g1, self.padded_window(boundary, window).reshape(-1))
                for window in range(self.trace.known_windows(boundary))
            ]
        return self._points[boundary]

    def boundary_hash(self, boundary: int) -> bytes:
        """Keccak of the window commitments, 64 bytes each. Raises OutOfRange when not all of them are known."""
        _ = self.trace.boundary(boundary)
        return keccak(b"".join(point_to_bytes(point) for point in self.boundary_points(boundary)))

    # --- statements and proofs --------------------------------------------------------------------------

    def step_statement(self, step: int, window: int) -> Statement:
        """The public claim about one window of a step."""
        self._check_window(window)
        if not 0 <= step < self.commitment.step_count:
            raise BadInputError(
                f"step {step} does not exist; the model has steps 0..{self.commitment.step_count - 1}"
            )
        _ = self.trace.window(step + 1, window)  # raises OutOfRange when there is no such window
        before, after = self.boundary_points(step), self.boundary_points(step + 1)
        key = decode_step_key(self.system, self.commitment, step)
        if step_kind(step) == "mlp":
            return Statement(key, {}, (before[window], after[window]))
        return Statement(key, {"window": window}, (*before[: window + 1], after[window]))

    def prove_step(self, step: int, window: int) -> bytes:
        """Proof of an attention (even) or MLP (odd) step."""
        statement = self.step_statement(step, window)
        kind = step_kind(step)
        verifying_key = self.system.verifying_key(kind)
        if kind == "mlp":
            before, context_bits = self.padded_window(step, window), WINDOW_BITS
        else:
            context_bits = statement.context_bits(verifying_key.plan)
            before = np.zeros((1 << context_bits, 1 << self.model.config.channel_bits), dtype=np.int64)
            rows = WINDOW_ROWS * (window + 1)
            before[:rows, : self.model.config.hidden] = self.trace.boundary(step)[:rows]
        parameters = self.model.layer_parameters(step // 2, kind)  # type: ignore[arg-type]
        tensors = verifying_key.plan.program.witness(
            {"before": before, **padded_weights(self.model, step)},
            parameters,
            statement.publics,
            context_bits,
        )
        self.model.release_pages()  # the proof needs memory, and nothing of the model but these tensors
        return prove(verifying_key, self.srs, statement, tensors, self._phase).encode()

    def head_statement(self, position: int, rival: int) -> Statement:
        """The committed next token beats `rival` at a position."""
        window, row = divmod(position, WINDOW_ROWS)
        self._check_window(window)
        if position + 1 >= len(self.sequence):
            raise BadInputError(
                f"position {position} has no next token; positions are 0..{self.positions - 1}"
            )
        chosen = self.sequence[position + 1]
        if chosen == rival:
            raise BadInputError(f"the rival {rival} is the committed token itself; name another one")
        points = (
            self.commitment.row(chosen)[1],
            self.commitment.row(rival)[1],
            self.boundary_points(self.commitment.step_count)[window],
        )
        return Statement(StepKey((), ()), {"row": row, "strict": int(rival < chosen)}, points)

    def prove_head(self, position: int, rival: int) -> bytes:
        """Proof of a head pair; raises RivalWins when the committed token loses."""
        statement = self.head_statement(position, rival)
        verifying_key = self.system.verifying_key("head")
        last = self.padded_window(self.commitment.step_count, position // WINDOW_ROWS)
        tensors = {
            "chosen": self._head_row(self.sequence[position + 1]),
            "rival": self._head_row(rival),
            "window": last,
        }
        witness = verifying_key.plan.program.witness(tensors, {}, statement.publics, WINDOW_BITS)
        self.model.release_pages()
        return prove(verifying_key, self.srs, statement, witness, self._phase).encode()

    def embedding_inputs(self, window: int) -> tuple[list[Point], Point]:
        """Row commitments of the window's 32 tokens ((0, 0) for padding), and its own commitment."""
        self._check_window(window)
        fed = self.sequence[:-1][WINDOW_ROWS * window : WINDOW_ROWS * (window + 1)]
        rows = [self.commitment.row(token)[0] for token in fed]
        return rows + [INFINITY] * (WINDOW_ROWS - len(rows)), self.boundary_points(0)[window]

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
