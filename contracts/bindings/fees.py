"""What a transaction is offered: gas with a margin, fees by the chain's own, more when it waits."""

from __future__ import annotations

from dataclasses import dataclass

from .chain import Chain
from .contract import Call
from .errors import ContractError, InsufficientFunds, RpcRefused

_GAS_MARGIN_PERCENT = 125  # the estimate is made against an older state
NO_FUNDS = ("insufficient funds",)
"""How nodes say that an account cannot pay."""
#: What the next block's number or time makes possible, though the newest block refuses it.
_NEXT_BLOCK = ("OpeningCommittedLate", "PlaceStaysEmpty")


@dataclass(frozen=True)
class FeePolicy:
    """How much is offered, and when more. A replacement must offer at least an eighth more."""

    bump_after_s: float = 30.0
    bump_percent: int = 113
    highest_fee_wei: int = 500 * 10**9


@dataclass(frozen=True)
class Forecast:
    """What sending would take: gas with its margin, and wei at today's fee and at most."""

    gas: int
    fee_wei: int
    highest_fee_wei: int


class Prices:
    """Of one account's transactions on one chain."""

    def __init__(self, chain: Chain, address: str, policy: FeePolicy) -> None:
        self._chain, self._address, self.policy = chain, address, policy

    def now(self) -> tuple[int, int]:
        """(highest fee, priority fee) per gas that is offered today."""
        priority = self._chain.priority_fee_wei()
        return 2 * self._chain.head().base_fee_wei + priority, priority

    def forecast(self, call: Call | None, *, more_gas: int = 0) -> Forecast:
        """What `call`, and `more_gas` for what cannot be estimated yet, would cost now. Raises `ContractError` when the
        chain would refuse it."""
        gas = more_gas + (0 if call is None else self.gas(call))
        highest, priority = self.now()
        return Forecast(gas, gas * (self._chain.head().base_fee_wei + priority), gas * highest)

    def gas(self, call: Call) -> int:
        """Gas to offer for a call, with a margin. Raises `ContractError` when the chain would refuse it, `InsufficientFunds`."""

        def estimated(block: str | None) -> int:
            return self._chain.estimate_gas(
                call.to,
                call.data,
                sender=self._address,
                value_wei=call.value_wei,
                block=block,
                description=call.description,
            )

        try:
            try:
                gas = estimated(None)
            except ContractError as error:
                if error.name not in _NEXT_BLOCK:
                    raise
                try:
                    gas = estimated("pending")
                except (ContractError, RpcRefused):
                    raise error from None
        except RpcRefused as error:
            if any(text in error.rpc_message.lower() for text in NO_FUNDS):
                raise self.too_poor(call) from error
            raise
        return gas * _GAS_MARGIN_PERCENT // 100

    def too_poor(self, call: Call) -> InsufficientFunds:
        """What to raise when the account cannot pay."""
        return InsufficientFunds(
            f"{self._address} cannot pay for {call.description}; send it some ether. "
            "The transaction stays in the journal."
        )

    def bumped(self, fee_wei: int) -> int:
        """What a replacement offers at least."""
        return fee_wei * self.policy.bump_percent // 100 + 1
