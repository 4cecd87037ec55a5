"""Who gained and lost what between two blocks, to the wei, and what the dispute cost in gas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.events import ItemProven, ProofAccepted


@dataclass(frozen=True)
class AcceptedProof:
    """Which window a proof was about; gas of the transaction that it was accepted in, and of the verifier's call inside it."""

    window: int
    transaction_gas: int
    verifier_call_gas: int | None


class Book:
    """Opened before something happens, closed after it. `roles` maps a role to an account."""

    def __init__(self, contracts: ProtocolContracts, roles: Mapping[str, str]) -> None:
        self._contracts, self._chain = contracts, contracts.chain
        self._roles = dict(roles)
        self.first_block = self._chain.head().number
        self._before = self._worths(self.first_block)
        self._receipts: list[dict[str, Any]] = []
        self.last_block = self.first_block

    def close(self) -> dict[str, int]:
        """Change of every role's wealth in wei, fees for gas left out; "burned" is what nobody got."""
        self.last_block = self._chain.head().number
        self._receipts = [
            receipt
            for number in range(self.first_block + 1, self.last_block + 1)
            for receipt in self._chain.request("eth_getBlockReceipts", [hex(number)])
        ]
        after, fees = self._worths(self.last_block), self._gas_fees()
        return {name: after[name] - self._before[name] + fees.get(name, 0) for name in after}

    def dispute_gas(self) -> int:
        """Gas of all successful transactions to the game of disputes and that of audits; after `close`."""
        games = self._contracts.game.address, self._contracts.audits.address
        return sum(int(receipt["gasUsed"], 16) for game in games for receipt in self._successful(game))

    def accepted_proof(self) -> AcceptedProof | None:
        """The proof that a verifier accepted in between, if any; after `close`."""
        games = [self._contracts.game.address, self._contracts.audits.address]
        logs = self._chain.logs(games, self.first_block + 1, self.last_block)
        for event in self._contracts.events.decode(logs):
            if isinstance(event, ProofAccepted | ItemProven):
                receipt = self._chain.receipt(event.at.transaction_hash)
                assert receipt is not None
                window = event.window if isinstance(event, ProofAccepted) else event.item.window
                return AcceptedProof(window, receipt.gas_used, self._call_gas(event))
        return None

    def _call_gas(self, event: ProofAccepted | ItemProven) -> int | None:
        options = {"tracer": "callTracer"}
        trace = self._chain.request(
            "debug_traceTransaction", ["0x" + event.at.transaction_hash.hex(), options]
        )
        waiting = [trace]
        while waiting:
            call = waiting.pop()
            if str(call.get("to", "")).lower() == event.verifier.lower():
                return int(call["gasUsed"], 16)
            waiting.extend(call.get("calls", []))
        return None

    def _successful(self, to: str) -> list[dict[str, Any]]:
        return [
            receipt
            for receipt in self._receipts
            if (receipt.get("to") or "").lower() == to.lower() and int(receipt["status"], 16) == 1
        ]

    def _gas_fees(self) -> dict[str, int]:
        names = {address.lower(): name for name, address in self._roles.items()}
        fees: dict[str, int] = {}
        for receipt in self._receipts:
            name = names.get(receipt["from"].lower())
            if name is not None:
                fee = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
                fees[name] = fees.get(name, 0) + fee
        return fees

    def _worths(self, block: int) -> dict[str, int]:
        """Balance, stake and credits of every role; what sits in a game or a fee escrow is nobody's yet."""
        stake = self._contracts.stake
        worths = {
            name: int(self._chain.request("eth_getBalance", [address, hex(block)]), 16)
            + stake.account(address, block=block).total
            + stake.credits(address, block=block)
            for name, address in self._roles.items()
        }
        return {**worths, "burned": stake.totals(block=block).burned}
