"""One intent, one effect: whatever is killed, dropped, replaced or reorganised."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import StaticPool

from contracts.bindings.chain import Chain
from contracts.bindings.contract import Call
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError, InsufficientFunds, RpcRefused, TransactionTimedOut
from contracts.bindings.fees import FeePolicy
from contracts.bindings.journal import IntentStatus, SqlJournal
from contracts.bindings.keys import UnlockedSigner
from contracts.bindings.sender import Sender
from tests.contracts.local_chain import LocalChain


class Killed(BaseException):
    """The process ends here."""


class Fuse:
    """Burns with every request and every write; at zero the process is killed, before or after the act."""

    def __init__(self, steps: int, *, after: bool) -> None:
        self.steps = steps
        self.after = after

    def burn(self, act: Callable[[], Any]) -> Any:
        self.steps -= 1
        if self.steps == 0 and not self.after:
            raise Killed
        result = act()
        if self.steps == 0 and self.after:
            raise Killed
        return result


class KillableChain(Chain):
    def __init__(self, rpc_url: str, fuse: Fuse) -> None:
        self.fuse = Fuse(0, after=False)
        super().__init__(rpc_url)
        self.fuse = fuse

    def request(self, method: str, parameters: Any) -> Any:
        return self.fuse.burn(lambda: super(KillableChain, self).request(method, parameters))


class KillableJournal:
    def __init__(self, journal: SqlJournal, fuse: Fuse) -> None:
        self._journal = journal
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._journal, name)
        return lambda *arguments: self._fuse.burn(lambda: method(*arguments))


@pytest.fixture
def engine() -> Engine:
    return create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})


@pytest.fixture
def manual_mining(local_chain: LocalChain) -> Iterator[None]:
    local_chain.chain.request("evm_setAutomine", [False])
    yield
    local_chain.chain.request("evm_setAutomine", [True])
    local_chain.mine()


def make_sender(
    local_chain: LocalChain, engine: Engine, account: int, fuse: Fuse | None = None, **options: Any
) -> Sender:
    chain = local_chain.chain
    signer = UnlockedSigner(chain, chain.unlocked_accounts()[account])
    journal = SqlJournal(engine, f"test {account}", signing_s=0.2)  # so long the next one waits after a kill
    if fuse is None:
        return Sender(chain, signer, journal, poll_s=0.01, **options)
    killable = KillableChain(chain.rpc_url, fuse)
    return Sender(killable, signer, KillableJournal(journal, fuse), poll_s=0.01, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_any_point_repeats_and_loses_nothing(
    local_chain: LocalChain, contracts: ProtocolContracts, engine: Engine, after: bool
) -> None:
    call = contracts.stake.deposit(1)
    owner = local_chain.chain.unlocked_accounts()[6]
    kills = 0
    while True:
        fuse = Fuse(kills + 1, after=after)
        before = contracts.stake.account(owner).total
        key = f"deposit {after} {kills}"
        with suppress(Killed):
            make_sender(local_chain, engine, 6, fuse).send(call, key)
        make_sender(local_chain, engine, 6).send(call, key)
        assert contracts.stake.account(owner).total == before + 1, f"killed at step {kills}"
        if fuse.steps > 0:
            break
        kills += 1
    assert kills > 10


def test_recovery_alone_finishes_what_was_written_down(
    local_chain: LocalChain, contracts: ProtocolContracts, engine: Engine
) -> None:
    owner = local_chain.chain.unlocked_accounts()[6]
    before = contracts.stake.account(owner).total
    for step in range(2, 10):
        with suppress(Killed):
            killed = make_sender(local_chain, engine, 6, Fuse(step, after=True))
            killed.submit(contracts.stake.deposit(1), f"lost {step}")
    recovered = make_sender(local_chain, engine, 6)
    while recovered.recover():
        pass
    assert contracts.stake.account(owner).total == before + 8


def test_the_same_key_is_sent_once(local_chain: LocalChain, contracts: ProtocolContracts) -> None:
    sender = local_chain.sender(7)
    first = sender.send(contracts.stake.deposit(5), "once")
    assert sender.send(contracts.stake.deposit(5), "once") == first


def test_a_waiting_transaction_is_replaced_at_a_higher_fee(
    local_chain: LocalChain, contracts: ProtocolContracts, engine: Engine, manual_mining: None
) -> None:
    sender = make_sender(local_chain, engine, 7, fees=FeePolicy(bump_after_s=0.0))
    before = contracts.stake.account(sender.address).total
    intent = sender.submit(contracts.stake.deposit(3), "slow")
    sender.recover()
    sender.recover()
    attempts = sender.journal.get(intent).attempts
    assert len(attempts) >= 3
    assert all(newer.max_fee_wei * 8 >= older.max_fee_wei * 9 for older, newer in pairwise(attempts))
    local_chain.mine()
    sender.wait(intent)
    assert contracts.stake.account(sender.address).total == before + 3
    with pytest.raises(TransactionTimedOut, match="stays in the journal"):
        sender.send(contracts.stake.deposit(3), "never mined", timeout_s=0.05)
    local_chain.mine()
    sender.send(contracts.stake.deposit(3), "never mined")
    assert contracts.stake.account(sender.address).total == before + 6


def test_a_nonce_used_by_another_program_is_given_up(
    local_chain: LocalChain, contracts: ProtocolContracts, engine: Engine, manual_mining: None
) -> None:
    sender = make_sender(local_chain, engine, 7)
    before = contracts.stake.account(sender.address).total
    intent = sender.submit(contracts.stake.deposit(3), "crossed")
    planned = sender.journal.get(intent)
    local_chain.chain.request("anvil_dropTransaction", ["0x" + planned.attempts[0].hash.hex()])
    foreign = {"from": sender.address, "to": sender.address, "value": "0x1", "nonce": hex(planned.nonce or 0)}
    local_chain.chain.request("eth_sendTransaction", [foreign])
    local_chain.mine()
    sender.recover()
    local_chain.mine()
    assert sender.wait(intent).gas_used > 0
    assert contracts.stake.account(sender.address).total == before + 3


class LaggingChain(Chain):
    """A node that counts a transaction before it shows its receipt."""

    lag = 6

    def receipt(self, transaction_hash: bytes) -> Any:
        found = super().receipt(transaction_hash)
        if found is not None and self.lag > 0:
            self.lag -= 1
            return None
        return found


def test_a_receipt_that_comes_late_is_waited_for(
    local_chain: LocalChain, contracts: ProtocolContracts, engine: Engine
) -> None:
    owner = local_chain.chain.unlocked_accounts()[7]
    before, nonce = contracts.stake.account(owner).total, local_chain.chain.nonce(owner)
    journal = SqlJournal(engine, "lagging")
    lagging = LaggingChain(local_chain.chain.rpc_url)
    sender = Sender(lagging, UnlockedSigner(lagging, owner), journal, poll_s=0.01)
    assert sender.send(contracts.stake.deposit(3), "late receipt").gas_used > 0
    assert contracts.stake.account(owner).total == before + 3
    assert local_chain.chain.nonce(owner) == nonce + 1


def test_the_transaction_behind_a_nonce_is_found(local_chain: LocalChain) -> None:
    sender, chain = local_chain.sender(8, journal="nonces"), local_chain.chain
    first = chain.nonce(sender.address)
    sent = []
    for number in range(3):
        mined = sender.send(Call(sender.address, b"", 1, "to itself"), key=f"nonce {number}")
        sent.append(mined)
        local_chain.mine(number + 2)
    for number, mined in enumerate(sent):
        found = chain.transaction_at_nonce(sender.address, first + number)
        assert found is not None
        assert (found.hash, found.block_number) == (mined.transaction_hash, mined.block_number)
    assert chain.transaction_at_nonce(sender.address, first + 3) is None


def test_a_reorganised_transaction_is_sent_again(
    local_chain: LocalChain, contracts: ProtocolContracts, engine: Engine
) -> None:
    sender = make_sender(local_chain, engine, 7, confirmations=2)
    before = contracts.stake.account(sender.address).total
    snapshot = local_chain.chain.request("evm_snapshot", [])
    intent = sender.submit(contracts.stake.deposit(3), "reorganised")
    for _ in range(100):  # the node takes a moment to mine it
        sender.recover()
        if sender.journal.get(intent).status is IntentStatus.MINED:
            break
        time.sleep(0.05)
    assert sender.journal.get(intent).status is IntentStatus.MINED
    local_chain.chain.request("evm_revert", [snapshot])
    assert contracts.stake.account(sender.address).total == before
    sender.recover()
    assert sender.journal.get(intent).status is IntentStatus.SIGNED
    sender.recover()
    local_chain.mine(2)
    assert sender.wait(intent).gas_used > 0
    assert contracts.stake.account(sender.address).total == before + 3


def test_what_a_deeper_reorganisation_took_back_leaves_no_gap(
    local_chain: LocalChain, contracts: ProtocolContracts, engine: Engine
) -> None:
    """Two confirmed transactions are gone, and the node has forgotten them; a third one waits behind their nonces."""
    fees = FeePolicy(bump_after_s=0.2)
    sender = make_sender(local_chain, engine, 7, confirmations=1, fees=fees)
    chain, before = local_chain.chain, contracts.stake.account(sender.address).total
    first = chain.nonce(sender.address)
    snapshot = chain.request("evm_snapshot", [])
    intents = [sender.submit(contracts.stake.deposit(wei), f"taken back {wei}") for wei in (3, 5)]
    local_chain.mine(2)
    sender.wait_all(intents)
    third = sender.submit(contracts.stake.deposit(7), "behind the gap")
    chain.request("evm_revert", [snapshot])
    chain.request("anvil_dropAllTransactions", [])
    assert chain.nonce(sender.address) == first
    assert [sender.journal.get(number).status for number in intents] == [IntentStatus.CONFIRMED] * 2
    until = time.monotonic() + 20
    while sender.recover() and time.monotonic() < until:
        local_chain.mine(1)
        time.sleep(0.05)
    for intent, wei in zip([*intents, third], (3, 5, 7), strict=True):
        assert sender.journal.get(intent).status is IntentStatus.CONFIRMED, wei
    assert chain.nonce(sender.address) == first + 3
    assert contracts.stake.account(sender.address).total == before + 3 + 5 + 7


def test_a_refusal_is_explained_and_nothing_is_sent(
    local_chain: LocalChain, contracts: ProtocolContracts, engine: Engine
) -> None:
    sender = make_sender(local_chain, engine, 8)
    nonce = local_chain.chain.nonce(sender.address)
    with pytest.raises(ContractError, match="There are no credits to withdraw") as refused:
        sender.send(contracts.stake.withdraw(), "withdraw")
    assert refused.value.name == "NothingToWithdraw"
    with pytest.raises(ContractError) as unknown:
        sender.send(contracts.ledger.finalise_batch(999), "finalise")
    assert (unknown.value.name, unknown.value.arguments) == ("BatchUnknown", {"batchId": 999})
    with pytest.raises(ContractError, match="NothingSent"):
        sender.send(contracts.stake.deposit(0), "deposit")
    assert local_chain.chain.nonce(sender.address) == nonce
    # The same key may be tried again once the reason is gone.
    assert sender.send(contracts.stake.deposit(1), "deposit").gas_used > 0


def test_a_transaction_that_reverts_when_mined_is_explained(
    local_chain: LocalChain, contracts: ProtocolContracts, engine: Engine, manual_mining: None
) -> None:
    sender = make_sender(local_chain, engine, 8)
    stake = sender.submit(contracts.stake.deposit(10**18), "stake")
    exit_ = sender.submit(contracts.stake.request_exit(10**18), "exit")
    # Another program takes the deposit's place, so that the exit no longer fits when it is mined.
    nonce = hex(sender.journal.get(stake).nonce or 0)
    fee = hex(10**12)
    foreign = {"from": sender.address, "to": sender.address, "nonce": nonce, "gasPrice": fee}
    local_chain.chain.request("eth_sendTransaction", [foreign])
    local_chain.mine()
    with pytest.raises(ContractError, match="deposit more") as reverted:
        sender.wait(exit_)
    assert reverted.value.name == "InsufficientStake"
    assert sender.journal.get(exit_).status is IntentStatus.REVERTED


def test_an_account_without_ether_is_named(local_chain: LocalChain, contracts: ProtocolContracts) -> None:
    sender = local_chain.sender(2, journal="poor")
    balance = local_chain.chain.balance_wei(sender.address)
    try:
        local_chain.chain.request("anvil_setBalance", [sender.address, "0x1"])
        with pytest.raises(InsufficientFunds, match="send it some ether"):
            sender.send(contracts.stake.deposit(1), "poor")
    finally:
        local_chain.chain.request("anvil_setBalance", [sender.address, hex(balance)])


def test_a_gap_that_an_endpoint_lied_into_being_is_filled(
    local_chain: LocalChain, contracts: ProtocolContracts, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names a nonce that is three too high: what is signed under it would wait for ever."""
    sender = make_sender(local_chain, engine, 7, fees=FeePolicy(bump_after_s=0.2))
    chain, true_nonce = sender.chain, sender.chain.nonce
    before, first = contracts.stake.account(sender.address).total, true_nonce(sender.address)
    with monkeypatch.context() as lying:
        lying.setattr(chain, "nonce", lambda address, **asked: true_nonce(address, **asked) + 3)
        intent = sender.submit(contracts.stake.deposit(9), "behind the gap")
    assert sender.journal.get(intent).nonce == first + 3
    until = time.monotonic() + 20
    while sender.recover() and time.monotonic() < until:
        local_chain.mine(1)
        time.sleep(0.05)
    assert sender.journal.get(intent).status is IntentStatus.CONFIRMED
    assert true_nonce(sender.address) == first + 4
    assert contracts.stake.account(sender.address).total == before + 9


_DAY_S = 86_400


@contextmanager
def clock_off_by(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Iterator[None]:
    true_time = time.time
    with monkeypatch.context() as wrong:
        wrong.setattr("time.time", lambda: true_time() + seconds)
        yield


def test_what_was_signed_while_the_clock_was_ahead_is_replaced_all_the_same(
    local_chain: LocalChain,
    contracts: ProtocolContracts,
    engine: Engine,
    manual_mining: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sender = make_sender(local_chain, engine, 7, fees=FeePolicy(bump_after_s=0.2))
    with clock_off_by(monkeypatch, _DAY_S):
        intent = sender.submit(contracts.stake.deposit(3), "signed tomorrow")
    until = time.monotonic() + 20
    while len(sender.journal.get(intent).attempts) < 2 and time.monotonic() < until:
        sender.recover()
        time.sleep(0.05)
    assert len(sender.journal.get(intent).attempts) >= 2
    local_chain.mine()
    sender.wait(intent)


def test_a_gap_in_front_of_what_was_signed_while_the_clock_was_ahead_is_filled(
    local_chain: LocalChain, contracts: ProtocolContracts, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = make_sender(local_chain, engine, 7, fees=FeePolicy(bump_after_s=0.2))
    true_nonce = sender.chain.nonce
    with clock_off_by(monkeypatch, _DAY_S), monkeypatch.context() as lying:
        lying.setattr(sender.chain, "nonce", lambda address, **asked: true_nonce(address, **asked) + 1)
        intent = sender.submit(contracts.stake.deposit(9), "behind the gap, tomorrow")
    until = time.monotonic() + 20
    while sender.recover() and time.monotonic() < until:
        local_chain.mine(1)
        time.sleep(0.05)
    assert sender.journal.get(intent).status is IntentStatus.CONFIRMED


@contextmanager
def forgetful(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A node that has forgotten old states, and has not indexed the newest transactions yet."""

    def refuse(*_: Any) -> None:
        raise RpcRefused("eth_getTransactionCount", "missing trie node")

    with monkeypatch.context() as behind:
        behind.setattr(sender.chain, "transaction_at_nonce", refuse)
        behind.setattr(sender.chain, "receipt", lambda _hash: None)
        behind.setattr(sender.chain, "knows", lambda _hash: False)
        yield


def test_a_clock_that_jumps_ahead_repeats_nothing_whose_receipt_is_not_indexed_yet(
    local_chain: LocalChain, contracts: ProtocolContracts, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = make_sender(local_chain, engine, 7)
    before = contracts.stake.account(sender.address).total
    with forgetful(sender, monkeypatch):
        intent = sender.submit(contracts.stake.deposit(3), "indexed late")
        while contracts.stake.account(sender.address).total == before:
            time.sleep(0.01)
        with clock_off_by(monkeypatch, _DAY_S):
            sender.recover()
            sender.recover()
            make_sender(local_chain, engine, 7).recover()  # nor after a start
    sender.wait(intent)
    assert contracts.stake.account(sender.address).total == before + 3


def test_a_nonce_taken_long_ago_by_another_program_is_given_up_though_its_states_are_forgotten(
    local_chain: LocalChain,
    contracts: ProtocolContracts,
    engine: Engine,
    manual_mining: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sender = make_sender(local_chain, engine, 7)
    before, passed_s = contracts.stake.account(sender.address).total, 0.0
    monkeypatch.setattr(
        "contracts.bindings.elapsed.time",
        SimpleNamespace(time=time.time, monotonic=lambda: time.monotonic() + passed_s),
    )
    intent = sender.submit(contracts.stake.deposit(3), "crossed long ago")
    planned = sender.journal.get(intent)
    local_chain.chain.request("anvil_dropTransaction", ["0x" + planned.attempts[0].hash.hex()])
    foreign = {"from": sender.address, "to": sender.address, "value": "0x1", "nonce": hex(planned.nonce or 0)}
    local_chain.chain.request("eth_sendTransaction", [foreign])
    local_chain.mine()
    with forgetful(sender, monkeypatch):
        sender.recover()
        assert sender.journal.get(intent).nonce == planned.nonce, "its receipt may show up yet"
        passed_s = 601.0
        sender.recover()
    assert sender.journal.get(intent).nonce != planned.nonce
    local_chain.mine()
    sender.wait(intent)
    assert contracts.stake.account(sender.address).total == before + 3


def test_a_clock_that_jumps_ahead_repeats_no_command_that_nobody_was_told_of(
    local_chain: LocalChain, contracts: ProtocolContracts, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, call = make_sender(local_chain, engine, 7), contracts.stake.deposit(1)
    before = contracts.stake.account(sender.address).total

    def killed(_lease: Any) -> None:
        raise Killed

    def interrupted() -> None:
        with monkeypatch.context() as dying, suppress(Killed):
            dying.setattr(sender.journal, "told", killed)
            sender.send_by_hand(call, "deposit 1")

    interrupted()
    with clock_off_by(monkeypatch, _DAY_S):
        _, carried_on = sender.send_by_hand(call, "deposit 1")
    assert carried_on and contracts.stake.account(sender.address).total == before + 1
    interrupted()
    local_chain.pass_time(3601)
    _, carried_on = sender.send_by_hand(call, "deposit 1")
    assert not carried_on and contracts.stake.account(sender.address).total == before + 3
