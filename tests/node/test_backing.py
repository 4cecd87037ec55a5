"""No started provider promises more answers than its stake backs, and what shrinks the stake meanwhile is told in time."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contracts.bindings.deployment import Deployment, ProtocolContracts
from node.backing import Backing, StakeView
from node.errors import NotReadyError
from node.serving import CommittedServing
from node.store import Journal
from tests.contracts.local_chain import LocalChain

from .test_provider_command import Command

_LOCKS = 30


@pytest.mark.long
def test_attack_eight_clients_get_no_more_answers_than_the_stake_backs(
    tmp_path: Path, local_chain: LocalChain, deployment: Deployment, contracts: ProtocolContracts,
    serving: CommittedServing,
) -> None:  # fmt: skip
    command = Command(tmp_path, local_chain, deployment, account=6)
    receipts: list[str] = []
    refusals: set[tuple[int, str]] = set()

    def ask_until(end: float) -> None:
        while time.monotonic() < end:
            answer = command.post("flood")
            if answer.status_code == 200:
                receipts.append(answer.headers["x-gainsay-receipt"])
            else:
                refusals.add((answer.status_code, answer.json()["error"]["code"]))
                time.sleep(0.05)

    with command.serving(deposit=str(_LOCKS + 2)):  # the bond stays free
        with ThreadPoolExecutor(8) as clients:
            list(clients.map(ask_until, [time.monotonic() + 10] * 8))
        assert len(receipts) == _LOCKS and refusals == {(503, "not_ready")}
        states = {command.receipt(receipt)["batch_state"] for receipt in receipts}
        command.wait_until(lambda: command.figure("gainsay_responses_unposted") == 0, 30)
        states = {command.receipt(receipt)["batch_state"] for receipt in receipts}
        assert states == {"posted"}
        assert command.figure("gainsay_answers_reserved") == 0
    account = contracts.stake.account(local_chain.chain.unlocked_accounts()[6])
    parameters = contracts.stake.parameters()
    assert account.locked == _LOCKS * parameters.lock_per_response == account.total - parameters.provider_bond


@pytest.mark.long
def test_stake_that_leaves_between_promise_and_post_is_told_to_the_wei(
    tmp_path: Path, local_chain: LocalChain, deployment: Deployment, contracts: ProtocolContracts,
    serving: CommittedServing,
) -> None:  # fmt: skip
    command = Command(tmp_path, local_chain, deployment, account=7)
    owner = local_chain.sender(7, journal="owner")
    with command.serving("--batch-interval", "8", deposit="7") as process:
        receipts = [command.ask(text) for text in ("one", "two", "three")]
        owner.send(contracts.stake.request_exit(4 * 10**18 - 7), "leave")
        command.wait_until(lambda: "1.999999999999999993" in (command.unready() or ""), 10)
        assert "gainsay provider deposit 1.999999999999999993` by" in (command.unready() or "")
        assert command.post("more").status_code == 503
        assert 0 < command.figure("gainsay_posting_seconds_left") <= 60
        time.sleep(8)  # the batch is due, cannot be posted, and ends nobody
        assert process.poll() is None and command.figure("gainsay_responses_unposted") == 3
        assert command.log().count("Traceback") == 0
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    with command.serving("--batch-interval", "8", deposit="0"):  # starts although nothing is free
        assert "deposit" in (command.unready() or "")
        owner.send(contracts.stake.deposit(2 * 10**18 - 7), "top up")
        command.wait_until(lambda: command.figure("gainsay_responses_unposted") == 0, 20)
        assert {command.receipt(receipt)["batch_state"] for receipt in receipts} == {"posted"}
        command.wait_until(lambda: "until earlier answers are final" in (command.unready() or ""), 10)


def test_an_exit_never_takes_what_unposted_answers_need(
    tmp_path: Path, local_chain: LocalChain, deployment: Deployment, contracts: ProtocolContracts,
    serving: CommittedServing,
) -> None:  # fmt: skip
    command = Command(tmp_path, local_chain, deployment, account=9)
    with command.serving("--batch-interval", "30", deposit="5"):
        command.ask("one")
        command.ask("two")
        owner = local_chain.chain.unlocked_accounts()[9]
        before = contracts.stake.account(owner).exiting
        most = contracts.stake.free_stake(owner) // 10**18 - 2  # other tests' stake included
        refused = command.run("provider", "exit", str(most + 1))
        assert refused.returncode == 2 and f"at most {most} ETH" in refused.stderr
        assert command.run("provider", "exit").returncode == 0
    assert contracts.stake.account(owner).exiting - before == most * 10**18


def test_a_reservation_is_counted_until_the_journal_counts_it(journal: Journal) -> None:
    now = [0.0]
    backing = Backing(
        journal, 10, lambda: (StakeView(49, frozenset()), StakeView(35, frozenset())), lambda: now[0]
    )
    assert backing.available() == 3
    taken: list[object] = []

    def reserve() -> None:
        with contextlib.suppress(NotReadyError):
            taken.append(backing.reserve())

    threads = [threading.Thread(target=reserve) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 3 and backing.available() == 0
    first, second, third = taken
    first.give_up()  # type: ignore[attr-defined]
    first.give_up()  # type: ignore[attr-defined]
    assert backing.available() == 1
    second.begin_placing()  # type: ignore[attr-defined]
    second.give_up()  # type: ignore[attr-defined]
    assert backing.available() == 1
    third.generated()  # type: ignore[attr-defined]
    now[0] = 31.0  # its caller does not read
    assert backing.reserve() and backing.reserve()
    assert backing.available() == 0
