"""The boundaries of a private model's answers, behind hiding commitments: their root goes into the leaf.

An answer's blindings follow from the model's secret seed and a nonce that is journalled with the answer, so the same
commitments can be made again at any time; the traces of the last answers are kept, because audits come soon after.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from contracts.protocol.audit_evidence import boundary_tree
from contracts.protocol.audits import BoundaryTree
from prover.curve.srs import SRS
from prover.model.weights import IntegerModel
from prover.model_blindings import ResponseBlindings
from prover.private_model import PrivateModel
from prover.replay import Replay

_KEPT = 4


@dataclass(frozen=True)
class CommittedTrace:
    """A replay of an answer and the tree over its boundaries."""

    nonce: bytes
    replay: Replay
    tree: BoundaryTree

    @property
    def audit_root(self) -> bytes:
        return self.tree.root


class BoundaryCommitter:
    """Commits to the answers of one private model. Safe to share between threads; one answer at a time."""

    def __init__(self, model: IntegerModel, own: PrivateModel, srs: SRS) -> None:
        self._model, self._own, self._srs = model, own, srs
        self._kept: OrderedDict[bytes, CommittedTrace] = OrderedDict()
        self._computing = threading.Lock()

    @property
    def model(self) -> PrivateModel:
        return self._own

    def commit(self, prompt_ids: Sequence[int], output_ids: Sequence[int]) -> CommittedTrace:
        """With fresh blindings. Raises OutOfRange for an answer that could not be proven."""
        return self._make(prompt_ids, output_ids, ResponseBlindings.draw(self._own.blindings))

    def again(self, prompt_ids: Sequence[int], output_ids: Sequence[int], nonce: bytes) -> CommittedTrace:
        """What `commit` gave for this nonce."""
        if (kept := self._kept.get(nonce)) is not None:
            return kept
        return self._make(prompt_ids, output_ids, self._own.blindings.of_response(nonce))

    def _make(
        self, prompt_ids: Sequence[int], output_ids: Sequence[int], blindings: ResponseBlindings
    ) -> CommittedTrace:
        commitment = self._own.commitment
        replay = Replay(
            self._model, commitment, self._srs, list(prompt_ids), list(output_ids), blindings=blindings
        )
        with self._computing:
            made = CommittedTrace(blindings.nonce, replay, boundary_tree(replay, commitment.step_count))
            self._kept[blindings.nonce] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made
