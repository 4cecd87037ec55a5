"""Several processes, one account, one journal, a chain 200 ms away: every command has one effect, and only one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from contracts.bindings.chain import Chain
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import AlreadyRunning, ContractError, LeaseLost, Overtaken
from contracts.bindings.fees import FeePolicy
from contracts.bindings.journal import Attempt, IntentStatus, SqlJournal
from contracts.bindings.journal_engine import open_journal_engine
from contracts.bindings.keys import UnlockedSigner
from contracts.bindings.lease import running_alone
from contracts.bindings.results import Mined
from contracts.bindings.sender import Sender, open_sender
from tests.contracts.local_chain import LocalChain
from tests.contracts.rpc_proxy import RpcProxy, rpc_proxy
from tests.databases import new_database, postgres_url

__all__ = ["postgres_url"]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return new_database(request, tmp_path)


ACCOUNT = 9


@pytest.fixture
def far_chain(local_chain: LocalChain) -> Iterator[RpcProxy]:
    with rpc_proxy(local_chain.chain.rpc_url, latency_s=0.2) as proxy:
        yield proxy


class Processes:
    """Real processes on one journal."""

    def __init__(self, url: str, proxy: RpcProxy, contracts: ProtocolContracts) -> None:
        self._arguments = [url, proxy.url, contracts.stake.address, str(ACCOUNT)]
        self.running: list[subprocess.Popen[str]] = []

    def start(self, mode: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.contracts.sending_process", *self._arguments, mode],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.running.append(process)
        return process

    def kill(self) -> None:
        for process in self.running:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()


@pytest.fixture
def processes(url: str, far_chain: RpcProxy, contracts: ProtocolContracts) -> Iterator[Processes]:
    started = Processes(url, far_chain, contracts)
    yield started
    started.kill()


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    return out


def total(local_chain: LocalChain, contracts: ProtocolContracts) -> int:
    return contracts.stake.account(local_chain.chain.unlocked_accounts()[ACCOUNT]).total


@pytest.mark.long
def test_commands_beside_running_programs_are_exactly_once(
    local_chain: LocalChain, contracts: ProtocolContracts, processes: Processes
) -> None:
    before = total(local_chain, contracts)
    processes.start("recover")
    commands = [processes.start("hand:3") for _ in range(2)]
    commands += [processes.start("key:first,second,third") for _ in range(2)]
    for command in commands:
        assert "carried on" not in finish(command)
    # Three deposits of each hand; the two that share three keys make three together.
    assert total(local_chain, contracts) == before + 2 * 3 + 3


@pytest.mark.long
def test_kills_at_random_moments_repeat_and_lose_nothing(
    local_chain: LocalChain, contracts: ProtocolContracts, processes: Processes, url: str
) -> None:
    before, draw = total(local_chain, contracts), random.Random(url.split(":")[0])
    running = processes.start("recover")
    for _ in range(5):
        command = processes.start("hand:1")
        assert command.stdout is not None and command.stdout.readline() == "ready\n"
        time.sleep(draw.uniform(0, 1.5))
        victims = draw.choice(([command], [running], [command, running]))
        for victim in victims:
            os.kill(victim.pid, signal.SIGKILL)
            victim.wait()
        if running in victims:
            running = processes.start("recover")
        if command not in victims:
            finish(command)
    # Whoever was interrupted repeats the command once: that carries on what is there, or makes it.
    wanted = before + 5
    owner = open_sender(
        local_chain.chain,
        UnlockedSigner(local_chain.chain, local_chain.chain.unlocked_accounts()[ACCOUNT]),
        url,
    )
    while owner.recover():
        time.sleep(0.1)
    planned = [row for row in _intents(owner) if row.startswith("deposit 1 by hand")]
    assert total(local_chain, contracts) == before + len(planned) <= wanted


def _intents(sender: Sender) -> list[str]:
    from sqlmodel import Session, select

    from contracts.bindings.journal import TransactionIntent

    with Session(sender.journal._engine) as session:  # type: ignore[attr-defined]
        return list(session.exec(select(TransactionIntent.key)).all())


@pytest.mark.long
def test_an_interrupted_command_is_carried_on_by_its_repetition(
    local_chain: LocalChain, contracts: ProtocolContracts, processes: Processes
) -> None:
    before = total(local_chain, contracts)
    command = processes.start("hand:1")
    assert command.stdout is not None and command.stdout.readline() == "ready\n"
    while total(local_chain, contracts) == before:  # sent, but nobody was told yet
        time.sleep(0.01)
    command.kill()
    command.wait()
    assert finish(processes.start("hand:2")).split("\n")[1:3] == ["carried on", "sent"]
    assert total(local_chain, contracts) == before + 2


def make(
    local_chain: LocalChain,
    url: str,
    account: int = ACCOUNT,
    signing_s: float = 15.0,
    fees: FeePolicy | None = None,
) -> Sender:
    chain = Chain(local_chain.chain.rpc_url)
    journal = SqlJournal(open_journal_engine(url), f"shared {account}", signing_s=signing_s)
    signer = UnlockedSigner(chain, chain.unlocked_accounts()[account])
    return Sender(chain, signer, journal, poll_s=0.01, fees=fees)


def test_a_holder_that_slept_can_neither_sign_nor_roll_back(
    local_chain: LocalChain, contracts: ProtocolContracts, url: str
) -> None:
    late, quick = make(local_chain, url), make(local_chain, url, signing_s=0.05)
    late.journal.plan("once", contracts.stake.deposit(1))
    before = total(local_chain, contracts)
    slept, seen = late.journal.take_signing_lease(), late.journal.find("once")
    assert seen is not None
    sent = quick.send(contracts.stake.deposit(1), "once")  # takes the lease over
    with pytest.raises(LeaseLost, match="took over 'sign'"):
        late.journal.release_nonce(seen, slept)
    with pytest.raises(LeaseLost):
        late.journal.add_attempt(seen, 0, Attempt(bytes(32), b"", 1, 1, 0.0), slept)
    with pytest.raises(Overtaken, match="carried on"):
        late.journal.finish(seen, IntentStatus.REFUSED)
    assert late.send(contracts.stake.deposit(1), "once") == sent
    assert total(local_chain, contracts) == before + 1


def test_a_second_program_of_the_account_is_refused_and_a_dead_one_replaced(
    local_chain: LocalChain, url: str
) -> None:
    first, second = make(local_chain, url), make(local_chain, url)
    started = time.monotonic()
    with running_alone(first.journal.leases, "provider", first.address, duration_s=1.0):
        with (
            pytest.raises(AlreadyRunning, match="another `gainsay provider run` works for 0x"),
            running_alone(second.journal.leases, "provider", second.address, duration_s=1.0),
        ):
            pass
        with running_alone(second.journal.leases, "challenger", second.address, duration_s=1.0):
            pass  # another program of the same account may run
    assert time.monotonic() - started < 10
    with running_alone(second.journal.leases, "provider", second.address, duration_s=1.0):
        pass  # it ended, so this one starts at once
    assert first.journal.leases.take("running provider", duration_s=1.0) is not None  # ... and dies
    with running_alone(second.journal.leases, "provider", second.address, duration_s=1.0):
        pass


@pytest.mark.long
def test_many_moves_go_out_together_and_one_refusal_stops_no_other(
    local_chain: LocalChain, contracts: ProtocolContracts, url: str, far_chain: RpcProxy
) -> None:
    chain = Chain(far_chain.url)
    chain.error_decoder = local_chain.chain.error_decoder
    engine = open_journal_engine(url)
    owner = chain.unlocked_accounts()[ACCOUNT]
    sender = Sender(chain, UnlockedSigner(chain, owner), SqlJournal(engine, "many"))
    before = total(local_chain, contracts)
    moves = [(contracts.stake.deposit(1), f"move {number}") for number in range(24)]
    moves[7] = (contracts.ledger.finalise_batch(999), "refused")
    local_chain.chain.request("evm_setAutomine", [False])
    try:
        outcomes = sender.submit_all(moves)
        nonces = [sender.journal.get(o).nonce for o in outcomes if isinstance(o, int)]
        assert nonces == list(range(chain.nonce(owner), chain.nonce(owner) + 23))
        far_chain.requests.clear()
        timer = threading.Timer(1.0, local_chain.mine)
        timer.start()
        mined = sender.wait_all([o for o in outcomes if isinstance(o, int)])
    finally:
        local_chain.chain.request("evm_setAutomine", [True])
    assert isinstance(outcomes[7], ContractError) and outcomes[7].name == "BatchUnknown"
    assert len(mined) == 23 and all(isinstance(outcome, Mined) for outcome in mined)
    assert total(local_chain, contracts) == before + 23
    # While all wait for the same block, one question is asked for all of them.
    assert far_chain.methods().count("eth_getTransactionCount") < 20


def test_threads_that_wait_do_not_hold_up_a_thread_that_sends(
    local_chain: LocalChain, contracts: ProtocolContracts, url: str
) -> None:
    sender = make(local_chain, url, account=8)
    local_chain.chain.request("evm_setAutomine", [False])
    try:
        stuck = [sender.submit(contracts.stake.deposit(1), f"stuck {number}") for number in range(4)]
        waiting = [threading.Thread(target=sender.wait, args=(number,)) for number in stuck]
        for thread in waiting:
            thread.start()
        started = time.monotonic()
        last = sender.submit(contracts.stake.deposit(1), "quick")
        assert time.monotonic() - started < 2
    finally:
        local_chain.chain.request("evm_setAutomine", [True])
    local_chain.mine()
    sender.wait(last)
    for thread in waiting:
        thread.join(20)
        assert not thread.is_alive()


def test_a_low_nonce_of_another_process_is_bumped_by_whoever_waits_behind_it(
    local_chain: LocalChain, contracts: ProtocolContracts, url: str
) -> None:
    dead, alive = (
        make(local_chain, url, account=8, fees=FeePolicy(bump_after_s=seconds)) for seconds in (999, 0.2)
    )
    local_chain.chain.request("evm_setAutomine", [False])
    try:
        low = dead.submit(contracts.stake.deposit(1), "low")
        dropped = dead.journal.get(low).attempts[0].hash
        local_chain.chain.request("anvil_dropTransaction", ["0x" + dropped.hex()])
        high = alive.submit(contracts.stake.deposit(1), "high")
        timer = threading.Timer(2.0, lambda: local_chain.chain.request("evm_setAutomine", [True]))
        timer.start()
        timer2 = threading.Timer(2.2, local_chain.mine)
        timer2.start()
        assert alive.wait(high, timeout_s=30).gas_used > 0
    finally:
        local_chain.chain.request("evm_setAutomine", [True])
    assert len(alive.journal.get(low).attempts) > 1
