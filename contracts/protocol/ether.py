"""Amounts of ether as people write them, exactly: an amount never passes through a float.

An amount is a decimal number and, after it, `ether`, `gwei` or `wei`; 1 ether = 10^9 gwei = 10^18 wei. Whatever is
not a whole number of wei is refused, not rounded.
"""

from __future__ import annotations

import re

from prover.errors import UsageError

DECIMALS = {"wei": 0, "gwei": 9, "ether": 18, "eth": 18}
LARGEST_WEI = 2**256 - 1
_AMOUNT = re.compile(r"(?P<whole>[0-9]{1,78})(?:\.(?P<part>[0-9]{1,78}))? *(?P<unit>[A-Za-z]*)", re.ASCII)


class AmountError(UsageError):
    """A text is no amount of ether."""


def parse_wei(text: str, unit: str = "ether") -> int:
    """Wei of an amount such as "1.1", "1.1 ether", "25 gwei" or "7 wei"; `unit` is that of a bare number.

    Raises AmountError for signs, exponents, other units, more decimals than the unit has, and more than 2^256 - 1 wei.
    """
    found = _AMOUNT.fullmatch(text.strip())
    named = (found["unit"].lower() or unit) if found else unit
    if found is None or named not in DECIMALS:
        raise AmountError(
            f"{text[:60]!r} is no amount; write a decimal number such as 1.5, with ether, gwei or wei after it "
            f"({unit} where there is none)"
        )
    whole, part, decimals = found["whole"], (found["part"] or "").rstrip("0"), DECIMALS[named]
    if len(part) > decimals:
        raise AmountError(
            f"{text[:60]!r} is no whole number of wei; give {named} at most {decimals} decimals"
        )
    wei = int(whole + part.ljust(decimals, "0"))
    if wei > LARGEST_WEI:
        raise AmountError(f"{text[:60]!r} is more than 2^256 - 1 wei; correct the amount")
    return wei


def show_ether(wei: int) -> str:
    """All digits of an amount, in ether: "1.1 ETH", "-0.000000000000000001 ETH"."""
    whole, part = divmod(abs(wei), 10**18)
    decimals = f".{part:018d}".rstrip("0").rstrip(".")
    return f"{'-' if wei < 0 else ''}{whole}{decimals} ETH"
