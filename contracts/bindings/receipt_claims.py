"""`Receipts`: claims that a signed answer was not posted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from ..protocol.response import Receipt
from .contract import BlockId, BoundContract, Call


class ReceiptStatus(IntEnum):
    NONE = 0
    CLAIMED = 1
    ANSWERED = 2
    SLASHED = 3


@dataclass(frozen=True)
class ReceiptClaim:
    """Mirror of `ReceiptClaim`; amounts in wei. `penalty` is what a lost claim took."""

    status: ReceiptStatus
    claimant: str
    provider: str
    signer: str
    index: int
    takes_stake: bool
    leaf: bytes
    batch_id: int
    answer_deadline: int
    bond: int
    penalty: int


class Receipts(BoundContract):
    def claim_unposted(self, receipt: Receipt, signature: bytes, bond_wei: int) -> Call:
        return self._call("claimUnposted", receipt, signature, value_wei=bond_wei)

    def answer_claim(self, receipt_id: bytes, path: Sequence[bytes]) -> Call:
        return self._call("answerClaim", receipt_id, list(path))

    def slash_unposted(self, receipt_id: bytes) -> Call:
        return self._call("slashUnposted", receipt_id)

    def receipt_claim(self, receipt_id: bytes, block: BlockId = None) -> ReceiptClaim:
        return self._read("receiptClaim", receipt_id, record=ReceiptClaim, block=block)  # type: ignore[no-any-return]

    def receipt_digest(self, receipt: Receipt) -> bytes:
        return self._read("receiptDigest", receipt)  # type: ignore[no-any-return]

    def unhonoured(self, receipt: Receipt, signature: bytes) -> bytes:
        """The id of a receipt whose fee goes back; raises ContractError for any other."""
        return self._read("unhonoured", receipt, signature)  # type: ignore[no-any-return]

    def checked_receipt_id(self, receipt: Receipt, signature: bytes) -> bytes:
        """The receipt's id; raises ContractError unless signature, key and dates are valid."""
        return self._read("checkedReceiptId", receipt, signature)  # type: ignore[no-any-return]
