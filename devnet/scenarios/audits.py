"""A private model's answers, audited on chain: an honest provider proves what is named, one that runs cheaper weights and one
that is silent lose the answer's lock.

The auditor is the client itself, with what it can see: the receipt, the batch's listing, and the command's own table of audits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from challenger.audits_by_hand import AuditTable
from challenger.disputes_by_hand import DisputeTable
from contracts.bindings.deployment import verifier_artifacts
from contracts.bindings.registration import register
from contracts.protocol.audits import Audit, AuditItem
from contracts.protocol.game import Outcome
from contracts.protocol.model import PRIVATE
from node.provider import CommittedServing
from prover.blindings_file import LOWEST_COST
from prover.model.weights import IntegerModel
from prover.plan import PRIVATE as PRIVATE_PLAN
from prover.private_model import commit_private
from verifier_gen import generate_sources

from .cheap_weights import BITS, requantised
from .hosted_provider import Answered, HostedProvider, StagedProvider
from .result import RefusedProof, ScenarioResult
from .stage import Posted, Stage

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
    """Must end `audited`: a step of the MLP, one of attention and the embedding are proven, and the provider is paid."""
    config = stage.prepared.model.config
    items = [
        AuditItem.of_step(config.step_with("w_down", config.layers // 2), 0),
        AuditItem.of_step(config.step_with("w_output", config.layers // 2), 0),
        AuditItem.of_input(0),
    ]
    house = stage.hire("spare 5", private=private_serving(stage))
    return _audit(stage, "audit-honest", house, "spare 5", items)


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
    stage: Stage, name: str, house: HostedProvider, role: str, items: Sequence[AuditItem]
) -> ScenarioResult:
    book = stage.open_book(provider=role, challenger=AUDITOR)
    answered, posted = stage.ask(house, PROMPT, MAX_TOKENS)
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
            RefusedProof("its own proof, over the cheap weights", error.name, None)
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
    step = stage.prepared.model.config.schedule[item.step]
    tile = {"tile": step.tile} if step.tiles > 1 else {}
    place = {"window": item.window, "number": item.step, "name": str(step)}
    return {"step": step.kind, "layer": step.layer, **tile, **place}
