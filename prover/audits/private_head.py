"""The head of one response of a private model: what is committed with the answer, and the proofs of its tiles.

The stream `chosen_logit` has W windows. Those with a row that an output token follows (`head_windows`) hide 32 logits each behind a
blinding of the response's own; those in front of them hold nothing and are the point at infinity, as of a stream that nobody wrote.
"""

from __future__ import annotations

from functools import cached_property

from ..architectures.audit_steps import HEAD_TILE
from ..argument.commitment import commit_integers
from ..curve.g1 import INFINITY, Point
from ..hidden_points import blind_all
from ..hiding import Blindings
from ..model_blindings import ResponseBlindings
from ..model_commitment import ModelCommitment, decode_tile_key
from ..plan import PRIVATE
from ..proof_system import ProofSystem
from ..prove import prove
from ..statement import Statement
from .head_tiles import HeadAudit

_STREAM = 0
"""Of the one stream at the place behind the last boundary: its windows' blindings are told from all others by that place."""


def chosen_logit_points(audit: HeadAudit, blindings: ResponseBlindings) -> list[Point]:
    """Hiding commitments of all W windows. Raises OutOfRange where the head has no proof."""
    windows, srs = audit.windows, audit.srs
    logits = [audit.chosen_logits(window) for window in windows]
    points = [commit_integers(srs.g1[: values.size], values) for values in logits]
    own = [_blinding(audit, blindings, window) for window in windows]
    return [INFINITY] * windows.start + blind_all(points, own, srs.digest)


def _blinding(audit: HeadAudit, blindings: ResponseBlindings, window: int) -> int:
    return blindings.of_window(len(audit.model.config.schedule) + 1, _STREAM, window)


class PrivateHead:
    """audit: the tiles of the response, in the clear. blindings: the response's."""

    def __init__(self, audit: HeadAudit, commitment: ModelCommitment, blindings: ResponseBlindings) -> None:
        self._audit, self._commitment, self._blindings = audit, commitment, blindings
        self._system = ProofSystem.shared(audit.model.config, audit.srs, PRIVATE)

    @cached_property
    def points(self) -> list[Point]:
        """Commitments of all W windows. Raises OutOfRange where the head has no proof."""
        return chosen_logit_points(self._audit, self._blindings)

    def _blinding(self, window: int) -> int:
        return _blinding(self._audit, self._blindings, window)

    def statement(self, window: int, tile: int, residual: Point) -> Statement:
        """The committed tokens of a window beat the ids of a tile. residual: the window's commitment at the last boundary."""
        publics = self._audit.publics(window, tile)
        key = decode_tile_key(self._system, self._commitment, tile)
        return Statement(key, publics, (residual, self.points[window]))

    def prove(self, window: int, tile: int, residual: Point, blinding: int) -> bytes:
        """Proof of `statement`; blinding: the residual's. Raises RivalWins when a token is not the argmax of tile and itself."""
        statement = self.statement(window, tile, residual)
        key = self._system.verifying_key(HEAD_TILE)
        number = self._commitment.step_count + tile
        of_key = self._blindings.model.of_step(number, len(statement.key.points))
        witness = key.plan.program.witness(self._audit.tensors(window, tile), {}, statement.publics)
        self._audit.model.release_pages()
        blindings = Blindings(of_key, (blinding, self._blinding(window)))
        return prove(key, self._audit.srs, statement, witness, blindings=blindings).encode()


__all__ = ["PrivateHead", "chosen_logit_points"]
