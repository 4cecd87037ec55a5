"""What a deployment is looked at with. Checked where it comes in, so that formulas need not."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from prover.errors import UsageError


class PricesError(UsageError):
    """A price, share or rate is not one."""


_POSITIVE = ("gas_price_gwei", "eth_usd", "answers_per_second")


@dataclass(frozen=True)
class Prices:
    """Dollars, unless the name says otherwise.

    `saving_per_lie`: what a provider saves by answering with a cheaper model. `recheck_share`: share of all answers that
    somebody honest re-runs and would dispute. `cost_of_recheck`: of re-running one answer.
    """

    gas_price_gwei: float
    eth_usd: float = 3000.0
    fee_per_answer: float = 0.002
    saving_per_lie: float = 0.001
    answers_per_second: float = 1.0
    recheck_share: float = 0.01
    cost_of_recheck: float = 0.002

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value) or value < 0:
                raise PricesError(f"{_option(field.name)} is {value}; give a number that is not negative")
            if field.name in _POSITIVE and value == 0:
                raise PricesError(f"{_option(field.name)} is 0; give a number above 0")
        if self.recheck_share > 1:
            raise PricesError(
                f"--recheck-share is {self.recheck_share}; give a share from 0 to 1, such as 0.01"
            )

    def usd(self, wei: int) -> float:
        return wei / 1e18 * self.eth_usd

    def gas_usd(self, gas: int) -> float:
        return gas * self.gas_price_gwei * 1e-9 * self.eth_usd


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


#: Gas prices that the presets' amounts are made for; on a devnet gas is free of charge, so any will do.
GAS_PRICE_GWEI = {"devnet": 20.0, "l1": 20.0, "l2": 0.1}
