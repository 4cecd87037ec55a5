"""A payer with a key in memory, and a till whose chain is a table."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from contracts.bindings.payments import FOR_EVER, Voucher, sign_voucher
from contracts.protocol.response import ETHER_TOKEN
from node.payments.channels import Channels, ChannelView
from node.payments.till import Till
from node.payments.wire import SignedVoucher, Terms, payment_header, unpack
from node.store import ChainEventRow, Journal, PaymentBook

from .conftest import CHAIN_ID, LEDGER, LocalSigner

PAYMENTS = LEDGER
PRICE = 100


@dataclass
class ChainTable:
    """What the chain would answer, and how often it was asked."""

    channels: dict[tuple[str, str], ChannelView] = field(default_factory=dict)
    keys: dict[tuple[str, str], int] = field(default_factory=dict)
    contracts: dict[str, bytes] = field(default_factory=dict)  # payer: the one signature that it accepts
    reads: int = 0

    def channel(self, payer: str, token: str) -> ChannelView:
        self.reads += 1
        return self.channels.get((payer, token), ChannelView(0, 0))

    def key_valid_until(self, payer: str, key: str) -> int:
        self.reads += 1
        return self.keys.get((payer, key), 0)

    def has_code(self, payer: str) -> bool:
        self.reads += 1
        return payer in self.contracts

    def is_signed(self, voucher: Voucher, signature: bytes) -> bool:
        self.reads += 1
        return self.contracts.get(voucher.payer) == signature


class PaidDesk:
    """A till for one provider, with the events and the clock in the test's hands."""

    def __init__(
        self,
        journal: Journal,
        book: PaymentBook,
        provider: str,
        *,
        required: bool = True,
        contract_payers: bool = False,
    ) -> None:
        self.chain, self.journal, self.provider = ChainTable(), journal, provider
        self.now = 0.0
        self.book = book
        self.channels = Channels(self.chain, journal, provider, clock=lambda: self.now)
        self.till = Till(
            Terms(CHAIN_ID, PAYMENTS, provider, ETHER_TOKEN, PRICE),
            required,
            book,
            self.channels,
            contract_payers=contract_payers,
        )
        self._block = 0

    def fund(self, payer: str, payable: int, redeemed: int = 0) -> None:
        self.chain.channels[payer, ETHER_TOKEN] = ChannelView(payable, redeemed)
        self.say(
            "ChannelFunded",
            payer=payer,
            provider=self.provider,
            token=ETHER_TOKEN,
            amount=payable,
            balance=payable,
        )

    def authorise(self, payer: str, key: str, until: int = FOR_EVER) -> None:
        self.chain.keys[payer, key] = until
        self.say("VoucherKeySet", payer=payer, key=key, valid_until=str(until))

    def say(self, event: str, **arguments: Any) -> None:
        """An event that the node reads."""
        self._block += 1
        row = ChainEventRow(
            block_number=self._block, log_index=0, block_hash=f"0x{self._block:064x}", transaction_hash="0x",
            timestamp=self._block, name=event, gas_used=0, arguments=json.dumps(arguments),
        )  # fmt: skip
        self.journal.record_reading([row], (self._block, row.block_hash))
        self.channels.observe()


class Payer:
    """Signs whatever a test wants."""

    def __init__(self, provider: str, signer: LocalSigner | None = None) -> None:
        self.signer, self.provider = signer or LocalSigner(), provider
        self.address = self.signer.address

    def voucher(self, cumulative: int, **changes: str) -> Voucher:
        fields = {"payer": self.address, "provider": self.provider, "token": ETHER_TOKEN} | changes
        return Voucher(cumulative=cumulative, **fields)

    def signed(
        self, cumulative: int, *, chain_id: int = CHAIN_ID, payments: str = PAYMENTS, **changes: str
    ) -> SignedVoucher:
        voucher = self.voucher(cumulative, **changes)
        return SignedVoucher(
            chain_id, payments, voucher, sign_voucher(self.signer, voucher, chain_id, payments)
        )

    def header(self, cumulative: int, **changes: Any) -> str:
        return payment_header(self.signed(cumulative, **changes))

    def headers(self, cumulative: int, **changes: Any) -> dict[str, str]:
        return {"X-Payment": self.header(cumulative, **changes)}


def due_of(header: str) -> str | None:
    """The cumulative amount that a 402 asks for."""
    amount = unpack(header, "terms")["accepts"][0]["extra"]["cumulativeDue"]
    return None if amount is None else str(amount)
