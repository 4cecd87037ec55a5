"""An event that the endpoint had not in one life of a node is in the journal in the next, and nothing goes for
it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.bindings.chain import Chain, RawLog
from contracts.bindings.deployment import ProtocolContracts
from node.chain_follower import ChainFollower
from node.store import ChainEventRow, Journal, PaymentBook, open_engine
from tests.contracts.local_chain import LocalChain

from .conftest import LocalSigner
from .paying import PaidDesk


def test_what_an_earlier_life_was_not_told_is_found(
    local_chain: LocalChain, contracts: ProtocolContracts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contracts.bindings.log_reader.READ_AGAIN_AFTER_S", (0.0, 3600.0))
    chain, sender = local_chain.chain, local_chain.sender(3)
    true_logs: Callable[..., list[RawLog]] = Chain.logs
    true_request: Callable[..., Any] = Chain.request
    hidden: set[int] = set()
    asked: list[str] = []

    def logs(self: Chain, *arguments: Any) -> list[RawLog]:
        return [log for log in true_logs(self, *arguments) if log.block_number not in hidden]

    def request(self: Chain, method: str, parameters: Any) -> Any:
        asked.append(method)
        return true_request(self, method, parameters)

    monkeypatch.setattr(Chain, "logs", logs)
    monkeypatch.setattr(Chain, "request", request)
    url = f"sqlite:///{tmp_path}/node.sqlite"

    def started() -> tuple[ChainFollower, Journal]:
        journal = Journal(open_engine(url))
        return ChainFollower(contracts, journal, sender.address), journal

    def deposit() -> int:
        sender.send(contracts.stake.deposit(10**15), f"late {secrets.token_hex(4)}")
        return chain.head().number

    follower, journal = started()
    follower.step()
    hidden.add(late := deposit())
    follower.step()
    after = [deposit() for _ in range(3)]
    local_chain.mine(20)
    follower.step()
    assert not journal.places_after(late - 1) & {(late, 0)}
    assert {block for block, _ in journal.places_after(late - 1)} == set(after)
    cursors = journal.cursors()

    again, journal = started()
    hidden.clear()
    asked.clear()
    again.step()
    assert {block for block, _ in journal.places_after(late - 1)} == {late, *after}
    assert journal.cursors() == cursors and journal.late_readings == 1
    assert asked.count("eth_getTransactionReceipt") == 1, "what is known is not looked up again"
    for _ in range(3):
        again.step()
    assert journal.late_readings == 1


def test_a_channel_that_is_told_of_late_is_known(journal: Journal) -> None:
    """Its block is older than those that are asked for again."""
    signer = LocalSigner()
    desk = PaidDesk(journal, PaymentBook(journal.engine), signer.address)
    desk._block = 5_000
    desk.fund("0xearly", 1)
    desk.authorise("0xearly", "0xkey")
    early = journal.events()[0].model_dump()
    early |= {
        "block_number": 10,
        "timestamp": 10,
        "arguments": early["arguments"].replace("0xearly", "0xlate"),
    }
    said = ChainEventRow(**early)
    journal.record_reading([said], (5_002, "0x5002"), is_late=True)
    desk.channels.observe()
    assert {payer for payer, _ in desk.channels._known.funded} == {"0xearly", "0xlate"}
    assert set(desk.channels._known.keys) == {("0xearly", "0xkey")}
