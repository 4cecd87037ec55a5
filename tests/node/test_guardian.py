"""A guardian delays new batches: the node says so, waits, posts afterwards, and loses no receipt by it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from contracts.bindings.deployment import ProtocolContracts, deploy_protocol, verifier_artifacts
from contracts.bindings.errors import ContractError
from contracts.bindings.registration import register_model
from contracts.protocol.parameters import DEVNET
from node.provider import Provider
from node.serving import CommittedServing
from node.store import BatchState, ChainEventRow
from tests.contracts.local_chain import LocalChain
from verifier_gen import generate_sources

from .chain import CHALLENGER, ProviderHouse, make_house

GUARDIAN = 6


@pytest.fixture
def guarded(tmp_path: Path, local_chain: LocalChain, serving: CommittedServing) -> ProviderHouse:
    """A provider on a deployment with a guardian."""
    parameters = replace(
        DEVNET,
        guardian=local_chain.chain.unlocked_accounts()[GUARDIAN],
        guardian_delay=2 * 3600,
        exit_delay=5 * 3600,
    )
    sender = local_chain.sender(
        0, f"guarded-{tmp_path.name}"
    )  # another journal would hold all of it for done
    contracts = ProtocolContracts(local_chain.chain, deploy_protocol(sender, parameters))
    sources = generate_sources(serving.model.config, serving.srs)
    model_id = register_model(sender, contracts, serving.commitment, verifier_artifacts(sources))
    assert model_id == serving.model_id
    return make_house(tmp_path / "node.sqlite", local_chain, contracts, serving)


def settlement(provider: Provider) -> dict[str, Any]:
    """What the explorer draws."""
    answer: dict[str, Any] = TestClient(provider.app).get("/v1/settlement").json()
    return answer


def test_a_delay_is_told_waited_for_and_costs_no_receipt(guarded: ProviderHouse) -> None:
    house, stake = guarded, guarded.contracts.stake
    provider = house.start()
    assert provider.health.reason() is None
    issued = provider.desk.issue([65, 66], [67], 1, "length")
    until = house.contracts.chain.head().timestamp + 3700
    house.other(GUARDIAN).send(stake.delay_until(until), key=f"delay {until}")
    house.pass_time(6)
    provider.follower.step()
    reason = provider.health.reason()
    assert reason is not None and "guardian" in reason and "until" in reason
    shown = settlement(provider)
    assert shown["chain"]["delayed_until"] == until and not shown["model"]["deprecated"]
    provider.committer.step()
    batch = provider.journal.batches()[0]
    assert batch.state == BatchState.SEALED and "PostingDelayed" in (batch.failure or "")

    # The receipt's deadline is over by everybody's clock, and still nobody can claim it.
    house.pass_time(3700)
    row = provider.journal.find_response(issued.receipt_id)
    assert row is not None and row.signature is not None
    receipt, signature = provider.desk.receipt(batch, row), bytes.fromhex(row.signature[2:])
    assert house.contracts.chain.head().timestamp > batch.posting_deadline
    claim = house.contracts.receipts.claim_unposted(receipt, signature, DEVNET.receipt_claim_bond)
    with pytest.raises(ContractError) as early:
        house.other(CHALLENGER).send(claim, key=f"claim {issued.receipt_id}")
    assert early.value.name == "PostingDeadlineNotPassed"
    provider.follower.step()
    provider.committer.step()
    assert provider.journal.batches()[0].state == BatchState.POSTED
    registrant = house.local.sender(0, f"marks-{until}")
    registrant.send(house.contracts.registry.deprecate(house.serving.model_id), key="deprecate")
    provider.follower.step()
    assert provider.health.reason() is None  # a mark stops nobody
    assert settlement(provider)["model"]["deprecated"]


def test_an_event_that_cannot_be_read_does_not_stop_the_follower(
    guarded: ProviderHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = guarded
    provider = house.start()
    chain, stake = house.contracts.chain, house.contracts.stake
    topics = stake.interface.topics
    read = type(chain).logs

    def damaged(self, *arguments, **named):  # type: ignore[no-untyped-def]
        return [
            replace(log, data=log.data[:-1]) if log.topics[0] == topics["Deposited"] else log
            for log in read(self, *arguments, **named)
        ]

    monkeypatch.setattr(type(chain), "logs", damaged)
    house.other(CHALLENGER).send(stake.deposit(7), key=f"deposit {chain.head().number}")
    until = chain.head().timestamp + 3700
    house.other(GUARDIAN).send(stake.delay_until(until), key=f"delay {until}")
    provider.follower.step()
    events: list[ChainEventRow] = provider.journal.events(names=["Deposited", "DelayChanged"])
    assert [event.name for event in events][-1] == "DelayChanged"
    assert json.loads(events[-1].arguments)["until"] == until
    assert provider.follower.state is not None and provider.follower.state.delayed_until == until
