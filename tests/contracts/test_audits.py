"""Audits with real proofs on a real chain: a private tiny model, its masked proofs and its generated private verifiers."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from contracts.bindings.audit import differences
from contracts.bindings.audit_game import HeadAnswer, StepAnswer, head_answer
from contracts.bindings.deployment import ProtocolContracts, verifier_artifacts
from contracts.bindings.errors import ContractError
from contracts.bindings.events import AuditOpened
from contracts.bindings.indexer import Indexer
from contracts.bindings.openings import open_audit
from contracts.bindings.registration import expected_spec, register
from contracts.bindings.sender import Sender
from contracts.protocol.audits import AuditItem, AuditTarget, BoundaryTree
from contracts.protocol.game import Outcome, Reason
from contracts.protocol.model import PRIVATE, PUBLIC
from contracts.protocol.parameters import DEVNET
from contracts.protocol.response import ResponseFields
from prover.audits.head_tiles import HeadAudit
from prover.audits.private_head import PrivateHead
from prover.committed_values import commit_step_key
from prover.curve.srs import SRS
from prover.hiding import blind, blinding_base, draw_blinding
from prover.model.library import load_model
from prover.model.weights import IntegerModel
from prover.model_commitment import padded_weights
from prover.operators.head_pair import RivalWins
from prover.plan import PRIVATE as PRIVATE_PLAN
from prover.statement import StepKey
from tests.contracts.chain_game import Arena, PostedBatch
from tests.contracts.local_chain import LocalChain
from tests.contracts.private_provider import PrivateModel, PrivateReplay
from verifier_gen import generate_sources

_PROMPT = [72, 101, 108, 108, 111] * 8
_LAYER = 1


@dataclass
class House:
    """The chain, the provider's private model and its answer."""

    arena: Arena
    private: PrivateModel
    truth: PrivateReplay

    @property
    def contracts(self) -> ProtocolContracts:
        return self.arena.contracts

    def post(self, replay: PrivateReplay, root: bytes) -> PostedBatch:
        fields = ResponseFields.of(
            replay.prompt_ids, replay.output_ids, len(replay.output_ids), 0, audit_root=root
        )
        return self.arena.post([fields])

    def audit(self, batch: PostedBatch, items: Sequence[AuditItem]) -> int:
        mined = open_audit(
            self.contracts,
            self.arena.challenger,
            batch.batch_id,
            0,
            batch.fields[0],
            batch.tree.path(0),
            items,
            secret=secrets.token_bytes(32),
            key=f"audit {secrets.token_hex(4)}",
        )
        opened = self.contracts.events.decode(mined.receipt.logs)
        return next(event.audit_id for event in opened if isinstance(event, AuditOpened))

    def prove(self, audit_id: int, answers: Sequence[StepAnswer]) -> int:
        """Gas that it took. Raises ContractError."""
        provider: Sender = self.arena.provider
        call = self.contracts.audits.prove_steps(audit_id, answers)
        return provider.send(call, key=f"answer {secrets.token_hex(4)}").gas_used

    def head_answer(self, replay: PrivateReplay, boundaries: BoundaryTree) -> HeadAnswer:
        """About the one tile and the last window."""
        window, last = replay.windows - 1, boundaries.steps
        points = replay.stream_points(last, 0), replay.chosen_logit_points()
        ids, proof = (replay.prompt_ids, replay.output_ids), replay.prove_head_tile(window, 0)
        return head_answer(replay.commitment, boundaries, 0, window, *points, *ids, proof)

    def prove_head(self, audit_id: int, answer: HeadAnswer) -> int:
        """Likewise."""
        call = self.contracts.audits.prove_heads(audit_id, [answer])
        return self.arena.provider.send(call, key=f"answer {secrets.token_hex(4)}").gas_used

    def end(self, audit_id: int) -> None:
        """Time passes and nothing more is proven: the response is void, and its provider loses."""
        self.arena.local_chain.pass_time(DEVNET.audit_window + 1)
        self.arena.challenger.send(self.contracts.audits.timeout(audit_id), key=f"timeout {audit_id}")
        ended = self.contracts.audits.audit(audit_id)
        assert (ended.outcome, ended.reason) == (Outcome.CHALLENGER_WON, Reason.TIMED_OUT)
        assert self.contracts.ledger.response(ended.batch_id, ended.index).is_void
        assert self.contracts.stake.is_paused(self.arena.provider.address)

    def step(self, kind: str, layer: int) -> int:
        schedule = self.private.model.config.schedule
        return next(n for n, s in enumerate(schedule) if (s.kind, s.layer) == (kind, layer))


@pytest.fixture(scope="module")
def house(local_chain: LocalChain, contracts: ProtocolContracts) -> House:
    model, srs = load_model("tiny"), SRS.devnet(18)
    private = PrivateModel.hide(model, srs)
    artifacts = verifier_artifacts(generate_sources(model.config, srs, PRIVATE_PLAN))
    provider, auditor = local_chain.sender(1), local_chain.sender(2)
    spec = expected_spec(private.commitment, artifacts, PRIVATE)
    assert spec.model_id != expected_spec(private.commitment, artifacts, PUBLIC).model_id
    model_id = register(provider, contracts, private.commitment, artifacts, audit_stride=PRIVATE).model_id
    assert contracts.registry.spec(model_id) == spec and spec.difference(private.commitment) is None
    fewer = replace(spec, head_tiles=spec.head_tiles - 1)
    assert fewer.difference(private.commitment) == "number of tiles of the head"
    provider.send(contracts.stake.deposit(10 * 10**18), key=f"stake {model_id.hex()}")
    first = PrivateReplay(private, _PROMPT, [0]).argmax(len(_PROMPT) - 1)
    assert first is not None
    truth = PrivateReplay(private, _PROMPT, [first])
    arena = Arena(local_chain, contracts, private.commitment, model_id, provider, auditor)  # type: ignore[arg-type]
    return House(arena, private, truth)


def test_an_honest_provider_answers_an_audit(house: House) -> None:
    boundaries = house.truth.boundaries()
    # Neighbours, chained by the boundary between them.
    items = [
        AuditItem.of_step(house.step("attention", _LAYER), 1),
        AuditItem.of_step(house.step("mlp", _LAYER), 1),
        AuditItem.of_head(0, 1),
    ]
    # The chain's clock is the machine's, which may be busy: what is proven is proven before the windows open.
    answers = [house.truth.answer(boundaries, item) for item in items[:2]]
    tile = house.head_answer(house.truth, boundaries)
    unnamed = house.truth.answer(boundaries, AuditItem.of_step(items[1].step, 0), answers[1].proof.proof)
    batch = house.post(house.truth, boundaries.root)
    bond = house.contracts.ledger.bond_for(house.arena.provider.address)
    audit_id = house.audit(batch, items)
    audits, stake = house.contracts.audits, house.contracts.stake
    opened = audits.audit(audit_id)
    assert (opened.remaining, opened.audit_root, opened.is_open) == (3, boundaries.root, True)
    assert opened.bond == 3 * bond
    credits = stake.credits(house.arena.provider.address)
    changed = replace(
        answers[1].proof, proof=bytes([answers[1].proof.proof[0] ^ 1]) + answers[1].proof.proof[1:]
    )
    with pytest.raises(ContractError, match="ProofRejected"):
        house.prove(audit_id, [replace(answers[1], proof=changed)])
    with pytest.raises(ContractError, match="ItemNotNamed"):
        house.prove(audit_id, [unnamed])
    house.prove(audit_id, answers[1:])
    assert audits.item_state(batch.batch_id, 0, items[1]) == (audit_id, True)
    assert audits.item_state(batch.batch_id, 0, items[0]) == (audit_id, False)
    house.prove(audit_id, answers[:1])
    other = replace(tile, proof=bytes([tile.proof[0] ^ 1]) + tile.proof[1:])
    with pytest.raises(ContractError, match="ProofRejected"):
        house.prove_head(audit_id, other)
    house.prove_head(audit_id, tile)
    ended = audits.audit(audit_id)
    assert (ended.outcome, ended.reason, ended.remaining) == (Outcome.PROVIDER_WON, Reason.PROVEN, 0)
    assert stake.credits(house.arena.provider.address) - credits == opened.bond // 2
    with pytest.raises(ContractError, match="ItemNamedBefore"):
        house.audit(batch, items[2:])
    books = Indexer(house.contracts).catch_up()
    assert set(books.audits[audit_id].proven) == set(items) == set(books.audits[audit_id].items)
    assert books.audits[audit_id].items[0].target is AuditTarget.STEP
    assert differences(books, house.contracts, house.contracts.chain.head().number) == []


def _with_four_bits(model: IntegerModel) -> IntegerModel:
    """The model with the matrices of one MLP rounded to multiples of 2^12, a sixteenth of int16's range."""
    layers = list(model.weights.layers)
    rounded = {
        name: replace(matrix, values=(matrix.values >> 12 << 12).astype(matrix.values.dtype))
        for name, matrix in layers[_LAYER].items()
        if name in ("w_gate", "w_up", "w_down")
    }
    assert rounded
    layers[_LAYER] = {**layers[_LAYER], **rounded}
    return replace(model, weights=replace(model.weights, layers=layers))


def test_a_provider_that_runs_substituted_weights_has_no_answer(house: House) -> None:
    """Its boundaries are true of the weights that it runs; no proof leads from them to the committed step key."""
    substituted = _with_four_bits(house.private.model)
    liar = PrivateReplay(house.private, _PROMPT, house.truth.output_ids, runs=substituted)
    boundaries = liar.boundaries()
    step = house.step("mlp", _LAYER)
    honest_part, lie = AuditItem.of_step(step - 1, 0), AuditItem.of_step(step, 0)
    before = liar.answer(boundaries, honest_part)
    # A true proof about the weights that ran, with their own key, which is not the model's.
    scheduled = house.private.model.config.schedule[step]
    plan = liar.system.verifying_key(scheduled.kind).plan
    parameters = substituted.layer_parameters(scheduled.layer, scheduled.kind, scheduled.tile)
    own = commit_step_key(plan, liar.srs, parameters, padded_weights(substituted, step))
    drawn, base = tuple(draw_blinding() for _ in own.points), blinding_base(liar.srs.digest)
    own = StepKey(own.parameters, tuple(blind(p, b, base) for p, b in zip(own.points, drawn, strict=True)))
    proof = liar.prove_with(replace(liar.step_statement(step, 0), key=own), drawn, step, 0)
    answer = liar.answer(boundaries, lie, proof)
    forged = [answer, liar.answer(boundaries, lie, liar.prove_step(step, 0))]
    uncommitted = house.truth.answer(house.truth.boundaries(), lie, proof)
    batch = house.post(liar, boundaries.root)
    audit_id = house.audit(batch, [honest_part, lie])
    house.prove(audit_id, [before])
    with pytest.raises(ContractError, match="WrongStepKey"):
        house.prove(audit_id, [replace(answer, proof=replace(answer.proof, key=own.encode()))])
    # The same proof, and one made for the statement at hand, with the committed key.
    for each in forged:
        with pytest.raises(ContractError, match="ProofRejected"):
            house.prove(audit_id, [each])
    # The honest boundaries, which were not committed to.
    with pytest.raises(ContractError, match="WrongAuditedBoundary"):
        house.prove(audit_id, [uncommitted])
    house.end(audit_id)
    books = Indexer(house.contracts).catch_up()
    assert books.audits[audit_id].proven == (honest_part,)
    assert differences(books, house.contracts, house.contracts.chain.head().number) == []


@pytest.mark.long
def test_attack_honest_boundaries_with_another_token(house: House) -> None:
    """All steps are proven; of the head the liar has a true proof, about the token that the model would have said and the logit
    that it committed to, which is that token's."""
    house.arena.local_chain.pass_time(1)
    stake = house.contracts.stake
    if stake.is_paused(house.arena.provider.address):
        house.arena.provider.send(stake.deposit(10**18), key=f"again {secrets.token_hex(4)}")
        house.arena.provider.send(stake.resume(), key=f"resume {secrets.token_hex(4)}")
    said = (house.truth.output_ids[0] + 1) % house.private.commitment.vocabulary
    liar = PrivateReplay(house.private, _PROMPT, [said])
    with pytest.raises(RivalWins):  # the logit of what it said, honestly committed
        liar.prove_head_tile(1, 0)
    private, blindings = house.private, liar._blindings
    assert blindings is not None
    truth = HeadAudit(private.model, private.srs, _PROMPT, house.truth.output_ids, liar.trace)
    vars(liar)["_head"] = PrivateHead(truth, private.commitment, blindings)
    boundaries = liar.boundaries()
    step = AuditItem.of_step(house.step("mlp", _LAYER), 1)
    answer, forged = liar.answer(boundaries, step), house.head_answer(liar, boundaries)
    true_ids = house.truth.output_ids[0].to_bytes(4, "big")
    batch = house.post(liar, boundaries.root)
    audit_id = house.audit(batch, [step, AuditItem.of_head(0, 1)])
    house.prove(audit_id, [answer])
    with pytest.raises(ContractError, match="ProofRejected"):  # the contract says which tokens it is about
        house.prove_head(audit_id, forged)
    with pytest.raises(ContractError, match="WrongTokenIds"):
        house.prove_head(audit_id, replace(forged, output_ids=true_ids))
    # The honest logits, which were not committed to.
    honest = house.head_answer(house.truth, house.truth.boundaries())
    with pytest.raises(ContractError, match="WrongAuditedBoundary"):
        house.prove_head(audit_id, replace(forged, chosen=honest.chosen, proof=honest.proof))
    house.end(audit_id)
