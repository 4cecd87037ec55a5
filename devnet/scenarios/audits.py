"""A private model's answers, audited on chain: an honest provider proves what is named; one that runs cheaper weights, one that says
another token and one that is silent lose the answer's lock.

The auditor is the client itself, with what it can see: the receipt, the batch's listing, and the command's own table of audits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from challenger.audits_by_hand import AuditTable
from challenger.disputes_by_hand import DisputeTable
from contracts.bindings.deployment import verifier_artifacts
from contracts.bindings.registration import register
from contracts.protocol.audits import Audit, AuditItem, AuditTarget
from contracts.protocol.game import Outcome
from contracts.protocol.model import HEAD_TILE, PRIVATE
from contracts.protocol.response import WINDOW_ROWS
from node.serving import CommittedServing
from prover.architectures.audit_steps import head_tiles
from prover.blindings_file import LOWEST_COST
from prover.model.weights import IntegerModel
from prover.plan import PRIVATE as PRIVATE_PLAN
from prover.private_model import commit_private
from verifier_gen import generate_sources

from .cheap_weights import BITS, requantised
from .hosted_provider import Answered, HostedProvider, StagedProvider
from .result import RefusedProof, ScenarioResult
from .stage import Posted, Stage
from .wrong_answers import TokenSwapper

PROMPT = "Name a fruit that grows on trees."
MAX_TOKENS = 12
AUDITOR = "client"
_OUTCOMES = {Outcome.PROVIDER_WON: "audited", Outcome.CHALLENGER_WON: "provider_slashed"}


class SilentProvider(HostedProvider):
    """Answers clients, and no audit."""

    def defend(self) -> None:
        """Nothing."""


def private_serving(stage: Stage) -> CommittedServing:
    """The stage's model as a private one, committed with blindings of its own and registered once."""
    if stage.private is None:
        prepared, folder = (
            stage.prepared,
            stage.kept / "demo-private",
        )  # of every run: committing takes a while
        stage.tell(f"{prepared.model.name} is committed again, as a private model")
        own = commit_private(
            prepared.model,
            prepared.srs,
            lambda new: "the demo hides nothing",
            models=folder,
            commitments=folder,
            cost=LOWEST_COST,
        )
        verifiers = verifier_artifacts(generate_sources(prepared.model.config, prepared.srs, PRIVATE_PLAN))
        found = register(
            stage.sender("deployer"), stage.contracts, own.commitment, verifiers, audit_stride=PRIVATE
        )
        stage.private = CommittedServing(
            prepared.model.name, prepared.model, own.commitment, prepared.srs, found.model_id, own
        )
    return stage.private


@dataclass
class _Audited:
    """An audit that is over."""

    answered: Answered
    audit: Audit
    facts: dict[str, Any]


def honest(stage: Stage) -> ScenarioResult:
    """Must end `audited`: a step of the MLP, one of attention, the embedding and a tile of the head are proven, and the provider is
    paid."""
    config = stage.prepared.model.config
    items = [
        AuditItem.of_step(config.step_with("w_down", config.layers // 2), 0),
        AuditItem.of_step(config.step_with("w_output", config.layers // 2), 0),
        AuditItem.of_input(0),
    ]
    tile = head_tiles(config).count - 1
    house = stage.hire("spare 5", private=private_serving(stage))
    return _audit(
        stage,
        "audit-honest",
        house,
        "spare 5",
        lambda answered: [*items, AuditItem.of_head(tile, _last_window(house, answered))],
    )


def substituted(stage: Stage) -> ScenarioResult:
    """Must end `provider_slashed`: the step in front of the cheap weights is proven, the first that has them is not."""
    config = stage.prepared.model.config
    first = config.layers // 2
    lie = next(
        number
        for number, step in enumerate(config.schedule)
        if step.layer == first and config.programs[step.kind].weights
    )
    model: IntegerModel = requantised(stage.prepared.model, first)
    house = stage.hire("spare 6", model=model, private=private_serving(stage))
    stage.tell(f"a provider of the private model serves {BITS}-bit weights from layer {first} on")
    items = [AuditItem.of_step(lie - 1, 0), AuditItem.of_step(lie, 0)]
    result = _audit(stage, "audit-substituted", house, "spare 6", items)
    if not result.problem and result.contested != _place(stage, items[1]):
        result.problem = f"the item without a proof is {result.contested}"
    return result


def other_token(stage: Stage) -> ScenarioResult:
    """Must end `provider_slashed`: every step is honest, and so is the head but for the tile with the token that was not said."""
    config, swapper = stage.prepared.model.config, TokenSwapper(stage.prepared.model)
    house = stage.hire("spare 7", generator=swapper, private=private_serving(stage))
    stage.tell("a provider of the private model swaps one token of every answer")

    def items(_: Answered) -> list[AuditItem]:
        position, right = swapper.swapped
        window, tile = position // WINDOW_ROWS, head_tiles(config).tile_of(right)
        return [AuditItem.of_step(config.step_count - 1, window), AuditItem.of_head(tile, window)]

    result = _audit(stage, "audit-other-token", house, "spare 7", items)
    if not result.problem and (result.contested or {}).get("step") != "head_tile":
        result.problem = f"the item without a proof is {result.contested}"
    return result


def _last_window(house: HostedProvider, answered: Answered) -> int:
    """The last window of an answer, which has an output token."""
    receipt = house.receipt(answered.receipt_id)["receipt"]
    return int((receipt["prompt_length"] + receipt["output_length"] - 2) // WINDOW_ROWS)


def refused(stage: Stage) -> ScenarioResult:
    """Must end `provider_slashed`, with nothing proven."""
    house = stage.hire("watcher", private=private_serving(stage), host=_silent)
    return _audit(
        stage,
        "audit-refused",
        house,
        "watcher",
        [AuditItem.of_step(stage.prepared.model.config.step_with("w_down", 0), 0)],
    )


def _silent(provider: StagedProvider, name: str) -> HostedProvider:
    return SilentProvider(provider, name)


def _audit(
    stage: Stage,
    name: str,
    house: HostedProvider,
    role: str,
    named: Sequence[AuditItem] | Callable[[Answered], Sequence[AuditItem]],
) -> ScenarioResult:
    book = stage.open_book(provider=role, challenger=AUDITOR)
    answered, posted = stage.ask(house, PROMPT, MAX_TOKENS)
    items = named(answered) if callable(named) else named
    ended = _play_out(stage, house, answered, posted, items)
    if stage.contracts.ledger.is_void(posted.batch_id, posted.index):
        stage.close_rewards(posted.batch_id, posted.index)
    changes, audit = book.close(), ended.audit
    accepted = book.accepted_proof()
    unproven = [item for item, fact in zip(items, ended.facts["items"], strict=True) if not fact["proven"]]
    stage.tell(f"{len(items) - len(unproven)} of {len(items)} items proven: {_OUTCOMES[audit.outcome]}")
    return ScenarioResult(
        name=name,
        prompt=answered.prompt,
        answer=answered.text,
        outcome=_OUTCOMES[audit.outcome],
        contested=_place(stage, (unproven or list(items))[0]),
        verify_gas=accepted.transaction_gas if accepted else None,
        verifier_call_gas=accepted.verifier_call_gas if accepted else None,
        dispute_gas=book.dispute_gas(),
        bond_changes_wei=changes,
        refused_proofs=[
            RefusedProof("its own proof, of what it ran", error.name, None)
            for error in house.refused_moves[:1]
        ],
        reason=audit.reason.name.lower(),
        problem=stage.bond_problem(audit.outcome, changes),
    )


def _play_out(
    stage: Stage, house: HostedProvider, answered: Answered, posted: Posted, items: Sequence[AuditItem]
) -> _Audited:
    """Until the audit is over; once its provider does nothing more, time is passed and the auditor ends it."""
    contracts, sender, secret = stage.contracts, stage.sender(AUDITOR), stage.store.secret()
    table = AuditTable(contracts, DisputeTable(contracts, stage.providers, secret), secret)
    opened = table.open(sender, posted.batch_id, posted.index, items)
    number = opened.audit_id
    stage.tell(f"the client audits it on chain: {len(items)} items, named after the answer was committed")

    def settled() -> bool:
        audit = contracts.audits.audit(number)
        if not audit.is_open:
            return True
        failed = house.provider.answerer.failed_items(number)
        return isinstance(house, SilentProvider) or 0 < audit.remaining == failed

    stage.play(settled)
    audit = contracts.audits.audit(number)
    if audit.is_open:
        stage.pass_time(max(1, audit.deadline + 1 - stage.chain.head().timestamp))
        stage.tell("the provider has no proof; its time runs out")
        table.resolve(sender, number)
    return _Audited(answered, contracts.audits.audit(number), table.describe(number, items))


def _place(stage: Stage, item: AuditItem) -> dict[str, Any]:
    config = stage.prepared.model.config
    if item.target is AuditTarget.HEAD:
        return {"step": HEAD_TILE, "tile": item.step, "window": item.window}
    step = config.schedule[item.step]
    tile = {"tile": step.tile} if step.tiles > 1 else {}
    place = {"window": item.window, "number": item.step, "name": str(step)}
    return {"step": step.kind, "layer": step.layer, **tile, **place}
