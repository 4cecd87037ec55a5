"""The head in audit form for one response: what is committed with it, and the statements and proofs that an audit asks for.

Position 32 w + t predicts the token behind it. In window w the rows count whose next token is an output token: `first` is
P - 1 - 32 w for a prompt of P tokens, `end` is T - 32 w for T fed tokens, each cut to the window. Tokens of other rows are 0 in
the statement. All of it follows from the response's leaf and the window, so a verifier's caller computes it and is told nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from ..architectures.audit_steps import HEAD_TILE, HEAD_WEIGHT, WINDOW, audit_steps, head_tiles
from ..argument.commitment import commit_integers
from ..committed_values import commit_step_key, weight_table
from ..curve.g1 import Point
from ..curve.srs import SRS
from ..errors import BadInputError
from ..hidden_points import hide
from ..model.exact_gemm import multiply_exactly
from ..model.execute import Executor
from ..model.trace import Trace
from ..model.weights import IntegerModel
from ..plan import PRIVATE, PUBLIC, Privacy
from ..program import WINDOW_ROWS, RunContext
from ..proof_system import ProofSystem
from ..prove import prove
from ..statement import Statement, StepKey, VerifyingKey
from ..streams import CHOSEN_LOGIT
from ..token_forms import END, FIRST, TILE, TOKENS, counted_rows


def head_tile_publics(
    prompt_ids: Sequence[int], output_ids: Sequence[int], window: int, tile: int
) -> dict[str, int]:
    """The public integers of a statement about a response."""
    sequence = [*prompt_ids, *output_ids]
    start = WINDOW_ROWS * window
    first, end = (min(max(0, n - start), WINDOW_ROWS) for n in (len(prompt_ids) - 1, len(sequence) - 1))
    if first >= end:
        raise BadInputError(
            f"no output token follows a row of window {window}: its head has nothing to prove"
        )
    tokens = [sequence[start + row + 1] if first <= row < end else 0 for row in range(WINDOW_ROWS)]
    return {TILE: tile, FIRST: first, END: end, **dict(zip(TOKENS, tokens, strict=True))}


def head_tile_weights(model: IntegerModel, tile: int) -> dict[str, np.ndarray]:
    """The head rows of a tile as the padded tensor of its program, zero behind the vocabulary."""
    step, size = audit_steps(model.config)[HEAD_TILE], head_tiles(model.config).size
    rows = np.asarray(model.head[size * tile : size * (tile + 1)])
    columns = np.zeros((rows.shape[1], size), dtype=np.int64)
    columns[:, : len(rows)] = rows.T
    (tensor,) = step.program.weights
    return {HEAD_WEIGHT: weight_table(step.program, tensor, columns)}


def head_windows(prompt: int, output: int) -> range:
    """The windows with a row that an output token follows, of a response of so many tokens: from that of the last prompt token on."""
    return range((prompt - 1) // WINDOW_ROWS, -(-(prompt + output - 1) // WINDOW_ROWS))


def commit_head_tile(model: IntegerModel, system: ProofSystem, tile: int) -> StepKey:
    """The step key of a tile, before it is hidden."""
    plan = system.verifying_key(HEAD_TILE).plan
    return commit_step_key(plan, system.srs, {}, head_tile_weights(model, tile))


class HeadAudit:
    """The tiles of one response, from the trace of its tokens (made when first asked for, unless one is given).

    last: that trace, or of its last boundary the (32 W, hidden) rows. Raises OutOfRange, when rows are asked for, if the trace
    does not have all of them.
    """

    def __init__(
        self,
        model: IntegerModel,
        srs: SRS,
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
        last: Trace | np.ndarray | None = None,
    ) -> None:
        if not prompt_ids or not output_ids:
            raise BadInputError("a response needs at least one prompt token and one output token")
        self.model, self.srs = model, srs
        self.prompt_ids, self.output_ids = list(prompt_ids), list(output_ids)
        self.tiles = head_tiles(model.config)
        self._last = last
        self._keys: dict[int, StepKey] = {}
        self._logits: dict[int, np.ndarray] = {}  # chosen ones, by window

    @cached_property
    def _rows_of(self) -> Callable[[int], np.ndarray]:
        last = self._last
        if isinstance(last, np.ndarray):
            return lambda window: last[WINDOW_ROWS * window : WINDOW_ROWS * (window + 1)]
        fed = [*self.prompt_ids, *self.output_ids][:-1]
        found = Trace(Executor(self.model), fed) if last is None else last
        found.require(found.steps)
        return lambda window: found.window(found.steps, window)

    @cached_property
    def windows(self) -> range:
        """The windows with rows that count."""
        return head_windows(len(self.prompt_ids), len(self.output_ids))

    def publics(self, window: int, tile: int) -> dict[str, int]:
        """The public integers of a statement. Raises BadInputError for a window or tile that has none."""
        if window not in self.windows:
            raise BadInputError(
                f"window {window} has no output token; the response has some in {self.windows[0]}..{self.windows[-1]}"
            )
        if not 0 <= tile < self.tiles.count:
            raise BadInputError(f"tile {tile} does not exist; the head has tiles 0..{self.tiles.count - 1}")
        return head_tile_publics(self.prompt_ids, self.output_ids, window, tile)

    def rows(self, window: int) -> np.ndarray:
        """(32, hidden) rows of the last boundary, the padded ones of the last window included."""
        return self._rows_of(window)

    def tile_logits(self, window: int, tile: int) -> np.ndarray:
        """(32, ids) logits of all rows of a window. Raises OutOfRange when a norm has no proof."""
        return self._logits_of(
            window, np.asarray(self.model.head[self.tiles.size * tile : self.tiles.size * (tile + 1)])
        )

    def _logits_of(self, window: int, head: np.ndarray) -> np.ndarray:
        """The same of any rows of the head."""
        context = RunContext(
            tensors={WINDOW: self.rows(window)},
            parameters={},
            matmul=lambda _, x: multiply_exactly(head, x),
            positions=WINDOW_ROWS * window + np.arange(WINDOW_ROWS),
            layer=self.model.config.layers,
        )
        for operator in audit_steps(self.model.config)[HEAD_TILE].program.operators:
            operator.run(context)
        return context.tensors["logits"]

    def chosen_logits(self, window: int) -> np.ndarray:
        """(32,) the stream `chosen_logit`: logits of the committed tokens, zero in rows that do not count."""
        if window in self._logits:
            return self._logits[window]
        publics = self.publics(window, 0)
        result = np.zeros(WINDOW_ROWS, dtype=np.int64)
        rows = list(counted_rows(publics))
        tokens = [publics[TOKENS[row]] for row in rows]
        if (largest := max(tokens)) >= self.tiles.vocabulary:
            raise BadInputError(f"token id {largest} is outside the vocabulary of {self.tiles.vocabulary}")
        result[rows] = self._logits_of(window, np.asarray(self.model.head[tokens]))[rows, range(len(rows))]
        self._logits[window] = result
        return result

    def key(self, tile: int) -> StepKey:
        """The step key of a tile, made once."""
        if tile not in self._keys:
            self._keys[tile] = commit_head_tile(
                self.model, ProofSystem.shared(self.model.config, self.srs), tile
            )
        return self._keys[tile]

    def tensors(self, window: int, tile: int) -> dict[str, np.ndarray]:
        """What the program reads, padded."""
        rows = self.rows(window)
        padded = np.zeros((WINDOW_ROWS, 1 << self.model.config.channel_bits), dtype=np.int64)
        padded[:, : rows.shape[1]] = rows
        return {
            WINDOW: padded,
            CHOSEN_LOGIT: self.chosen_logits(window),
            **head_tile_weights(self.model, tile),
        }

    def statement(self, window: int, tile: int) -> Statement:
        """The committed tokens of a window beat the ids of a tile."""
        publics, tensors = self.publics(window, tile), self.tensors(window, tile)
        points = (self._commit(tensors[WINDOW]), self._commit(tensors[CHOSEN_LOGIT]))
        return Statement(self.key(tile), publics, points)

    def _commit(self, values: np.ndarray) -> Point:
        return commit_integers(self.srs.g1[: values.size], values.reshape(-1))

    def verifying_key(self, privacy: Privacy = PUBLIC) -> VerifyingKey:
        """The key of a tile's program."""
        return ProofSystem.shared(self.model.config, self.srs, privacy).verifying_key(HEAD_TILE)

    def prove(self, window: int, tile: int, privacy: Privacy = PUBLIC) -> tuple[Statement, bytes]:
        """A statement and its proof; a private one is about hiding commitments, with blindings drawn for this proof.

        Raises RivalWins when a committed token is not the argmax of the tile and itself.
        """
        key = self.verifying_key(privacy)
        statement, blindings = self.statement(window, tile), None
        if privacy == PRIVATE:
            statement, blindings = hide(key, statement)
        program, publics = key.plan.program, statement.publics
        proof = prove(
            key,
            self.srs,
            statement,
            program.witness(self.tensors(window, tile), {}, publics),
            blindings=blindings,
        )
        return statement, proof.encode()
