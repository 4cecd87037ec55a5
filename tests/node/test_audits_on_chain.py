"""A node answers the audits that the chain has of its answers: item by item, through a stop, before everything that can wait."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.bindings.deployment import ProtocolContracts, verifier_artifacts
from contracts.bindings.openings import open_audit
from contracts.bindings.registration import register
from contracts.protocol.audit_evidence import StepItem
from contracts.protocol.audits import AuditItem
from contracts.protocol.game import Outcome, Reason
from contracts.protocol.model import PRIVATE
from node.audits.desk import AuditState
from node.audits.keys import audit_key
from node.provider import Provider
from node.receipts import fields_of
from node.records import batch_tree
from node.serving import CommittedServing
from node.store import ResponseRow, ResponseState
from prover.blindings_file import LOWEST_COST
from prover.curve.srs import SRS
from prover.model.execute import Executor
from prover.model.weights import IntegerModel
from prover.plan import PRIVATE as PRIVATE_PLAN
from prover.private_model import commit_private
from prover.replay import Replay
from tests.contracts.local_chain import LocalChain
from verifier_gen import generate_sources

from .chain import CHALLENGER, ProviderHouse, make_house
from .test_kills import Killed

_ITEMS = [AuditItem.of_step(1, 1), AuditItem.of_step(2, 1), AuditItem.of_input(1), AuditItem.of_head(0, 1)]


@pytest.fixture(scope="module")
def private(
    tiny: IntegerModel,
    local_chain: LocalChain,
    contracts: ProtocolContracts,
    tmp_path_factory: pytest.TempPathFactory,
) -> CommittedServing:
    """The tiny model as a private one, registered with its own verifiers."""
    srs, folder = SRS.devnet(18), tmp_path_factory.mktemp("private")
    own = commit_private(tiny, srs, lambda new: "password", models=folder, commitments=folder, cost=LOWEST_COST)  # fmt: skip
    artifacts = verifier_artifacts(generate_sources(tiny.config, srs, PRIVATE_PLAN))
    model = register(local_chain.sender(0), contracts, own.commitment, artifacts, audit_stride=PRIVATE)
    return CommittedServing("tiny", tiny, own.commitment, srs, model.model_id, own)


@pytest.fixture
def private_house(
    tmp_path: Path, local_chain: LocalChain, contracts: ProtocolContracts, private: CommittedServing
) -> ProviderHouse:
    return make_house(tmp_path / "node.sqlite", local_chain, contracts, private)


def _answered(provider: Provider, lies: bool = False) -> ResponseRow:
    """An answer of two windows. lies: its second token is not the model's; everything else is honest."""
    boundaries = provider.service.boundaries
    assert boundaries is not None
    prompt = provider.service.served.tokenizer.encode("audit this, in two windows of a prompt")
    ids = Executor(provider._serving.model).generate(prompt, 3, end_ids=()).ids
    if lies:
        ids[1] = (ids[1] + 1) % provider._serving.model.config.vocabulary
    issued = provider.desk.issue(prompt, ids, len(ids), "length", committed=boundaries.commit(prompt, ids))
    row = provider.journal.find_response(issued.receipt_id)
    assert row is not None
    return row


def _posted(house: ProviderHouse, provider: Provider, row: ResponseRow) -> tuple[int, int]:
    """Where the answer is on chain: batch and index."""
    house.pass_time(6)
    provider.follower.step()
    provider.committer.step()
    batch = provider.journal.batch(row.batch_id)
    assert batch is not None and batch.chain_batch_id is not None
    return batch.chain_batch_id, row.index_in_batch


def _opened(
    house: ProviderHouse,
    provider: Provider,
    row: ResponseRow,
    place: tuple[int, int],
    items: Sequence[AuditItem],
) -> int:
    """The number of an audit of these items."""
    path = batch_tree(provider.journal.responses_of(row.batch_id)).path(row.index_in_batch)
    mined = open_audit(
        house.contracts, house.other(CHALLENGER), *place, fields_of(row), path, items,
        secret=secrets.token_bytes(32), key=f"audit {row.leaf}",
    )  # fmt: skip
    assert mined.gas_used
    return house.contracts.audits.audit_count()


def test_an_audit_is_answered_through_stops(
    private_house: ProviderHouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    house, audits = private_house, private_house.contracts.audits
    provider = house.start()
    row = _answered(provider)
    place = _posted(house, provider, row)
    off_chain = provider.audits.ask(
        row.receipt_id, audit_key(bytes.fromhex(row.audit_nonce), row.receipt_id), [StepItem(0, 0)]
    )
    audit = _opened(house, provider, row, place, _ITEMS)
    proven: list[object] = []
    prove_step, prove_input, prove_tile = Replay.prove_step, Replay.prove_embedding, Replay.prove_head_tile
    monkeypatch.setattr(Replay, "prove_step", lambda *a: [proven.append(a), prove_step(*a)][1])
    monkeypatch.setattr(Replay, "prove_embedding", lambda *a: [proven.append(a), prove_input(*a)][1])
    monkeypatch.setattr(Replay, "prove_head_tile", lambda *a: [proven.append(a), prove_tile(*a)][1])

    def states() -> list[bool]:
        return [audits.item_state(*place, item) == (audit, True) for item in _ITEMS]

    def sent() -> int:
        return house.contracts.chain.nonce(provider.address) - first

    # A node without the answer says so, and is not ready; nothing is sent.
    other = replace(
        house, settings=house.settings.model_copy(update={"database_url": f"sqlite:///{tmp_path}/other.db"})
    ).start()
    other.follower.step()
    first = house.contracts.chain.nonce(provider.address)
    other.answerer.step()
    assert "not in this node's database" in (other.answerer.reason() or "")
    assert "not in this node's database" in (other.readiness() or "")
    assert (sent(), states()) == (0, [False] * 4)

    # What can wait waits; the first item; then the node is killed between signing the second one's proof and sending it.
    provider.follower.step()
    assert len(provider.answerer.open_audits()) == 1 and provider.answerer.reason() is None
    provider.audits.step()
    waiting = provider.audits.find(off_chain.id)
    assert waiting is not None and waiting.state not in (AuditState.PROVEN, AuditState.FAILED)
    provider.answerer.step()
    until = time.monotonic() + 30
    while not any(states()) and time.monotonic() < until:
        time.sleep(0.01)  # a round waits for no block
    assert states() == [True, False, False, False]
    send_raw = house.contracts.chain.send_raw

    def die(raw: bytes) -> None:
        raise Killed("before sending")

    monkeypatch.setattr(house.contracts.chain, "send_raw", die)
    with pytest.raises(Killed):
        provider.answerer.step()
    monkeypatch.setattr(house.contracts.chain, "send_raw", send_raw)
    assert (len(proven), sent()) == (2, 1)

    # The next start sends what was signed, proves the rest, and nothing twice.
    restarted = house.start()
    restarted.follower.step()
    restarted.answerer.play_out()
    assert (len(proven), sent(), states()) == (4, 4, [True] * 4)
    ended = audits.audit(audit)
    assert (ended.outcome, ended.reason) == (Outcome.PROVIDER_WON, Reason.PROVEN)
    restarted.follower.step()
    restarted.answerer.play_out()
    assert (sent(), restarted.answerer.open_audits(), restarted.answerer.reason()) == (4, [], None)
    house.pass_time(200)
    for _ in range(2):
        restarted.follower.step()
        restarted.committer.step()
    after = restarted.journal.find_response(row.id)
    assert after is not None and after.state == ResponseState.FINAL


def test_a_proof_that_a_reorganisation_takes_back_is_sent_again(private_house: ProviderHouse) -> None:
    """It was confirmed, and gone before the node looked after it: the receipt that it waited for would never come."""
    house, audits = private_house, private_house.contracts.audits
    provider = house.start()
    row = _answered(provider)
    place = _posted(house, provider, row)
    audit = _opened(house, provider, row, place, _ITEMS[:1])
    provider.follower.step()
    chain = house.contracts.chain
    before = chain.request("evm_snapshot", [])
    provider.answerer.step()
    until = time.monotonic() + 30
    while audits.audit(audit).outcome is not Outcome.PROVIDER_WON and time.monotonic() < until:
        time.sleep(0.01)
    provider.outbox.recover()
    chain.request("evm_revert", [before])
    assert audits.audit(audit).outcome is Outcome.UNDECIDED
    provider.answerer.step()
    provider.answerer.play_out()
    assert audits.audit(audit).outcome is Outcome.PROVIDER_WON


def test_attack_a_provider_says_another_token_than_its_model(private_house: ProviderHouse) -> None:
    """It computes honestly, posts, proves the step that is named, and has no proof of its head: its lock is lost."""
    house, contracts = private_house, private_house.contracts
    provider = house.start()
    row = _answered(provider, lies=True)
    place = _posted(house, provider, row)
    audit = _opened(house, provider, row, place, [AuditItem.of_step(5, 1), AuditItem.of_head(0, 1)])
    provider.follower.step()
    until = time.monotonic() + 60
    while (contracts.audits.audit(audit).remaining, provider.answerer.failed_items(audit)) != (1, 1):
        assert time.monotonic() < until
        provider.answerer.step()
        time.sleep(0.01)
    assert contracts.audits.item_state(*place, AuditItem.of_step(5, 1)) == (audit, True)
    assert contracts.audits.item_state(*place, AuditItem.of_head(0, 1)) == (audit, False)
    reason = provider.answerer.reason() or ""
    assert "no proof of prove" in reason and not any(
        word in reason for word in ("beats token", "logit of row")
    )
    staked = contracts.stake.account(provider.address).total
    house.pass_time(house.contracts.stake.parameters().audit_window + 1)
    house.other(CHALLENGER).send(contracts.audits.timeout(audit), key=f"timeout {audit}")
    ended = contracts.audits.audit(audit)
    assert (ended.outcome, ended.reason) == (Outcome.CHALLENGER_WON, Reason.TIMED_OUT)
    assert contracts.ledger.response(*place).is_void
    parameters = contracts.stake.parameters()
    lost = parameters.lock_per_response + parameters.provider_bond
    assert staked - contracts.stake.account(provider.address).total == lost
