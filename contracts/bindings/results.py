"""What became of a transaction, by what the chain shows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ..protocol.ether import show_ether
from .chain import Chain, TransactionReceipt
from .errors import BindingsError, ContractError, ReceiptMissing
from .journal import Intent, IntentStatus


@dataclass(frozen=True)
class Mined:
    """A transaction that is in the chain and succeeded."""

    transaction_hash: bytes
    block_number: int
    gas_used: int
    fee_wei: int
    contract_address: str | None
    receipt: TransactionReceipt

    def as_json(self) -> dict[str, Any]:
        """What a command says about it."""
        transaction = "0x" + self.transaction_hash.hex()
        cost = {"gas": self.gas_used, "fee_wei": str(self.fee_wei)}
        return {"transaction": transaction, **cost, "block": self.block_number}

    def __str__(self) -> str:
        return f"{self.gas_used:,} gas for {show_ether(self.fee_wei)}, block {self.block_number}"


class Results:
    """Of one account's transactions on one chain."""

    def __init__(self, chain: Chain, address: str, poll_s: float) -> None:
        self._chain, self._address, self._poll_s = chain, address, poll_s

    def of(self, intent: Intent) -> Mined | BindingsError:
        """What a finished intent came to."""
        if intent.status is IntentStatus.REFUSED:
            return ContractError("Refused", {}, intent.error or "", intent.call.description)
        assert intent.mined_hash is not None
        try:
            receipt = self._receipt_of(intent.mined_hash)
        except BindingsError as error:
            return error
        if receipt is None:
            return ReceiptMissing(
                f"{intent.call.description} was confirmed, but the RPC endpoint no longer has its receipt; "
                "send it again under the same key once the endpoint has caught up."
            )
        if intent.status is IntentStatus.REVERTED:
            return self.why_reverted(intent, receipt)
        return Mined(
            transaction_hash=intent.mined_hash,
            block_number=receipt.block_number,
            gas_used=receipt.gas_used,
            fee_wei=receipt.gas_used * receipt.effective_gas_price_wei,
            contract_address=receipt.contract_address,
            receipt=receipt,
        )

    def _receipt_of(self, transaction_hash: bytes) -> TransactionReceipt | None:
        """Asked a few times: behind one URL there may be nodes that lag."""
        for _ in range(20):
            if (receipt := self._chain.receipt(transaction_hash)) is not None:
                return receipt
            time.sleep(self._poll_s)
        return None

    def receipt(self, intent: Intent) -> TransactionReceipt | None:
        """Of the attempt that is mined, if the chain has one; the newest is asked for first."""
        receipts = (self._chain.receipt(attempt.hash) for attempt in reversed(intent.attempts))
        return next((receipt for receipt in receipts if receipt is not None), None)

    def why_reverted(self, intent: Intent, receipt: TransactionReceipt) -> ContractError:
        """The contract's reason, by running the call again on the state before the block."""
        call = intent.call
        if call.to is not None:
            try:
                self._chain.call(
                    call.to,
                    call.data,
                    block=max(0, receipt.block_number - 1),
                    sender=self._address,
                    value_wei=call.value_wei,
                    description=call.description,
                )
            except ContractError as error:
                return error
        return ContractError("Reverted", {}, "it no longer fitted when it was mined", call.description)
