"""`InferenceLedger`: batches, finality and receipts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from ..protocol.response import Receipt, ResponseFields
from ..protocol.token_ids import pack_token_ids
from .contract import BlockId, BoundContract, Call


class ResponseStatus(IntEnum):
    UNKNOWN = 0
    PENDING = 1
    DISPUTED = 2
    FINAL = 3
    VOID = 4


class ReceiptStatus(IntEnum):
    NONE = 0
    CLAIMED = 1
    ANSWERED = 2
    SLASHED = 3


@dataclass(frozen=True)
class Batch:
    provider: str
    model_id: bytes
    root: bytes
    salt: bytes
    count: int
    disputed_count: int
    posted_at: int
    deadline: int
    finalised: bool


@dataclass(frozen=True)
class ResponseState:
    """All zero for a response that never had a game and that nobody asked for."""

    open_games: int
    challenge_deadline: int
    disputed: bool
    is_void: bool
    released: bool
    shown: bool
    show_deadline: int
    asker: str

    @property
    def is_asked_for(self) -> bool:
        """Whether somebody waits for it to be shown."""
        return int(self.asker, 16) != 0


@dataclass(frozen=True)
class ReceiptClaim:
    status: ReceiptStatus
    claimant: str
    provider: str
    index: int
    leaf: bytes
    batch_id: int
    answer_deadline: int
    bond: int
    penalty: int


class InferenceLedger(BoundContract):
    def post_batch(self, root: bytes, salt: bytes, model_id: bytes, count: int) -> Call:
        return self._call("postBatch", root, salt, model_id, count)

    def finalise_batch(self, batch_id: int) -> Call:
        return self._call("finaliseBatch", batch_id)

    def finalise_response(self, batch_id: int, index: int) -> Call:
        return self._call("finaliseResponse", batch_id, index)

    def ask(self, batch_id: int, index: int, price_wei: int) -> Call:
        return self._call("ask", batch_id, index, value_wei=price_wei)

    def show(
        self,
        batch_id: int,
        index: int,
        fields: ResponseFields,
        path: Sequence[bytes],
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
    ) -> Call:
        prompt, output = pack_token_ids(prompt_ids), pack_token_ids(output_ids)
        return self._call("show", batch_id, index, fields, list(path), prompt, output)

    def claim_not_shown(self, batch_id: int, index: int) -> Call:
        return self._call("claimNotShown", batch_id, index)

    def claim_unposted(self, receipt: Receipt, signature: bytes, bond_wei: int) -> Call:
        return self._call("claimUnposted", receipt, signature, value_wei=bond_wei)

    def answer_claim(self, receipt_id: bytes, path: Sequence[bytes]) -> Call:
        return self._call("answerClaim", receipt_id, list(path))

    def slash_unposted(self, receipt_id: bytes) -> Call:
        return self._call("slashUnposted", receipt_id)

    def batch_count(self, block: BlockId = None) -> int:
        return self._read("batchCount", block=block)  # type: ignore[no-any-return]

    def batch(self, batch_id: int, block: BlockId = None) -> Batch:
        return self._read("batch", batch_id, record=Batch, block=block)  # type: ignore[no-any-return]

    def batch_of(self, provider: str, salt: bytes, block: BlockId = None) -> int:
        """The batch in which a provider used a salt, or 0: tells whether a batch was posted already."""
        return self._read("batchOf", provider, salt, block=block)  # type: ignore[no-any-return]

    def response(self, batch_id: int, index: int, block: BlockId = None) -> ResponseState:
        return self._read("response", batch_id, index, record=ResponseState, block=block)  # type: ignore[no-any-return]

    def response_status(self, batch_id: int, index: int, block: BlockId = None) -> ResponseStatus:
        return ResponseStatus(self._read("responseStatus", batch_id, index, block=block))

    def is_void(self, batch_id: int, index: int, block: BlockId = None) -> bool:
        return self._read("isVoid", batch_id, index, block=block)  # type: ignore[no-any-return]

    def receipt_claim(self, receipt_id: bytes) -> ReceiptClaim:
        return self._read("receiptClaim", receipt_id, record=ReceiptClaim)  # type: ignore[no-any-return]

    def response_leaf(
        self, provider: str, model_id: bytes, batch_salt: bytes, index: int, fields: ResponseFields
    ) -> bytes:
        return self._read("responseLeaf", provider, model_id, batch_salt, index, fields)  # type: ignore[no-any-return]

    def unhonoured(self, receipt: Receipt, signature: bytes) -> bytes:
        """The id of a receipt whose fee goes back; reverts for any other."""
        return self._read("unhonoured", receipt, signature)  # type: ignore[no-any-return]

    def receipt_digest(self, receipt: Receipt) -> bytes:
        return self._read("receiptDigest", receipt)  # type: ignore[no-any-return]
