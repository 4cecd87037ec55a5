"""Answers reach the chain by their deadline, exactly once, and become final."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update
from sqlmodel import Session

from contracts.protocol.merkle import verify_path
from node.records import Records
from node.store import BatchState, ResponseRow, ResponseState
from prover.model.execute import Executor

from .chain import ProviderHouse


def answer(provider, house: ProviderHouse, text: str, max_tokens: int = 3):  # type: ignore[no-untyped-def]
    """Generate greedily and commit, as the API does."""
    prompt = house.serving.model.tokenizer.encode(text)
    generation = Executor(house.serving.model).generate(prompt, max_tokens)
    return provider.desk.issue(prompt, generation.ids, max_tokens, generation.finish_reason)


def test_a_batch_is_posted_by_its_deadline_and_becomes_final(house: ProviderHouse) -> None:
    provider = house.start()
    issued = [answer(provider, house, text) for text in ("one", "two", "three")]
    locked_before = house.contracts.stake.account(provider.address).locked
    provider.committer.step()
    assert provider.journal.batches()[0].state == BatchState.OPEN  # it waits for more answers
    house.pass_time(6)
    provider.follower.step()
    provider.committer.step()
    batch = provider.journal.batches()[0]
    assert batch.state == BatchState.POSTED and batch.chain_batch_id is not None
    assert batch.posted_at is not None and batch.posted_at <= batch.posting_deadline
    lock = house.contracts.stake.parameters().lock_per_response
    assert house.contracts.stake.account(provider.address).locked == locked_before + 3 * lock

    posted = house.contracts.ledger.batch(batch.chain_batch_id)
    for index, receipt in enumerate(issued):
        row = provider.journal.find_response(receipt.receipt_id)
        assert row is not None and row.index_in_batch == index
        record = provider_records(provider, house).receipt(receipt.receipt_id)
        assert record is not None
        path = [bytes.fromhex(node[2:]) for node in record["path"]]
        assert verify_path(posted.root, bytes.fromhex(row.leaf[2:]), path, index, 3)

    house.pass_time(61)
    for _ in range(2):
        provider.follower.step()
        provider.committer.step()
    assert provider.journal.batches()[0].state == BatchState.FINAL
    assert house.contracts.stake.account(provider.address).locked == locked_before
    rows = provider.journal.responses_of(batch.id or 0)
    assert [row.state for row in rows] == [ResponseState.FINAL] * 3
    provider.committer.step()  # nothing is left to do


def provider_records(provider, house: ProviderHouse) -> Records:  # type: ignore[no-untyped-def]
    from node.receipts import Issuer

    contracts = house.contracts
    issuer = Issuer(
        contracts.chain.chain_id,
        contracts.ledger.address,
        contracts.receipts.address,
        provider.address,
        house.serving.model_id,
    )
    return Records(provider.journal, issuer, "tiny")


def test_a_signature_that_the_database_lost_is_made_again(house: ProviderHouse) -> None:
    """Its commit waits for no disk, so a server that crashes may lose it, though the client has it: the node is not stopped by that."""
    provider = house.start()
    issued = answer(provider, house, "red")
    given = provider.journal.find_response(issued.receipt_id)
    assert given is not None and given.signature is not None

    def lose(**more: str) -> None:
        with Session(provider.journal.engine) as session:
            session.execute(update(ResponseRow).values(signature=None, **more))
            session.commit()

    lose()
    client = TestClient(provider.app)  # without its workers
    body = client.get(f"/v1/receipts/{issued.receipt_id}").json()
    assert (body["signature"], body["receipt_id"]) == (given.signature, issued.receipt_id)
    kept = provider.journal.find_response(issued.receipt_id)
    assert kept is not None and kept.signature == given.signature
    lose(signer="0x" + "11" * 20)  # a key that is not the node's any more
    assert client.get(f"/v1/receipts/{issued.receipt_id}").status_code == 404
    assert provider.desk.sign_left_over() == 0
    lose(signer=given.signer)
    assert provider.desk.sign_left_over() == 1


def test_a_challenger_finds_every_response_of_a_batch(house: ProviderHouse) -> None:
    provider = house.start()
    issued = [answer(provider, house, text) for text in ("red", "green")]
    records = provider_records(provider, house)
    house.pass_time(6)
    provider.follower.step()
    provider.committer.step()
    posted = provider.journal.batches()[0]
    for key in (str(posted.chain_batch_id), posted.root, posted.salt):
        batch = records.batch(key)
        assert batch is not None and batch["state"] == "posted"
        assert [entry["receipt_id"] for entry in batch["responses"]] == [i.receipt_id for i in issued]
    assert (
        records.batch("999999") is None
        and records.batch("0x12") is None
        and records.batch("nonsense") is None
    )


def test_a_reorganisation_makes_it_post_again(house: ProviderHouse) -> None:
    provider = house.start()
    answer(provider, house, "fork")
    house.pass_time(6)
    provider.follower.step()
    snapshot = house.contracts.chain.request("evm_snapshot", [])
    provider.committer.step()
    first = provider.journal.batches()[0]
    assert first.state == BatchState.POSTED
    house.contracts.chain.request("evm_revert", [snapshot])
    house.local.mine(3)
    provider.follower.step()
    provider.committer.step()
    assert provider.journal.batches()[0].state == BatchState.SEALED
    provider.committer.step()
    again = provider.journal.batches()[0]
    assert again.state == BatchState.POSTED and again.root == first.root
    assert (
        house.contracts.ledger.batch_of(provider.address, bytes.fromhex(again.salt[2:]))
        == again.chain_batch_id
    )


@pytest.mark.parametrize("is_read", [True, False], ids=["after its events were read", "before"])
def test_locks_whose_release_a_reorganisation_takes_back_are_released_again(
    house: ProviderHouse, is_read: bool
) -> None:
    """Of a whole batch, and of a response that was asked for; nothing else is sent that would bring them back."""
    provider, chain, stake = house.start(), house.contracts.chain, house.contracts.stake
    for text in ("this", "that"):
        answer(provider, house, text)
    house.pass_time(6)
    provider.follower.step()
    provider.committer.step()
    number = provider.journal.batches()[0].chain_batch_id
    assert number is not None
    client = house.local.sender(4, "asks")
    client.send(
        house.contracts.ledger.ask(number, 1, house.contracts.stake.parameters().ask_price), key="ask"
    )
    provider.follower.step()
    provider.demands.step()
    locked = stake.account(provider.address).locked
    house.pass_time(200)
    provider.follower.step()
    snapshot = chain.request("evm_snapshot", [])
    provider.committer.step()
    released = stake.account(provider.address).locked
    assert released < locked
    if is_read:
        provider.follower.step()
        provider.committer.step()
        assert provider.journal.batches()[0].state == BatchState.FINAL
    chain.request("evm_revert", [snapshot])
    house.local.mine(4)
    assert stake.account(provider.address).locked == locked
    for _ in range(3):
        provider.follower.step()
        provider.committer.step()
    assert stake.account(provider.address).locked == released
    assert provider.journal.batches()[0].state == BatchState.FINAL


def test_what_the_stake_locks_is_asked_for_once_and_again_after_a_reorganisation(
    house: ProviderHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = house.start()
    ledger, asked = house.contracts.ledger, []
    batch_of = type(ledger).batch_of

    def counted(self: Any, provider: str, salt: bytes, **where: Any) -> int:
        asked.append(salt)
        return batch_of(self, provider, salt, **where)

    def locked() -> frozenset[int]:
        provider.follower.step()
        views = {view.locked_batches for view in provider.follower.state.stake_views}
        assert len(views) == 1
        return views.pop()

    answer(provider, house, "once")
    house.pass_time(6)
    provider.follower.step()
    snapshot = house.contracts.chain.request("evm_snapshot", [])
    provider.committer.step()
    number = provider.journal.batches()[0].id
    assert number in locked()
    monkeypatch.setattr(type(ledger), "batch_of", counted)
    house.local.mine(2)
    assert number in locked() and not asked
    house.contracts.chain.request("evm_revert", [snapshot])
    house.local.mine(9)  # the new chain is longer: only its blocks tell
    assert number not in locked() and asked


def test_full_batches_are_sealed_early(house: ProviderHouse) -> None:
    house.settings = house.settings.model_copy(update={"batch_size": 2})
    provider = house.start()
    for text in ("a", "b", "c"):
        answer(provider, house, text)
    assert [batch.count for batch in provider.journal.batches()] == [2, 1]
    provider.committer.step()
    assert [batch.state for batch in provider.journal.batches()] == [BatchState.POSTED, BatchState.OPEN]
