"""From a named item of an audit to the transaction that proves it."""

from __future__ import annotations

from ..protocol.audits import AuditItem, AuditTarget, BoundaryTree
from ..protocol.model import CommittedModel
from ..protocol.streams import StepAccess
from ..protocol.trace import AuditedTrace
from .audit_game import AuditGame, head_answer, input_answer, step_answer
from .contract import Call
from .moves import window_rows


def prove_item(
    audits: AuditGame,
    audit_id: int,
    item: AuditItem,
    model: CommittedModel,
    trace: AuditedTrace,
    boundaries: BoundaryTree,
) -> Call:
    """The call that proves one item; `boundaries`: what the response committed to, over the points of `trace`.

    Raises what the trace's proofs raise for a false statement.
    """
    if item.target is AuditTarget.INPUT:
        ids, residual = (trace.prompt_ids, trace.output_ids), trace.stream_points(0, 0)
        rows = window_rows(trace, model, item.window)
        proof = trace.prove_embedding(item.window)
        return audits.prove_inputs(
            audit_id, [input_answer(boundaries, item.window, residual, *ids, rows, proof)]
        )
    if item.target is AuditTarget.HEAD:
        residual, chosen = trace.stream_points(boundaries.steps, 0), trace.chosen_logit_points()
        proof = trace.prove_head_tile(item.window, item.step)
        return audits.prove_heads(
            audit_id,
            [
                head_answer(
                    model,
                    boundaries,
                    item.step,
                    item.window,
                    residual,
                    chosen,
                    trace.prompt_ids,
                    trace.output_ids,
                    proof,
                )
            ],
        )
    step, window, streams = item.step, item.window, range(len(model.chunk_bits))
    before, after = ([trace.stream_points(b, s) for s in streams] for b in (step, step + 1))
    access = StepAccess(tuple(model.chunk_bits), model.accesses[model.kind(step)])
    proof = trace.prove_step(step, window)
    return audits.prove_steps(
        audit_id, [step_answer(model, access, boundaries, step, window, before, after, proof)]
    )
