"""A provider on a restored copy: what the chain has is not sent again, no place is given out twice, receipts of the copy are honoured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from contracts.bindings.contract import Call
from contracts.bindings.journal import IntentStatus
from node.errors import DatabaseError
from node.store import BatchState
from ops import postgres_copy
from ops.backup import Progress, Source, open_archive, write_archive
from ops.errors import BackupRefused
from ops.restoring import (
    Restored,
    put_postgres,
    put_sqlite,
    repair,
    require_not_newer,
    require_same_chain,
)
from tests.databases import PostgresServer

from .chain import ProviderHouse

NOWHERE = Path("nowhere")


def source(house: ProviderHouse, database: Path) -> Source:
    chain = house.contracts.chain
    return Source(
        "provider", chain.chain_id, "0x" + chain.genesis_hash.hex(), house.contracts.ledger.address, house.signer.address,
        chain.head().number, database, NOWHERE, NOWHERE,
    )  # fmt: skip


def answer(provider: object, number: int) -> str:
    return str(provider.desk.issue([65, number], [67, 68], 2, "length").receipt_id)  # type: ignore[attr-defined]


def test_a_provider_restored_from_an_old_copy(house: ProviderHouse, tmp_path: Path) -> None:
    database, contracts, address = tmp_path / "node.sqlite", house.contracts, house.signer.address
    provider = house.start()
    copied = [answer(provider, number) for number in range(2)]
    sender = provider.outbox._sender
    stake = contracts.stake.account(address).total
    planned = sender.journal.plan("a deposit", contracts.stake.deposit(7))
    archive = tmp_path / "copy.tar"
    write_archive(source(house, database), archive)

    # afterwards: the planned deposit is sent, one more answer joins the open batch, all of it is posted
    sender.send(contracts.stake.deposit(7), "a deposit")
    lost = answer(provider, 2)
    house.pass_time(6)
    provider.follower.step()
    provider.committer.step()
    (posted,) = provider.journal.batches([BatchState.POSTED])
    assert posted.count == 3
    provider.journal.engine.dispose()

    manifest = open_archive(archive, tmp_path / "out")
    require_same_chain(manifest, "provider", contracts.chain, contracts.ledger.address, address)
    with pytest.raises(BackupRefused, match="knows more"):
        require_not_newer(manifest, database)
    with pytest.raises(BackupRefused, match="account"):
        require_same_chain(manifest, "provider", contracts.chain, contracts.ledger.address, NOWHERE.name)
    assert manifest.progress == Progress(
        responses=2, batches=1, intents=manifest.progress.intents, attempts=manifest.progress.attempts
    )

    database.rename(tmp_path / "the disk broke")
    for left in ("-wal", "-shm"):
        database.with_name(database.name + left).unlink(missing_ok=True)
    found, _ = put_sqlite(
        tmp_path / "out" / manifest.database,
        database,
        lambda url: repair(url, "provider", contracts, address),
    )
    assert found.sealed == 1 and found.given_up == 1
    assert any("has 3 answers, the copy knows 2" in warning for warning in found.warnings)

    first_block = contracts.chain.head().number + 1
    again = house.start()
    new = answer(again, 3)
    for seconds in (6, 1):
        house.pass_time(seconds)
        again.follower.step()
        again.committer.step()
    assert contracts.stake.account(address).total == stake + 7  # once
    salts = {batch.salt: batch.count for batch in again.journal.batches()}
    assert salts[posted.salt] == 2 and len(salts) == 2
    row = again.journal.find_response(new)
    assert row is not None and row.index_in_batch == 0 and again.journal.find_response(lost) is None
    assert all(again.journal.find_response(receipt) is not None for receipt in copied)
    logs = contracts.chain.logs([contracts.ledger.address], first_block, contracts.chain.head().number)
    roots = [e for e in contracts.events.decode(logs) if type(e).__name__ == "BatchPosted"]
    assert len(roots) == 1  # the new one: that of the copy is on chain already
    intent = again.outbox._sender.journal.get(planned.id)
    assert intent.status is IntentStatus.REFUSED and "restored from a copy" in (intent.error or "")


@pytest.mark.long
def test_a_transaction_that_was_replaced_after_the_copy_is_not_sent_again(
    house: ProviderHouse, tmp_path: Path
) -> None:
    """The copy knows the first, cheap version; the dearer one was mined in its place. Another's use of the nonce is told apart."""
    database, contracts = tmp_path / "node.sqlite", house.contracts
    provider = house.start()
    sender, chain = provider.outbox._sender, contracts.chain
    stake = contracts.stake.account(house.signer.address).total
    sender.send(contracts.stake.deposit(5), "replaced")
    replaced = sender.journal.find("replaced")
    sender.send(contracts.stake.deposit(6), "another's")
    other = sender.journal.find("another's")
    assert replaced is not None and other is not None
    archive = tmp_path / "copy.tar"
    write_archive(source(house, database), archive)
    copy = tmp_path / "out" / open_archive(archive, tmp_path / "out").database

    def as_before(url: str) -> object:
        """The copy as it would be, had it been made before the replacements."""
        from sqlalchemy import create_engine

        with create_engine(url).begin() as connection:
            forget = "UPDATE transaction_attempt SET hash = :hash WHERE intent_id = :id"
            change = "UPDATE transaction_intent SET status = 'signed', mined_hash = NULL, mined_block = NULL WHERE id = :id"
            for intent in (replaced, other):
                connection.execute(text(forget), {"hash": bytes(32), "id": intent.id})
                connection.execute(text(change), {"id": intent.id})
            something_else = "UPDATE transaction_intent SET data = :data WHERE id = :id"
            data = contracts.stake.resume().data
            connection.execute(text(something_else), {"data": data, "id": other.id})
        return repair(url, "provider", contracts, house.signer.address)

    found, _ = put_sqlite(copy, tmp_path / "restored.sqlite", as_before)  # type: ignore[arg-type]
    assert (found.mined_since, found.given_up) == (1, 1)  # type: ignore[attr-defined]
    house.settings = house.settings.model_copy(
        update={"database_url": f"sqlite:///{tmp_path}/restored.sqlite"}
    )
    again = house.start()
    assert contracts.stake.account(house.signer.address).total == stake + 11
    journal = again.outbox._sender.journal
    assert journal.get(replaced.id).status is IntentStatus.CONFIRMED
    assert journal.get(other.id).status is IntentStatus.REFUSED
    assert isinstance(journal.get(other.id).call, Call) and chain.nonce(house.signer.address) > 0


@pytest.mark.long
def test_a_postgresql_database_is_restored_wholly_or_not_at_all(house: ProviderHouse, tmp_path: Path) -> None:
    contracts, address = house.contracts, house.signer.address
    server = PostgresServer()
    try:
        house.settings = house.settings.model_copy(update={"database_url": server.new_database()})
        provider = house.start()
        receipt = answer(provider, 0)
        archive = tmp_path / "copy.tar"
        source_ = replace(source(house, tmp_path), database=house.settings.database_url)
        manifest = write_archive(source_, archive, postgres_bin=server.binaries)
        assert manifest.progress.responses == 1
        copy = tmp_path / "out" / open_archive(archive, tmp_path / "out").database
        with pytest.raises(BackupRefused, match="in use already"):
            put_postgres(copy, str(house.settings.database_url), lambda url: Restored(), server.binaries)
        with pytest.raises(BackupRefused, match="--postgres-bin"):
            write_archive(source_, tmp_path / "none.tar", postgres_bin=tmp_path)
        provider.journal.engine.dispose()

        url = server.new_database()
        house.settings = house.settings.model_copy(update={"database_url": url})

        def killed(_url: str) -> Restored:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            put_postgres(copy, url, killed, server.binaries)
        assert postgres_copy.state_of(url) == "restoring"
        with pytest.raises(DatabaseError, match="another chain"):
            house.start()  # nothing starts on what is not repaired
        found = put_postgres(
            copy, url, lambda url: repair(url, "provider", contracts, address), server.binaries
        )
        assert found.sealed == 1 and postgres_copy.state_of(url) == "used"
        again = house.start()
        assert again.journal.find_response(receipt) is not None
        house.pass_time(6)
        again.follower.step()
        again.committer.step()
        assert len(again.journal.batches([BatchState.POSTED])) == 1
        again.journal.engine.dispose()
    finally:
        server.close()
