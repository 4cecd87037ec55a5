"""`ProviderStake`: deposits, locks, exits, credits, and the keys that act for a provider."""

from __future__ import annotations

from dataclasses import dataclass

from ..protocol.parameters import ProtocolParameters
from .contract import BlockId, BoundContract, Call


@dataclass(frozen=True)
class StakeAccount:
    """Mirror of `StakeAccount`; amounts in wei."""

    total: int
    locked: int
    open_games: int
    exiting: int
    exit_available_at: int
    paused_at: int
    is_paused: bool


@dataclass(frozen=True)
class ReceiptSigner:
    """Mirror of `ReceiptSigner`; amounts in wei, times in seconds, 0: not yet."""

    registered_at: int
    retired_at: int
    allowance: int
    slashed: int


@dataclass(frozen=True)
class VaultTotals:
    """What the vault owes, in wei; the sum is its balance unless ether was forced in."""

    stake: int
    escrow: int
    credits: int
    burned: int


class ProviderStake(BoundContract):
    def initialise(self, ledger: str, game: str, receipts: str, audits: str) -> Call:
        return self._call("initialise", ledger, game, receipts, audits)

    def deposit(self, amount_wei: int) -> Call:
        return self._call("deposit", value_wei=amount_wei)

    def request_exit(self, amount_wei: int) -> Call:
        return self._call("requestExit", amount_wei)

    def cancel_exit(self) -> Call:
        return self._call("cancelExit")

    def complete_exit(self) -> Call:
        return self._call("completeExit")

    def resume(self) -> Call:
        """Ends a pause; the whole bond must be there again."""
        return self._call("resume")

    def set_operator(self, operator: str) -> Call:
        """Who posts and plays beside the owner; the zero address: nobody."""
        return self._call("setOperator", operator)

    def register_signer(self, signer: str, allowance_wei: int) -> Call:
        """A key for receipts, or more allowance for one; all its receipts together cost no more."""
        return self._call("registerSigner", signer, allowance_wei)

    def retire_signer(self, signer: str) -> Call:
        return self._call("retireSigner", signer)

    def withdraw(self) -> Call:
        return self._call("withdraw")

    def withdraw_to(self, to: str) -> Call:
        return self._call("withdrawTo", to)

    def delay_until(self, until: int) -> Call:
        """By the guardian only."""
        return self._call("delayUntil", until)

    def parameters(self) -> ProtocolParameters:
        return self._read("parameters", record=ProtocolParameters)  # type: ignore[no-any-return]

    def account(self, provider: str, block: BlockId = None) -> StakeAccount:
        return self._read("account", provider, record=StakeAccount, block=block)  # type: ignore[no-any-return]

    def free_stake(self, provider: str, block: BlockId = None) -> int:
        return self._read("freeStake", provider, block=block)  # type: ignore[no-any-return]

    def backing(self, provider: str, block: BlockId = None) -> int:
        """Stake that is neither locked nor exiting, the bond included, in wei."""
        return self._read("backing", provider, block=block)  # type: ignore[no-any-return]

    def is_paused(self, provider: str, block: BlockId = None) -> bool:
        return self._read("isPaused", provider, block=block)  # type: ignore[no-any-return]

    def operator_of(self, provider: str, block: BlockId = None) -> str:
        return self._read("operatorOf", provider, block=block)  # type: ignore[no-any-return]

    def receipt_signer(self, provider: str, signer: str, block: BlockId = None) -> ReceiptSigner:
        return self._read("receiptSigner", provider, signer, record=ReceiptSigner, block=block)  # type: ignore[no-any-return]

    def receipt_backing(self, provider: str, signer: str, block: BlockId = None) -> int:
        """What a new receipt of this key could cost the provider at most, in wei."""
        return self._read("receiptBacking", provider, signer, block=block)  # type: ignore[no-any-return]

    def credits(self, owner: str, block: BlockId = None) -> int:
        return self._read("credits", owner, block=block)  # type: ignore[no-any-return]

    def delayable_credits(self, owner: str, block: BlockId = None) -> int:
        """The part of an account's credits that a guardian's delay concerns; 0 without a guardian."""
        return self._read("delayableCredits", owner, block=block)  # type: ignore[no-any-return]

    def delayed_until(self, block: BlockId = None) -> int:
        """First second at which rewards and new batches are not delayed (any more)."""
        return self._read("delayedUntil", block=block)  # type: ignore[no-any-return]

    def delay_left(self, block: BlockId = None) -> int:
        """Seconds that the guardian can still delay once the present delay is over."""
        return self._read("delayLeft", block=block)  # type: ignore[no-any-return]

    def posting_time(self, posting_deadline: int, at: int, block: BlockId = None) -> int:
        """What a receipt's posting deadline is compared with at the second `at`: delays of a guardian do not count."""
        return self._read("postingTime", posting_deadline, at, block=block)  # type: ignore[no-any-return]

    def escrow_of(self, holder: str, block: BlockId = None) -> int:
        return self._read("escrowOf", holder, block=block)  # type: ignore[no-any-return]

    def totals(self, block: BlockId = None) -> VaultTotals:
        return VaultTotals(
            stake=self._read("totalStake", block=block),
            escrow=self._read("totalEscrow", block=block),
            credits=self._read("totalCredits", block=block),
            burned=self._read("totalBurned", block=block),
        )

    def deployer(self) -> str:
        return self._read("deployer")  # type: ignore[no-any-return]

    def ledger(self) -> str:
        return self._read("ledger")  # type: ignore[no-any-return]

    def game(self) -> str:
        return self._read("game")  # type: ignore[no-any-return]

    def audits(self) -> str:
        return self._read("audits")  # type: ignore[no-any-return]

    def receipts(self) -> str:
        return self._read("receipts")  # type: ignore[no-any-return]
