"""`ProviderStake`: deposits, locks, exits, credits."""

from __future__ import annotations

from dataclasses import dataclass

from ..protocol.parameters import ProtocolParameters
from .contract import BlockId, BoundContract, Call


@dataclass(frozen=True)
class StakeAccount:
    """Mirror of `StakeAccount`; amounts in wei."""

    total: int
    locked: int
    exiting: int
    exit_available_at: int


@dataclass(frozen=True)
class VaultTotals:
    """What the vault owes, in wei; the sum is its balance unless ether was forced in."""

    stake: int
    escrow: int
    credits: int
    burned: int


class ProviderStake(BoundContract):
    def initialise(self, ledger: str, game: str) -> Call:
        return self._call("initialise", ledger, game)

    def deposit(self, amount_wei: int) -> Call:
        return self._call("deposit", value_wei=amount_wei)

    def request_exit(self, amount_wei: int) -> Call:
        return self._call("requestExit", amount_wei)

    def cancel_exit(self) -> Call:
        return self._call("cancelExit")

    def complete_exit(self) -> Call:
        return self._call("completeExit")

    def withdraw(self) -> Call:
        return self._call("withdraw")

    def withdraw_to(self, to: str) -> Call:
        return self._call("withdrawTo", to)

    def parameters(self) -> ProtocolParameters:
        return self._read("parameters", record=ProtocolParameters)  # type: ignore[no-any-return]

    def account(self, provider: str, block: BlockId = None) -> StakeAccount:
        return self._read("account", provider, record=StakeAccount, block=block)  # type: ignore[no-any-return]

    def free_stake(self, provider: str, block: BlockId = None) -> int:
        return self._read("freeStake", provider, block=block)  # type: ignore[no-any-return]

    def credits(self, owner: str, block: BlockId = None) -> int:
        return self._read("credits", owner, block=block)  # type: ignore[no-any-return]

    def escrow_of(self, holder: str, block: BlockId = None) -> int:
        return self._read("escrowOf", holder, block=block)  # type: ignore[no-any-return]

    def totals(self, block: BlockId = None) -> VaultTotals:
        return VaultTotals(
            stake=self._read("totalStake", block=block),
            escrow=self._read("totalEscrow", block=block),
            credits=self._read("totalCredits", block=block),
            burned=self._read("totalBurned", block=block),
        )

    def ledger(self) -> str:
        return self._read("ledger")  # type: ignore[no-any-return]

    def game(self) -> str:
        return self._read("game")  # type: ignore[no-any-return]
