"""What became of a receipt, by the chain alone, and what can be claimed with it.

    waiting     no batch holds it yet, and its posting deadline is ahead
    overdue     no batch can hold it, and the deadline is over: claim it
    unproven    a batch of its salt is on chain, but no path shows that the answer is in it
    pending     in a batch, can still be disputed
    disputed    a game about it runs, or somebody asked for it
    final       nobody disputed it in time, or every dispute was lost
    void        it was proven wrong, or not shown, or an audit failed
    replaced    a batch of its salt is on chain that cannot hold it, of another model or too small: claim it

All is read at one block, whose hash is looked at again at the end; a reorganisation between two calls shows as another state
under another block, never as a mixture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from contracts.bindings.chain import Block
from contracts.bindings.contract import Call
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError
from contracts.bindings.inference_ledger import Batch, ResponseStatus
from contracts.bindings.receipt_claims import ReceiptClaim, ReceiptStatus
from contracts.bindings.receipts import receipt_id
from contracts.protocol.clock_text import show_time
from contracts.protocol.merkle import verify_path
from contracts.protocol.response import NOBODY, Receipt
from prover.errors import UsageError

from .errors import ReceiptNotValidError
from .receipt_offline import read_path

_TRIES = 4
_STATES = {
    ResponseStatus.PENDING: "pending",
    ResponseStatus.DISPUTED: "disputed",
    ResponseStatus.FINAL: "final",
    ResponseStatus.VOID: "void",
}


class NothingToClaim(UsageError):
    """The contracts give nothing for this receipt now; the text says why, and from when on they do."""


@dataclass(frozen=True)
class Status:
    """A receipt as of one block."""

    state: str
    receipt_id: bytes
    block: Block
    now: int
    posting_deadline: int
    posting_time: int  # `now` without the time for which the guardian delayed batches
    batch_id: int | None
    batch: Batch | None
    in_time: bool  # the batch was posted by the deadline
    path_proven: bool | None  # None: there was no path to look at
    claim: ReceiptClaim
    is_confirmed: bool  # the same holds `confirmations` blocks earlier

    def as_json(self) -> dict[str, Any]:
        batch, claim = self.batch, self.claim
        claimed = claim.status is not ReceiptStatus.NONE
        return {
            "state": self.state,
            "receipt_id": "0x" + self.receipt_id.hex(),
            "block": self.block.number,
            "block_hash": "0x" + self.block.hash.hex(),
            "confirmed": self.is_confirmed,
            "now": self.now,
            "posting_deadline": self.posting_deadline,
            "batch_id": self.batch_id,
            "posted_at": batch.posted_at if batch else None,
            "posted_in_time": self.in_time if batch else None,
            "challenge_deadline": batch.deadline if batch else None,
            "path_proven": self.path_proven,
            "claim": claim.status.name.lower() if claimed else None,
            "answer_deadline": claim.answer_deadline if claim.status is ReceiptStatus.CLAIMED else None,
            "penalty_wei": str(claim.penalty) if claimed else None,
        }


def receipt_status(
    contracts: ProtocolContracts,
    receipt: Receipt,
    path: Sequence[bytes] | None,
    confirmations: int = 0,
) -> Status:
    """The state at the newest block. Raises what the bindings raise."""
    for _ in range(_TRIES):
        head = contracts.chain.head()
        try:
            found = _status_at(contracts, receipt, path, head)
            if confirmations:
                earlier = contracts.chain.block(max(0, head.number - confirmations))
                before = _status_at(contracts, receipt, path, earlier)
                same = (before.state, before.batch_id) == (found.state, found.batch_id)
                found = replace(found, is_confirmed=same)
        except ContractError:
            if contracts.chain.block_hash(head.number) == head.hash:
                raise
            continue  # what was read belongs to two chains
        if contracts.chain.block_hash(head.number) == head.hash:
            return found
    raise ReceiptNotValidError(
        "the chain was reorganised again and again while it was read; ask again in a minute, or another --rpc-url"
    )


def _status_at(
    contracts: ProtocolContracts, receipt: Receipt, path: Sequence[bytes] | None, at: Block
) -> Status:
    chain_id, block = contracts.chain.chain_id, at.number
    identity = receipt_id(receipt, chain_id, contracts.receipts.address)
    batch_id = contracts.ledger.batch_of(receipt.provider, receipt.batch_salt, block=block)
    batch = contracts.ledger.batch(batch_id, block=block) if batch_id else None
    posting_time = contracts.stake.posting_time(receipt.posting_deadline, at.timestamp, block)
    overdue, in_time, proven = posting_time > receipt.posting_deadline, False, None
    if batch is None:
        state = "overdue" if overdue else "waiting"
    else:
        posted_time = contracts.stake.posting_time(receipt.posting_deadline, batch.posted_at, block)
        in_time = posted_time <= receipt.posting_deadline
        if batch.model_id != receipt.model_id or receipt.index >= batch.count:
            state = "replaced"  # this salt is used up, so the answer can never be posted
        elif path is None:
            state = "unproven"
        else:
            leaf = receipt.leaf(chain_id, contracts.ledger.address)
            proven = verify_path(batch.root, leaf, path, receipt.index, batch.count)
            # A wrong path proves nothing: its provider may show the right one when the receipt is claimed.
            state = "unproven"
            if proven:
                status = contracts.ledger.response_status(batch_id, receipt.index, block=block)
                state = _STATES[status]
    return Status(
        state=state,
        receipt_id=identity,
        block=at,
        now=at.timestamp,
        posting_deadline=receipt.posting_deadline,
        posting_time=posting_time,
        batch_id=batch_id or None,
        batch=batch,
        in_time=in_time,
        path_proven=proven,
        claim=contracts.receipts.receipt_claim(identity, block=block),
        is_confirmed=True,
    )


def path_in(body: object) -> list[bytes] | None:
    """The path that a receipt's file holds, if its batch was sealed when it was saved. Raises BadInputError."""
    path = body.get("path") if isinstance(body, Mapping) else None
    return None if path is None else read_path(path)


@dataclass(frozen=True)
class Claim:
    """A transaction that a receipt entitles to; `sentence` says what it does, risks and brings."""

    name: str
    call: Call
    sentence: str


def claims_of(
    contracts: ProtocolContracts, receipt: Receipt, signature: bytes, status: Status
) -> list[Claim]:
    """Everything that can be claimed now, the stake before the fee. Raises NothingToClaim and ReceiptNotValidError."""
    from contracts.protocol.ether import show_ether

    try:
        contracts.receipts.checked_receipt_id(receipt, signature)
    except ContractError as error:
        raise ReceiptNotValidError(f"the receipt is worth nothing on this deployment: {error}") from error
    rules, found, why = contracts.stake.parameters(), [], ""
    claim = status.claim
    if claim.status is ReceiptStatus.CLAIMED:
        if status.now > claim.answer_deadline:
            reward = "takes stake of the provider, two fifths of it for the claimant, and returns the claimant's bond"
            found.append(
                Claim(
                    "slash unposted",
                    contracts.receipts.slash_unposted(status.receipt_id),
                    f"the claim was not answered: it {reward}",
                )
            )
        else:
            why = (
                f"it is claimed already, and the provider may answer until {show_time(claim.answer_deadline)}"
            )
    elif claim.status is ReceiptStatus.NONE:
        why = _why_not_unposted(status, rules.receipt_claim_window)
        if not why:
            bond = show_ether(rules.receipt_claim_bond)
            risk = (
                "the provider is slashed at once and the bond comes back"
                if status.batch is None or not status.in_time or status.state == "replaced"
                else "the bond is lost if the provider shows that the answer is in its batch"
            )
            call = contracts.receipts.claim_unposted(receipt, signature, rules.receipt_claim_bond)
            found.append(
                Claim(
                    "claim unposted",
                    call,
                    f"claiming that the answer was not posted stakes a bond of {bond}; {risk}",
                )
            )
    if receipt.payer != NOBODY and receipt.fee_wei and not contracts.payments.refunded(status.receipt_id):
        try:
            contracts.receipts.unhonoured(receipt, signature)
        except ContractError:
            pass
        else:
            sentence = f"the price of the answer goes back to the channel of {receipt.payer}"
            found.append(Claim("refund", contracts.payments.refund(receipt, signature), sentence))
    if not found:
        raise NothingToClaim(
            f"nothing can be claimed with this receipt now: {why or 'its claims are settled'}"
        )
    return found


def _why_not_unposted(status: Status, claim_window_s: int) -> str:
    """Why `claimUnposted` brings nothing; "" where it does."""
    open_for_posting = status.posting_time <= status.posting_deadline
    if open_for_posting and (status.batch is None or status.state == "replaced"):
        return f"the provider may post it until {show_time(status.posting_deadline)}; from then on it can be claimed"
    if status.posting_time > status.posting_deadline + claim_window_s:
        return "its deadline is so long over that a claim takes no stake any more"
    if status.batch is None or not status.in_time or status.state == "replaced":
        return ""
    if status.path_proven:
        return f"it was posted in time, in batch {status.batch_id}, and is {status.state}; a wrong answer is disputed, not claimed"
    if open_for_posting:
        return f"batch {status.batch_id} may hold it; get its path from the provider, or wait until {show_time(status.posting_deadline)}"
    return ""
