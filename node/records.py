"""Stored responses, receipts and batches as the JSON that clients and challengers read.

Hashes are 0x-hex, wei is decimal text (JSON numbers lose digits above 2^53), times are seconds of the chain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from contracts.bindings.receipts import receipt_message
from contracts.protocol.merkle import MerkleTree
from contracts.protocol.response import Receipt
from contracts.protocol.sampling import describe_sampling
from contracts.protocol.token_ids import unpack_token_ids

from .receipts import Issuer, fields_of, receipt_of, sampling_of_row
from .store import BatchRow, BatchState, Journal, ResponseRow


class Records:
    """Read-only views of one node's journal."""

    def __init__(
        self,
        journal: Journal,
        issuer: Issuer,
        model_name: str,
        *,
        list_token_ids: bool = True,
        sign: Callable[[BatchRow, ResponseRow], None] = lambda batch, row: None,
    ) -> None:
        """`list_token_ids`: whether everybody reads token ids, or only who names a response by its own id. `sign`: makes a signature
        again that a database lost when it crashed, if it can.

        A response's own id is what its client alone was given; it is left out of all that others read.
        """
        self._journal, self._issuer, self._model_name = journal, issuer, model_name
        self._list_token_ids, self._sign = list_token_ids, sign

    def response(self, key: str) -> dict[str, Any] | None:
        """A response by its id, receipt id or leaf."""
        if (row := self._journal.find_response(key)) is None:
            return None
        batch = self._journal.batch(row.batch_id)
        assert batch is not None
        is_own = key == row.id
        entry = self._entry(row, self._list_token_ids or is_own)
        own = {"response_id": row.id} if is_own else {}
        return (
            own
            | entry
            | {
                "batch_id": batch.chain_batch_id,
                "model_id": batch.model_id,
                "model": self._model_name,
                "salt": batch.salt,
            }
        )

    def receipt(self, key: str) -> dict[str, Any] | None:
        """A signed receipt by its id, response id or leaf; with batch and Merkle path once the batch is sealed."""
        row = self._journal.find_response(key)
        if row is None:
            return None
        batch = self._journal.batch(row.batch_id)
        assert batch is not None
        if row.signature is None:
            self._sign(batch, row)
        if row.signature is None:
            return None
        receipt = receipt_of(self._issuer.provider, batch, row)
        posted = None if batch.state == BatchState.OPEN else self._path(row)
        own = {"response_id": row.id} if key == row.id else {}
        return own | {
            "receipt_id": row.receipt_id,
            "receipt": _plain(asdict(receipt)) | {"fee_wei": str(receipt.fee_wei)},
            "domain": receipt_message(receipt, self._issuer.chain_id, self._issuer.receipts)["domain"],
            "signature": row.signature,
            "leaf": row.leaf,
            "state": row.state,
            "batch_id": batch.chain_batch_id,
            "index": row.index_in_batch,
            "path": posted,
            "batch_state": batch.state,
            "batch_root": batch.root,
            "posted_at": batch.posted_at,
            "challenge_deadline": batch.challenge_deadline,
        }

    def place(self, key: str) -> tuple[Receipt, tuple[bytes, ...] | None] | None:
        """A response's receipt, and its Merkle path once the batch is sealed; by its id, receipt id or leaf."""
        if (row := self._journal.find_response(key)) is None:
            return None
        batch = self._journal.batch(row.batch_id)
        assert batch is not None
        path = None
        if batch.state != BatchState.OPEN:
            path = tuple(bytes.fromhex(node[2:]) for node in self._path(row))
        return receipt_of(self._issuer.provider, batch, row), path

    def batch(self, key: str) -> dict[str, Any] | None:
        """A sealed or posted batch with all its responses, by number on the chain, root or salt."""
        if key.isdecimal() and len(key) < 19:
            batch = self._journal.find_batch(chain_batch_id=int(key))
        else:
            batch = self._journal.find_batch(root=key) or self._journal.find_batch(salt=key)
        if batch is None or batch.id is None or batch.state == BatchState.OPEN:
            return None
        return self.batch_summary(batch) | {
            "responses": [
                self._entry(row, self._list_token_ids) for row in self._journal.responses_of(batch.id)
            ]
        }

    def batch_summary(self, batch: BatchRow) -> dict[str, Any]:
        """A batch without its responses."""
        return {
            "batch_id": batch.chain_batch_id,
            "provider": self._issuer.provider,
            "model_id": batch.model_id,
            "model": self._model_name,
            "salt": batch.salt,
            "root": batch.root,
            "count": batch.count,
            "state": batch.state,
            "posted_at": batch.posted_at,
            "challenge_deadline": batch.challenge_deadline,
            "posting_deadline": batch.posting_deadline,
        }

    def _path(self, row: ResponseRow) -> list[str]:
        tree = batch_tree(self._journal.responses_of(row.batch_id))
        return [_hex(node) for node in tree.path(row.index_in_batch)]

    @staticmethod
    def _entry(row: ResponseRow, with_ids: bool) -> dict[str, Any]:
        ids = {
            "prompt_ids": unpack_token_ids(row.prompt_ids),
            "output_ids": unpack_token_ids(row.output_ids),
        }
        return {
            "index": row.index_in_batch,
            "receipt_id": row.receipt_id,
            "leaf": row.leaf,
            **(ids if with_ids else {}),
            "max_tokens": row.max_tokens,
            "sampling_hash": _hex(fields_of(row).sampling_hash),
            "sampling": describe_sampling(sampling_of_row(row)),
            "fee_wei": row.fee_wei,
            "finish_reason": row.finish_reason,
            "answered_at": row.answered_at,
            "latency_s": row.generation_ms / 1000,
            "state": row.state,
        }


def batch_tree(rows: list[ResponseRow]) -> MerkleTree:
    """The Merkle tree over a batch's leaves in the order of their indices."""
    return MerkleTree([bytes.fromhex(row.leaf[2:]) for row in rows])


def plain_event(event: Any) -> dict[str, Any]:
    """An event's arguments as JSON values, without token ids: those of own responses are in the database."""
    left_out = {"at", "prompt_ids", "output_ids"}
    return {name: _plain(value) for name, value in asdict(event).items() if name not in left_out}


def _plain(value: Any) -> Any:
    """JSON of a decoded value; integers above 2^53 become text."""
    if isinstance(value, bytes):
        return _hex(value)
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < 2**53 else str(int(value))
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value]


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
