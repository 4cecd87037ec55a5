"""The boundaries of a private model's answers, behind hiding commitments: their root goes into the leaf.

They are committed while the answer is generated (`begin`, then `finish`). An answer's blindings follow from the model's secret seed and a nonce that
is journalled with the answer, so the same commitments can be made again at any time; those of the last answers are kept, because audits
come soon after. A trace is made for an audit only.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from contracts.protocol.audit_evidence import boundary_tree
from contracts.protocol.audits import BoundaryTree
from prover.answer_commitments import AnswerCommitments, WindowCommitter
from prover.curve.srs import SRS
from prover.model.execute import Executor
from prover.model.weights import IntegerModel
from prover.model_blindings import ResponseBlindings
from prover.private_model import PrivateModel
from prover.program import WINDOW_ROWS, OutOfRange
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
    """Commits to the answers of one private model. Safe to share between threads."""

    def __init__(
        self, model: IntegerModel, own: PrivateModel, srs: SRS, executor: Executor | None = None
    ) -> None:
        self._executor = executor or Executor(model)
        self._model, self._own, self._srs = model, own, srs
        self._windows = WindowCommitter(model.config.streams, len(model.config.schedule), srs)
        self._kept: OrderedDict[bytes, CommittedTrace] = OrderedDict()
        self._keeping = threading.Lock()
        self._again = threading.Lock()  # one pass at a time: they take the whole machine

    @property
    def model(self) -> PrivateModel:
        return self._own

    def begin(self) -> AnswerCommitments:
        """With fresh blindings; its `keep` must see all rows of the answer (`Executor.generate`)."""
        return self._windows.begin(ResponseBlindings.draw(self._own.blindings))

    def finish(
        self, prompt_ids: Sequence[int], output_ids: Sequence[int], made: AnswerCommitments
    ) -> CommittedTrace:
        """What a generated answer commits to; in a pass of its own where `made` has seen nothing of it.

        Raises ValueError when `made` has not seen all of its rows, OutOfRange for an answer that could not be proven.
        """
        if not made.has_rows:
            return self._pass(prompt_ids, output_ids, made)
        if made.rows != -(-(len(prompt_ids) + len(output_ids) - 1) // WINDOW_ROWS) * WINDOW_ROWS:
            raise ValueError(f"{made.rows} rows were kept, which are not those of this answer")
        replay = Replay(
            self._model,
            self._own.commitment,
            self._srs,
            list(prompt_ids),
            list(output_ids),
            blindings=made.blindings,
            points=made.finish(),
            last_rows=made.last_rows,
            executor=self._executor,
        )
        return self._keep(replay, made.blindings.nonce)

    def commit(self, prompt_ids: Sequence[int], output_ids: Sequence[int]) -> CommittedTrace:
        """Of an answer that was generated elsewhere. Raises OutOfRange for one that could not be proven."""
        return self._pass(prompt_ids, output_ids, self.begin())

    def again(self, prompt_ids: Sequence[int], output_ids: Sequence[int], nonce: bytes) -> CommittedTrace:
        """What the answer committed to with this nonce."""
        with self._keeping:
            kept = self._kept.get(nonce)
        if kept is not None:
            return kept
        made = self._windows.begin(self._own.blindings.of_response(nonce))
        return self._pass(prompt_ids, output_ids, made)

    def _pass(
        self, prompt_ids: Sequence[int], output_ids: Sequence[int], made: AnswerCommitments
    ) -> CommittedTrace:
        with self._again:
            executor = self._executor
            decoding = executor.start()
            try:
                executor.feed_kept([*prompt_ids, *output_ids[:-1]], decoding, made.keep)
                executor.finish_window(decoding, on_step=made.keep)
            except OutOfRange as error:
                made.drop()
                raise error.without_value() from None
        return self.finish(prompt_ids, output_ids, made)

    def _keep(self, replay: Replay, nonce: bytes) -> CommittedTrace:
        made = CommittedTrace(nonce, replay, boundary_tree(replay, self._own.commitment.step_count))
        with self._keeping:
            self._kept[nonce] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made

    def close(self) -> None:
        """End the thread that commits."""
        self._windows.close()
