"""A right answer: committed, re-executed by a challenger, found valid, final after its window, and paid."""

from __future__ import annotations

from contracts.bindings.inference_ledger import ResponseStatus
from contracts.bindings.keys import UnlockedSigner
from contracts.bindings.payments import Voucher, sign_voucher
from contracts.protocol.response import ETHER_TOKEN, Receipt

from .hosted_provider import parse_receipt
from .result import ScenarioResult
from .stage import Posted, Stage

PROMPT = "What is the capital of France?"
MAX_TOKENS = 20


def honest(stage: Stage) -> ScenarioResult:
    """Must end `final`, with the fee moved from client to provider."""
    house = stage.honest_provider()
    book = stage.open_book(provider="provider", client="client", challenger="challenger")
    answered = house.ask(PROMPT, MAX_TOKENS)
    stage.tell(f"asked {PROMPT!r}, got {answered.text!r}")
    receipt, _ = parse_receipt(house.receipt(answered.receipt_id))
    _pay(stage, receipt)
    posted = stage.post(house, answered)
    verdict = stage.await_verdict(posted)
    stage.pass_time(stage.contracts.stake.parameters().challenge_window + 1)
    stage.play(lambda: _is_settled(stage, posted))
    _collect(stage, receipt)
    status = stage.contracts.ledger.response_status(posted.batch_id, posted.index)
    changes = book.close()
    stage.tell("its challenge window is over: final, and the fee, redeemed from a voucher, is the provider's")
    paid = changes["provider"] == receipt.fee_wei == -changes["client"]
    problem = "" if verdict == "valid" else "the challenger found it invalid"
    return ScenarioResult(
        name="honest",
        prompt=answered.prompt,
        answer=answered.text,
        outcome=status.name.lower(),
        bond_changes_wei=changes,
        reason="not disputed",
        problem=problem if paid else f"the fee of {receipt.fee_wei} wei was not paid",
    )


def _is_settled(stage: Stage, posted: Posted) -> bool:
    """Its window is over, and the batch finalised."""
    ledger = stage.contracts.ledger
    status = ledger.response_status(posted.batch_id, posted.index)
    return status is not ResponseStatus.PENDING and ledger.batch(posted.batch_id).finalised


def _pay(stage: Stage, receipt: Receipt) -> None:
    """The client deposits what it owes and signs a voucher for it, which anybody may redeem."""
    payments, client = stage.contracts.payments, stage.devnet.accounts["client"]
    sender = stage.sender("client")
    sender.send(payments.deposit(receipt.provider, ETHER_TOKEN, receipt.fee_wei), key="deposit")
    due = payments.channel(client, receipt.provider).redeemed + receipt.fee_wei
    voucher = Voucher(client, receipt.provider, ETHER_TOKEN, due)
    signer = UnlockedSigner(stage.chain, client)
    signature = sign_voucher(signer, voucher, stage.chain.chain_id, payments.address)
    sender.send(payments.redeem([(voucher, signature)]), key="redeem")


def _collect(stage: Stage, receipt: Receipt) -> None:
    """After the hold the fee is the provider's."""
    payments, sender = stage.contracts.payments, stage.sender("provider")
    stage.pass_time(2 * payments.hold_period())
    sender.send(
        payments.release(receipt.provider, ETHER_TOKEN, [stage.devnet.accounts["client"]]), key="release"
    )
    sender.send(payments.withdraw(ETHER_TOKEN, receipt.provider), key="collect")
