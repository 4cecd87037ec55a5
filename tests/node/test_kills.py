"""A kill at any point loses nothing and repeats nothing.

The provider is killed at its n-th durable step (a database commit, a signature, a transaction handed to the node;
before it and, through the next one, after it), for every n until a whole life passes without a kill. Then it is
started again on the same database and lives on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.events import BatchPosted
from node.provider import Provider
from node.serving import CommittedServing
from node.store import BatchState, ResponseState
from tests.contracts.local_chain import LocalChain

from .chain import ProviderHouse, make_house


class Killed(BaseException):
    """The process ends here."""


class Reaper:
    """Counts durable steps and kills before the n-th one."""

    def __init__(self, at: int) -> None:
        self.at, self.steps, self.where = at, 0, ""

    def pass_by(self, where: str) -> None:
        self.steps += 1
        if self.steps == self.at:
            self.where = where
            raise Killed(where)

    @contextmanager
    def watching(self, house: ProviderHouse) -> Iterator[None]:
        def on_commit(connection: Connection) -> None:
            if self.steps + 1 == self.at:
                connection.invalidate()  # the end of a process closes its files: the transaction is rolled back
            self.pass_by("commit")

        chain, signer = house.contracts.chain, house.signer
        send_raw, sign = chain.send_raw, signer.sign_typed_data

        def send_and_maybe_die(raw: bytes) -> None:
            self.pass_by("before sending")
            send_raw(raw)
            self.pass_by("after sending")

        def sign_and_maybe_die(message: dict[str, Any]) -> bytes:
            signature = sign(message)
            self.pass_by("after signing")
            return signature

        event.listen(Engine, "commit", on_commit)
        chain.send_raw = send_and_maybe_die  # type: ignore[method-assign]
        signer.sign_typed_data = sign_and_maybe_die  # type: ignore[method-assign]
        try:
            yield
        finally:
            event.remove(Engine, "commit", on_commit)
            chain.send_raw, signer.sign_typed_data = send_raw, sign  # type: ignore[method-assign]


def live(house: ProviderHouse, handed_out: list[str], until: int = 2) -> Provider:
    """Start, answer until `until` receipts are out, post, wait, finalise."""
    provider = house.start()
    while len(handed_out) < until:
        issued = provider.desk.issue([65, 66, len(handed_out)], [67, 68], 2, "length")
        handed_out.append(issued.receipt_id)
    for seconds in (6, 61):
        house.pass_time(seconds)
        provider.follower.step()
        provider.committer.step()
    return provider


@pytest.mark.long
@pytest.mark.timeout(120)
def test_a_kill_at_any_durable_step(
    tmp_path: Path,
    local_chain: LocalChain,
    contracts: ProtocolContracts,
    serving: CommittedServing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "contracts.bindings.journal.SIGNING_S", 0.2
    )  # so long the next life waits after a kill
    killed_at: list[str] = []
    for number in range(1, 100):
        database = tmp_path / f"life-{number}" / "node.sqlite"
        database.parent.mkdir()
        house = make_house(database, local_chain, contracts, serving)
        locked = contracts.stake.account(house.signer.address).locked
        first_block = local_chain.chain.head().number + 1
        handed_out: list[str] = []
        reaper = Reaper(number)
        try:
            with reaper.watching(house):
                live(house, handed_out)
        except Killed:
            killed_at.append(reaper.where)
        provider = live(house, handed_out)

        batches = provider.journal.batches()
        assert {batch.state for batch in batches} == {BatchState.FINAL}
        for receipt_id in handed_out:
            row = provider.journal.find_response(receipt_id)
            assert row is not None and row.signature is not None and row.state == ResponseState.FINAL
            batch = provider.journal.batch(row.batch_id)
            assert batch is not None and batch.posted_at is not None
            assert batch.posted_at <= batch.posting_deadline
        assert provider.journal.unsigned() == []
        posted = posted_roots(contracts, house.signer.address, first_block)
        assert sorted(posted) == sorted(batch.root or "" for batch in batches), reaper.where
        assert contracts.stake.account(house.signer.address).locked == locked
        if not reaper.where:
            break
    else:
        pytest.fail("no life passed without a kill")
    assert len(killed_at) >= 12
    assert {"commit", "before sending", "after sending", "after signing"} <= set(killed_at)


def posted_roots(contracts: ProtocolContracts, provider: str, first_block: int) -> list[str]:
    logs = contracts.chain.logs([contracts.ledger.address], first_block, contracts.chain.head().number)
    events = contracts.events.decode(logs)
    return ["0x" + e.root.hex() for e in events if isinstance(e, BatchPosted) and e.provider == provider]
