"""A right answer: committed, re-executed by a challenger, found valid, final after its window, and paid."""

from __future__ import annotations

from contracts.bindings.inference_ledger import ResponseStatus

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
    receipt, signature = parse_receipt(house.receipt(answered.receipt_id))
    stage.sender("client").send(stage.contracts.ledger.pay_fee(receipt, signature), key="fee")
    posted = stage.post(house, answered)
    verdict = stage.await_verdict(posted)
    stage.pass_time(stage.contracts.stake.parameters().challenge_window + 1)
    stage.play(lambda: _is_settled(stage, posted))
    status = stage.contracts.ledger.response_status(posted.batch_id, posted.index)
    changes = book.close()
    stage.tell("its challenge window is over: final, and the fee is paid")
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
    """Final, and its fee claimed."""
    ledger = stage.contracts.ledger
    status = ledger.response_status(posted.batch_id, posted.index)
    return status is not ResponseStatus.PENDING and ledger.fee_escrow(posted.leaf).amount == 0
