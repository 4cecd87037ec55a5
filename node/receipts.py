"""Receipts: an answer gets its place in a batch, is written down, and only then signed and handed out."""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contracts.bindings.keys import Signer
from contracts.bindings.receipts import receipt_id, sign_receipt
from contracts.protocol.response import ETHER_TOKEN, NO_AUDITS, NOBODY, Receipt, ResponseFields
from contracts.protocol.sampling import sampling_of, sampling_word
from contracts.protocol.token_ids import pack_token_ids, unpack_token_ids
from prover.sampling import Sampling

from .audits.boundaries import CommittedTrace
from .audits.keys import audit_key
from .payments.till import Payment
from .store import BatchRow, Journal, ResponseRow
from .store.journal import BatchTerms, ReceiptNames


@dataclass(frozen=True)
class Issuer:
    """What binds a receipt to one deployment and one model."""

    chain_id: int
    ledger: str
    receipts: str
    provider: str
    model_id: bytes


@dataclass(frozen=True)
class IssuedReceipt:
    """A signed answer."""

    response_id: str
    receipt_id: str
    seconds: float  # time that placing and signing took
    audit_key: str | None = None  # of a private model's answer: for its caller only


class ReceiptDesk:
    """Places answers in batches and signs their receipts. Safe to share between threads."""

    def __init__(
        self,
        journal: Journal,
        signer: Signer,
        issuer: Issuer,
        terms: BatchTerms,
        now: Callable[[], int],
        fee_wei: int = 0,
    ) -> None:
        """`now` gives the chain's time in seconds."""
        self._journal, self._signer, self._issuer = journal, signer, issuer
        self._terms, self._now, self._fee_wei = terms, now, fee_wei
        self._signing = threading.Lock()

    def issue(
        self,
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
        max_tokens: int,
        finish_reason: str,
        *,
        sampling: Sampling | None = None,
        response_id: str | None = None,
        generation_ms: int = 0,
        payment: Payment | None = None,
        committed: CommittedTrace | None = None,
    ) -> IssuedReceipt:
        """Write an answer down, sign its receipt, write the signature down.

        `committed`: what a private model's answer commits to.

        `payment`: whose price the receipt names, with its payer. Raises NotReadyError when that was given back before.
        """
        started = time.perf_counter()
        now = self._now()
        batch, row = self._journal.place(
            ResponseRow(
                id=response_id or uuid.uuid4().hex,
                batch_id=0,
                index_in_batch=0,
                receipt_id="",
                leaf="",
                prompt_ids=pack_token_ids(prompt_ids),
                output_ids=pack_token_ids(output_ids),
                max_tokens=max_tokens,
                sampling="" if sampling is None else _hex(sampling_word(sampling)),
                fee_wei=str(self._fee_wei if payment is None else payment.amount),
                payer="" if payment is None else payment.payer,
                fee_token="" if payment is None else payment.token,
                signer=self._signer.address,
                finish_reason=finish_reason,
                answered_at=now,
                generation_ms=generation_ms,
                audit_root="" if committed is None else _hex(committed.audit_root),
                audit_nonce="" if committed is None else committed.nonce.hex(),
            ),
            model_id=_hex(self._issuer.model_id),
            now=now,
            terms=self._terms,
            draw_salt=lambda: _hex(secrets.token_bytes(32)),
            name=self._names,
            hold=None if payment is None else payment.hold,
        )
        self._sign(batch, row)
        key = None if committed is None else audit_key(committed.nonce, row.receipt_id)
        return IssuedReceipt(row.id, row.receipt_id, time.perf_counter() - started, key)

    def sign_left_over(self) -> int:
        """Sign what the last stop left unsigned. Returns how many there were.

        What names a key that was replaced since stays unsigned: nobody was given it.
        """
        left = self._journal.unsigned()
        for batch, row in left:
            self.sign_again(batch, row)
        return sum(row.signature is not None for _, row in left)

    def sign_again(self, batch: BatchRow, row: ResponseRow) -> None:
        """Make a signature that is missing: its commit waited for no disk, so a server that crashed may have lost it. It is the one that
        the client was given, for the row was safe before."""
        if row.signer == self._signer.address:
            self._sign(batch, row)

    @property
    def issuer(self) -> Issuer:
        """Whose receipts these are."""
        return self._issuer

    def receipt(self, batch: BatchRow, row: ResponseRow) -> Receipt:
        """The receipt of a stored response."""
        return receipt_of(self._issuer.provider, batch, row)

    def _sign(self, batch: BatchRow, row: ResponseRow) -> None:
        with self._signing:
            signature = sign_receipt(
                self._signer, self.receipt(batch, row), self._issuer.chain_id, self._issuer.receipts
            )
        self._journal.sign(row.id, _hex(signature))
        row.signature = _hex(signature)

    def _names(self, batch: BatchRow, row: ResponseRow) -> ReceiptNames:
        receipt = self.receipt(batch, row)
        leaf = receipt.leaf(self._issuer.chain_id, self._issuer.ledger)
        digest = receipt_id(receipt, self._issuer.chain_id, self._issuer.receipts)
        return ReceiptNames(leaf=_hex(leaf), receipt_id=_hex(digest))


def fields_of(row: ResponseRow) -> ResponseFields:
    """What the leaf of a stored response says."""
    return ResponseFields.of(
        unpack_token_ids(row.prompt_ids),
        unpack_token_ids(row.output_ids),
        row.max_tokens,
        int(row.fee_wei),
        sampling_of_row(row),
        bytes.fromhex(row.audit_root[2:]) if row.audit_root else NO_AUDITS,
    )


def sampling_of_row(row: ResponseRow) -> Sampling | None:
    """How a stored response was sampled; None for a greedy one."""
    return sampling_of(bytes.fromhex(row.sampling[2:])) if row.sampling else None


def receipt_of(provider: str, batch: BatchRow, row: ResponseRow) -> Receipt:
    """The receipt of a stored response in its batch."""
    return Receipt.of(
        provider=provider,
        model_id=bytes.fromhex(batch.model_id[2:]),
        batch_salt=bytes.fromhex(batch.salt[2:]),
        index=row.index_in_batch,
        fields=fields_of(row),
        issued_at=row.answered_at,
        posting_deadline=batch.posting_deadline,
        signer=row.signer or provider,
        payer=row.payer or NOBODY,
        fee_token=row.fee_token or ETHER_TOKEN,
    )


def _hex(value: bytes) -> str:
    return "0x" + bytes(value).hex()
