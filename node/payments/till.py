"""The provider's till: whether a request is paid for, and what becomes of its price.

    signature of the payer -> its channel can pay the cumulative amount -> the journal takes the price

The last step is one transaction, so that no two requests are served for the same increase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from contracts.bindings.payments import voucher_signer
from prover.errors import BadInputError

from ..errors import DatabaseError, PaymentRefusedError
from ..store import PaymentBook
from .channels import Channels
from .wire import Due, SignedVoucher, Terms, read_payment, terms_body

log = structlog.get_logger("node.till")


@dataclass(frozen=True)
class Payment:
    """The price of one request, taken out of a voucher."""

    payer: str
    token: str
    amount: int
    hold: str
    _book: PaymentBook

    def give_back(self) -> None:
        """No answer came of it. Does nothing once the answer is placed. A failing database is made up for at the start."""
        self._settle(self._book.give_back)

    def keep(self) -> None:
        """The caller had the text of the answer and left before its end."""
        self._settle(self._book.keep)

    def _settle(self, how: Any) -> None:
        try:
            how(self.hold)
        except DatabaseError as error:
            log.warning("a payment waits for the next start", hold=self.hold, reason=str(error))


class Till:
    """Takes vouchers for answers. Safe to share between threads; its methods wait for database and chain."""

    def __init__(
        self,
        terms: Terms,
        required: bool,
        book: PaymentBook,
        channels: Channels,
        *,
        contract_payers: bool = False,
    ) -> None:
        """`contract_payers` also takes the word of a payer's contract (ERC-1271), which it can take back at any time
        before the voucher is redeemed; a key that the contract authorised cannot be taken back as fast."""
        self.terms, self.required, self._contract_payers = terms, required, contract_payers
        self._book, self._channels = book, channels

    def take(self, headers: Sequence[str]) -> Payment | None:
        """The price of one answer out of the voucher in these `X-Payment` headers; None when there is none and none
        is needed.

        Raises PaymentRefusedError, and NotReadyError when the chain cannot be asked.
        """
        if not headers:
            if self.required:
                reason = f"an answer costs {self.terms.price} of token {self.terms.token}; send a voucher in X-Payment"
                raise PaymentRefusedError("payment_required", reason)
            return None
        if len(headers) > 1:
            raise PaymentRefusedError("invalid_payment", "send one X-Payment header")
        try:
            signed = read_payment(headers[0])
        except BadInputError as error:
            raise PaymentRefusedError("invalid_payment", str(error)) from error
        self._require_ours(signed)
        payer, token = signed.voucher.payer, signed.voucher.token
        key = self._key_of(signed)
        view = self._channels.view(payer, token)
        if view is None:
            raise PaymentRefusedError(
                "nothing_deposited",
                f"{payer} has no confirmed deposit for {self.terms.provider}; run `gainsay pay deposit`, or wait a moment",
                payer,
            )
        if signed.voucher.cumulative > view.payable:
            raise PaymentRefusedError(
                "deposit_too_small",
                f"the voucher is over {signed.voucher.cumulative}, but the channel can pay {view.payable} at most; "
                "deposit more or take a withdrawal back",
                payer,
            )
        try:
            hold = self._book.reserve(signed.voucher, signed.signature, key, self.terms.price, view.redeemed)
        except PaymentRefusedError as error:
            error.payer = payer
            raise
        return Payment(payer, token, self.terms.price, hold, self._book)

    def _require_ours(self, signed: SignedVoucher) -> None:
        terms, voucher = self.terms, signed.voucher
        for name, given, ours in (
            ("chain", signed.chain_id, terms.chain_id),
            ("payments contract", signed.payments, terms.payments),
            ("provider", voucher.provider, terms.provider),
            ("token", voucher.token, terms.token),
        ):
            if given != ours:
                reason = f"the voucher is for {name} {given}, but this provider takes those for {name} {ours}"
                raise PaymentRefusedError("wrong_terms", reason)
        if voucher.payer == terms.provider:
            raise PaymentRefusedError("wrong_terms", "a provider cannot pay itself")

    def _key_of(self, signed: SignedVoucher) -> str:
        """Who signed: the payer, a key that it named, or "" for a contract that vouches for itself."""
        voucher, signature = signed.voucher, signed.signature
        key = voucher_signer(voucher, signature, self.terms.chain_id, self.terms.payments)
        if key == voucher.payer:
            return key
        if key is not None and self._channels.is_signed_by_key(voucher.payer, key):
            return key
        if self._contract_payers and self._channels.is_signed_by_contract(voucher, signature):
            return ""
        reason = (
            f"neither {voucher.payer} nor a key that it authorised signed this voucher; a contract authorises a key "
            "with `gainsay pay authorise-key`"
        )
        raise PaymentRefusedError("invalid_signature", reason)

    def offer(self, payer: str | None, resource: str) -> dict[str, Any]:
        """The terms, with what is due next from this payer."""
        return terms_body(self.terms, None if payer is None else self.due(payer), resource)

    def due(self, payer: str) -> Due:
        """What the next voucher of a payer must be over."""
        view = self._channels.view(payer, self.terms.token)
        standing = self._book.standing(payer, self.terms.token)
        if view is not None:
            standing = standing.after(view.redeemed)
        payable = None if view is None else view.payable
        return Due(payer, standing.due(self.terms.price), standing.credit, payable)
