"""A provider whose owner, operator and receipt key are three accounts; what happens when one of them is replaced."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import threading
import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from contracts.bindings.deployment import Deployment, ProtocolContracts
from contracts.bindings.openings import open_game
from contracts.bindings.receipt_body import parse_receipt
from contracts.bindings.receipts import receipt_signer, sign_receipt
from contracts.protocol.game import Outcome, Phase
from contracts.protocol.response import Receipt
from node.errors import KeyNotNamedError, ReceiptNotValidError
from node.provider import Provider
from node.receipt_check import check_receipt
from node.receipts import fields_of
from node.records import batch_tree
from node.serving import CommittedServing
from node.store import BatchState
from prover.errors import BadInputError
from tests.contracts.local_chain import LocalChain

from .chain import CHALLENGER, ProviderHouse
from .test_provider_command import Command

OWNER, OPERATOR, RECEIPT_KEY, NEXT_OPERATOR = 4, 3, 7, 8


@pytest.fixture
def command(tmp_path: Path, local_chain: LocalChain, deployment: Deployment) -> Command:
    """The operator's commands."""
    return Command(tmp_path, local_chain, deployment, account=OPERATOR)


def as_account(command: Command, address: str, *arguments: str) -> dict[str, object]:
    """A command of another account; its JSON."""
    mine, command.chain_arguments = command.chain_arguments, [*command.chain_arguments[:-1], address]
    try:
        done = command.run("provider", *arguments, "--json")
    finally:
        command.chain_arguments = mine
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def run_check(command: Command, file: Path, provider: str) -> subprocess.CompletedProcess[str]:
    return command.run("receipt", "check", str(file), "--provider", provider, "--json", without_account=True)


@pytest.mark.long
def test_three_keys_answer_post_and_defend_and_a_replaced_operator_stops(
    command: Command, tmp_path: Path, local_chain: LocalChain, contracts: ProtocolContracts,
    serving: CommittedServing,
) -> None:  # fmt: skip
    command.settings["GAINSAY_LOG_FORMAT"] = "json"
    accounts = local_chain.chain.unlocked_accounts()
    owner, operator, key = accounts[OWNER], accounts[OPERATOR], accounts[RECEIPT_KEY]
    flags = ("--provider", owner, "--receipt-account", key)
    start = ("provider", "run", "--model", "tiny", "--port", str(command.port), *flags)
    before = [contracts.stake.account(address) for address in (operator, key)]
    as_account(command, owner, "deposit", "20")
    unnamed = command.run(*start)
    assert unnamed.returncode == 5 and f"gainsay provider set-operator {operator}" in unnamed.stderr
    as_account(command, owner, "set-operator", operator)
    unregistered = command.run(*start)
    assert unregistered.returncode == 5 and f"gainsay provider add-signer {key}" in unregistered.stderr
    foreign = command.run(*start, "--deposit-ether", "1")
    assert foreign.returncode == 2 and "is not the owner" in foreign.stderr
    named = as_account(command, owner, "status")
    assert (named["operator"], named["signers"]) == (operator, [])
    shown = as_account(command, owner, "add-signer", key, "--allowance", "5")
    assert (shown["operator"], shown["paused"]) == (operator, False)
    assert shown["bond_wei"] == shown["bond_needed_wei"] == str(2 * 10**18)
    assert [entry["left_wei"] for entry in shown["signers"]] == [str(5 * 10**18)]  # type: ignore[attr-defined]

    with command.serving(*flags, "--batch-interval", "8", deposit="0") as process:
        receipt_id = command.ask("three keys")
        command.wait_until(lambda: command.receipt(receipt_id)["batch_state"] == "posted", 20)
        receipt = command.receipt(receipt_id)
        assert receipt["receipt"]["provider"] == owner and receipt["receipt"]["signer"] == key  # type: ignore[index]
        number = int(str(receipt["batch_id"]))
        assert contracts.ledger.batch(number).provider == owner
        assert contracts.stake.account(owner).locked == contracts.stake.parameters().lock_per_response
        assert [contracts.stake.account(address) for address in (operator, key)] == before

        file = tmp_path / "receipt.json"
        file.write_text(json.dumps(receipt))
        checked = run_check(command, file, owner)
        facts = json.loads(checked.stdout)
        assert (facts["signer"], facts["batch_id"], facts["signed_by_key"]) == (key, number, True)
        assert facts["backing_wei"] == str(5 * 10**18)
        assert run_check(command, file, operator).returncode == 6

        signed, _ = parse_receipt(receipt)
        challenger = local_chain.sender(CHALLENGER, journal="three keys")
        path = [bytes.fromhex(node[2:]) for node in receipt["path"]]  # type: ignore[attr-defined]
        open_game(
            contracts, challenger, number, signed.index, signed.fields, path, secret=bytes(32), key="open",
        )  # fmt: skip
        game_id = contracts.game.game_count()
        command.wait_until(lambda: contracts.game.game(game_id).phase is Phase.AWAIT_CHALLENGE, 20)
        challenger.send(contracts.game.concede(game_id, contracts.game.game(game_id).about), "concede")

        promised = command.ask("replaced meanwhile")
        as_account(command, owner, "set-operator", accounts[NEXT_OPERATOR])
        command.wait_until(lambda: "neither the owner nor the operator" in (command.unready() or ""), 10)
        assert command.post("refused").status_code == 503 and process.poll() is None
        time.sleep(9)
        assert command.receipt(promised)["batch_state"] == "open"  # due, and not even sealed
        as_account(command, owner, "set-operator", operator)
        command.wait_until(lambda: command.receipt(promised)["batch_state"] == "posted", 20)
        command.wait_until(lambda: command.unready() is None, 15)

        as_account(command, owner, "retire-signer", key)
        command.wait_until(lambda: f"receipt key {key} is retired" in (command.unready() or ""), 10)
        assert command.post("refused").status_code == 503
    lines = [json.loads(line) for line in command.log().splitlines() if line.startswith("{")]
    said = [(line["level"], line["event"]) for line in lines]
    for event in ("batch posted", "move", "game over"):
        assert ("info", event) in said, said
    assert {"three keys", "replaced meanwhile"}.isdisjoint(
        re.findall(r"three keys|replaced meanwhile", command.log())
    )
    assert len(lines) < 60 and all("timestamp" in line for line in lines)
    text = command.run("provider", "status", "--provider", owner, without_account=True)
    assert text.returncode == 0 and f"{key}, retired" in text.stdout, text.stderr
    assert command.run("provider", "resume", "--json").returncode != 0  # nothing is paused


def test_a_lost_response_pauses_and_resume_brings_it_back(house: ProviderHouse) -> None:
    contracts, stake = house.contracts, house.contracts.stake
    provider = house.start()
    provider.desk.issue([65, 66], [1, 2, 3], 3, "length")
    house.pass_time(6)
    provider.follower.step()
    provider.committer.step()
    batch = provider.journal.batches()[-1]
    assert batch.chain_batch_id is not None and batch.id is not None
    rows = provider.journal.responses_of(batch.id)
    challenger = house.other(CHALLENGER)
    open_game(
        contracts, challenger, batch.chain_batch_id, 0, fields_of(rows[0]), batch_tree(rows).path(0),
        secret=bytes(32), key=f"open {rows[0].leaf}",
    )  # fmt: skip
    game_id = contracts.game.game_count()
    provider.outbox.send(
        contracts.game.concede(game_id, contracts.game.game(game_id).about), f"concede {game_id}"
    )
    assert contracts.game.game(game_id).outcome is Outcome.CHALLENGER_WON
    house.pass_time(1)
    late = provider.desk.issue([65, 66], [67], 1, "length")  # it was being answered meanwhile
    provider.follower.step()
    bond, reason = stake.parameters().provider_bond, provider.readiness()
    assert reason is not None and reason.startswith(
        "paused: a response was lost; run `gainsay provider resume` by "
    )
    house.pass_time(6)
    provider.follower.step()
    provider.committer.post_due()
    waiting = provider.journal.batches()[-1]
    assert waiting.state == BatchState.SEALED and "ProviderPaused" in (waiting.failure or "")

    # What is left is taken out: now the bond and the lock of what waits are missing, to the wei.
    account = stake.account(provider.address)
    kept = account.locked + bond if account.locked else 0
    provider.outbox.send(stake.request_exit(account.total - kept), f"leave {batch.salt}")
    provider.follower.step()
    needed = bond + stake.parameters().lock_per_response - stake.backing(provider.address)
    assert f"deposit {needed // 10**18} ETH and run `gainsay provider resume`" in (provider.readiness() or "")
    provider.outbox.send(stake.deposit(needed), f"again {batch.salt}")
    provider.outbox.send(stake.resume(), f"resume {batch.salt}")
    provider.follower.step()
    assert "used up" in (provider.readiness() or "") or "answers must be" in (provider.readiness() or "")
    provider.committer.post_due()
    row = provider.journal.find_response(late.receipt_id)
    assert row is not None
    posted = provider.journal.batch(row.batch_id)
    assert posted is not None and posted.state == BatchState.POSTED
    provider.outbox.send(stake.cancel_exit(), f"stay {batch.salt}")


def test_an_owners_own_node_registers_the_allowance_that_it_is_told(house: ProviderHouse) -> None:
    stake = house.contracts.stake
    first = house.start()
    before = stake.receipt_signer(first.address, first.address)
    settings = house.settings.model_copy(update={"receipt_allowance": before.allowance + 3})
    access = first._access
    Provider(settings, access, house.serving, house.signer).prepare()
    assert stake.receipt_signer(first.address, first.address).allowance == before.allowance + 3
    house.start()  # a smaller or no allowance changes nothing
    assert stake.receipt_signer(first.address, first.address).allowance == before.allowance + 3


def test_attack_a_node_serves_for_nobody_who_did_not_name_it(house: ProviderHouse, tmp_path: Path) -> None:
    """Its receipts and batches would be in another's name."""
    first = house.start()
    stranger = house.local.chain.unlocked_accounts()[NEXT_OPERATOR]
    settings = house.settings.model_copy(update={"provider": stranger})
    with pytest.raises(KeyNotNamedError, match="neither the owner nor the operator"):
        other = dataclasses.replace(
            house, settings=settings.model_copy(update={"database_url": f"sqlite:///{tmp_path}/other.sqlite"})
        )
        other.start()
    assert first.address != stranger


def test_a_replaced_receipt_key_leaves_what_the_old_one_signed(house: ProviderHouse) -> None:
    from contracts.bindings.keys import UnlockedSigner

    first = house.start()
    old = first.desk.issue([65, 66], [67], 1, "length")
    address = house.local.chain.unlocked_accounts()[RECEIPT_KEY]
    key = UnlockedSigner(house.local.chain, address)
    second = Provider(house.settings, first._access, house.serving, house.signer, key)
    second.prepare()
    new = second.desk.issue([65, 66], [67], 1, "length")
    for issued, signer in ((old, first.address), (new, address)):
        row = second.journal.find_response(issued.receipt_id)
        assert row is not None and row.signature is not None
        batch = second.journal.batch(row.batch_id)
        assert batch is not None
        receipt, signature = second.desk.receipt(batch, row), bytes.fromhex(row.signature[2:])
        receipts = house.contracts.receipts
        chain_id = house.contracts.chain.chain_id
        assert receipt.signer == signer == receipt_signer(receipt, signature, chain_id, receipts.address)
        assert "0x" + receipts.checked_receipt_id(receipt, signature).hex() == issued.receipt_id


def test_attack_a_receipt_that_counts_for_nothing_is_told_to_the_client(house: ProviderHouse) -> None:
    """Another signature, a key that nobody registered, a date ahead of now, dates that promise too late."""
    provider = house.start()
    issued = provider.desk.issue([65, 66], [67], 1, "length")
    house.local.mine()  # the node's clock runs on behind the last block
    body = TestClient(provider.app).get(f"/v1/receipts/{issued.receipt_id}").json()
    receipt, signature = parse_receipt(body)
    contracts, chain_id = house.contracts, house.contracts.chain.chain_id
    facts = check_receipt(contracts, receipt, signature, provider.address)
    assert facts["receipt_id"] == issued.receipt_id and facts["batch_id"] is None and facts["signed_by_key"]

    def signed(**changes: object) -> tuple[Receipt, bytes]:
        changed = dataclasses.replace(receipt, **changes)  # type: ignore[arg-type]
        return changed, sign_receipt(house.signer, changed, chain_id, contracts.receipts.address)

    stranger = house.local.chain.unlocked_accounts()[NEXT_OPERATOR]
    ahead, window = receipt.issued_at + 1000, contracts.stake.parameters().posting_window
    for (changed, by), why in (
        ((dataclasses.replace(receipt, output_hash=bytes(32)), signature), "InvalidReceiptSignature"),
        (signed(signer=stranger), "InvalidReceiptSignature"),
        (signed(provider=stranger), "SignerNotValid"),
        (signed(issued_at=1), "SignerNotValid"),
        (signed(posting_deadline=receipt.issued_at + window + 1), "InvalidReceiptDates"),
        (signed(issued_at=ahead, posting_deadline=ahead + window), "ahead of now"),
    ):
        with pytest.raises(ReceiptNotValidError, match=why):
            check_receipt(contracts, changed, by)
    soon = max(int(time.time()), contracts.chain.head().timestamp) + 3
    near = signed(issued_at=soon, posting_deadline=soon + window)
    passing = threading.Timer(
        0.5, house.local.pass_time, [3]
    )  # clocks differ by seconds: it is waited for, then the chain is asked
    passing.start()
    assert check_receipt(contracts, *near)["issued_at"] == soon
    passing.join()
    assert contracts.chain.head().timestamp >= soon
    with pytest.raises(ReceiptNotValidError, match="not of 0x"):
        check_receipt(contracts, receipt, signature, stranger)
    for spoilt in (
        {},
        [],
        {"receipt": body["receipt"], "signature": "0x1"},
        body | {"receipt": {"index": -1}},
    ):
        with pytest.raises(BadInputError, match="no receipt"):
            parse_receipt(spoilt)
