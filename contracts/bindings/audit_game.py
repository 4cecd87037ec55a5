"""`AuditGame`: audits of private models. (`audit.py` is another matter: the audit of the books.)

An auditor commits an opening (`InferenceLedger.commit_opening`) and, a block later, sends `open_audit` with the items that it
names. The provider reads `AuditStarted`, proves every item (`step_answer`, `input_answer`, `head_answer`) in one transaction or several, and is
paid half of the bond; or anyone sends `timeout` after the deadline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..protocol.audits import Audit, AuditItem, BoundaryTree
from ..protocol.model import CommittedModel
from ..protocol.response import ResponseFields
from ..protocol.streams import Point, StepAccess, stream_tree
from ..protocol.token_ids import pack_token_ids, token_ids_hash
from .contract import BlockId, BoundContract, Call
from .dispute_game import EmbeddingProof, ResidualWindow, StepProof, TokenRow, flat_points


@dataclass(frozen=True)
class AuditRequest:
    """Mirror of `AuditRequest`: a response by its place and leaf, and what has to be proven."""

    batch_id: int
    index: int
    fields: ResponseFields
    path: Sequence[bytes]
    secret: bytes
    items: Sequence[AuditItem]


@dataclass(frozen=True)
class StepAnswer:
    """Mirror of `StepAnswer`."""

    step: int
    window: int
    path_before: Sequence[bytes]
    path_after: Sequence[bytes]
    proof: StepProof


@dataclass(frozen=True)
class InputAnswer:
    """Mirror of `InputAnswer`."""

    window: int
    path: Sequence[bytes]
    proof: EmbeddingProof


@dataclass(frozen=True)
class HeadAnswer:
    """Mirror of `HeadAnswer`."""

    tile: int
    window: int
    prompt_hash: bytes
    output_ids: bytes
    path_last: Sequence[bytes]
    path_chosen: Sequence[bytes]
    residual: ResidualWindow
    chosen: ResidualWindow
    key: bytes
    key_path: Sequence[bytes]
    proof: bytes


def step_answer(
    model: CommittedModel,
    access: StepAccess,
    boundaries: BoundaryTree,
    step: int,
    window: int,
    before: Sequence[Sequence[Point]],
    after: Sequence[Sequence[Point]],
    proof: bytes,
) -> StepAnswer:
    """The answer to an item about a step.

    `before`, `after`: the running sums of all streams at the step's two boundaries, [] for a stream without windows; those
    of `boundaries`. `proof` is about `access.statement_inputs(window, before, after)` and the step's key.
    """
    shown = access.shown_windows(window, before, after)
    return StepAnswer(
        step=step,
        window=window,
        path_before=boundaries.path(step),
        path_after=boundaries.path(step + 1),
        proof=StepProof(
            kind=model.kind(step),
            roots_before=boundaries.roots[step],
            roots_after=boundaries.roots[step + 1],
            key=model.step_keys[step],
            key_path=model.step_key_path(step),
            sums=flat_points(shown.sums),
            siblings=shown.siblings,
            proof=proof,
        ),
    )


def input_answer(
    boundaries: BoundaryTree,
    window: int,
    residual: Sequence[Point],
    prompt_ids: Sequence[int],
    output_ids: Sequence[int],
    rows: Sequence[TokenRow],
    proof: bytes,
) -> InputAnswer:
    """The answer to an item about the input; `residual`: the window commitments of b_0, `rows`: the 32 of the window."""
    return InputAnswer(
        window=window,
        path=boundaries.path(0),
        proof=EmbeddingProof(
            prompt_ids=pack_token_ids(prompt_ids),
            output_ids=pack_token_ids(output_ids),
            window=ResidualWindow(boundaries.roots[0], residual[window], stream_tree(residual).path(window)),
            rows=rows,
            proof=proof,
        ),
    )


def head_answer(
    model: CommittedModel,
    boundaries: BoundaryTree,
    tile: int,
    window: int,
    residual: Sequence[Point],
    chosen: Sequence[Point],
    prompt_ids: Sequence[int],
    output_ids: Sequence[int],
    proof: bytes,
) -> HeadAnswer:
    """The answer to an item about the head; `residual`: the window commitments of the last boundary, `chosen`: of the chosen logits."""
    last, logits = boundaries.steps, boundaries.steps + 1
    return HeadAnswer(
        tile=tile,
        window=window,
        prompt_hash=token_ids_hash(prompt_ids),
        output_ids=pack_token_ids(output_ids),
        path_last=boundaries.path(last),
        path_chosen=boundaries.path(logits),
        residual=ResidualWindow(boundaries.roots[last], residual[window], stream_tree(residual).path(window)),
        chosen=ResidualWindow(boundaries.roots[logits], chosen[window], stream_tree(chosen).path(window)),
        key=model.tile_keys[tile],
        key_path=model.tile_key_path(tile),
        proof=proof,
    )


class AuditGame(BoundContract):
    def open_audit(self, request: AuditRequest, *, bond_wei: int) -> Call:
        """`bond_wei`: `InferenceLedger.bond_for(provider)` for every item, and for one at least."""
        return self._call("openAudit", request, value_wei=bond_wei)

    def prove_steps(self, audit_id: int, answers: Sequence[StepAnswer]) -> Call:
        return self._call("proveSteps", audit_id, list(answers))

    def prove_inputs(self, audit_id: int, answers: Sequence[InputAnswer]) -> Call:
        return self._call("proveInputs", audit_id, list(answers))

    def prove_heads(self, audit_id: int, answers: Sequence[HeadAnswer]) -> Call:
        return self._call("proveHeads", audit_id, list(answers))

    def claim_truncated(
        self, audit_id: int, prompt_ids: Sequence[int], output_ids: Sequence[int], end_tokens: Sequence[int]
    ) -> Call:
        ids = token_ids_hash(prompt_ids), pack_token_ids(output_ids)
        return self._call("claimTruncated", audit_id, *ids, sorted(set(end_tokens)))

    def claim_overrun(
        self,
        audit_id: int,
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
        end_tokens: Sequence[int],
        place: int,
    ) -> Call:
        ids = token_ids_hash(prompt_ids), pack_token_ids(output_ids)
        return self._call("claimOverrun", audit_id, *ids, sorted(set(end_tokens)), place)

    def concede(self, audit_id: int, about: bytes) -> Call:
        """about: the audit's hash of the response's ids; an audit of another history under this number is not given up."""
        return self._call("concede", audit_id, about)

    def timeout(self, audit_id: int) -> Call:
        return self._call("timeout", audit_id)

    def resolve_void(self, audit_id: int) -> Call:
        return self._call("resolveVoid", audit_id)

    def audit_count(self, block: BlockId = None) -> int:
        return self._read("auditCount", block=block)  # type: ignore[no-any-return]

    def audit(self, audit_id: int, block: BlockId = None) -> Audit:
        """Raises `ContractError` (AuditUnknown) when there is no such audit at that block."""
        return self._read("audit", audit_id, record=Audit, block=block)  # type: ignore[no-any-return]

    def item_state(
        self, batch_id: int, index: int, item: AuditItem, block: BlockId = None
    ) -> tuple[int, bool]:
        """(the audit that named this item of a response, or 0; whether it is proven)."""
        audit_id, is_proven = self._read("itemState", batch_id, index, item, block=block)
        return int(audit_id), bool(is_proven)
