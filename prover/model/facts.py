"""From what a file says about its model to a `ModelConfig`: what both importers share.

A family is asked for by its name and fields; anything that it cannot express is refused by name, here or by the
configuration itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..architectures import config_from_json
from ..architectures.config import ModelConfig, index_bits
from ..operators.rotary import TURN_BITS
from ..program import WINDOW_ROWS
from ..tables import LARGEST_TABLE_BITS
from .errors import Finding, UnsupportedModelError

LOCAL, GLOBAL = 1, 2
"""Kinds of attention layers, as in the step key."""

WHY_NOT = {
    "gemma2": "an operator that caps scores and logits softly, c * tanh(x / c); without it every weight of attention and "
    "every sampled token would be another",
}
"""Architectures that are often asked for and refused, by their names in either format, and what they would take."""

MOST_POSITIONS = 1 << 14
"""What the contracts take (`ModelRegistry`)."""


def build_config(facts: Mapping[str, Any]) -> ModelConfig:
    """The configuration of these facts. Raises UnsupportedModelError when it has no layer programs."""
    try:
        config = config_from_json(facts)
        _ = config.programs
    except ValueError as error:
        finding = Finding("architecture", str(facts.get("family")), f"other sizes: {error}")
        raise UnsupportedModelError([finding]) from error
    return config


def with_residual_scale(config: ModelConfig, scale: int) -> ModelConfig:
    """The same configuration at another residual scale. Raises UnsupportedModelError."""
    return build_config(config.to_json() | {"residual_scale": scale})


def provable_positions(stated: int, head_size: int = 1) -> int:
    """The longest sequence that is served: what the model was trained for, as far as contracts go, in whole windows, because
    a proof is about all rows of a window. head_size: of heads that turn, whose table has a cosine and a sine for every position
    and channel, in powers of two. Raises UnsupportedModelError for less than one window.
    """
    most = min(MOST_POSITIONS, 1 << max(0, LARGEST_TABLE_BITS - TURN_BITS.fixed - index_bits(head_size)))
    positions = min(stated, most) // WINDOW_ROWS * WINDOW_ROWS
    refuse_unless(
        positions > 0, "option", f"a context of {stated} positions", f"one window of {WINDOW_ROWS} at least"
    )
    return positions


def whole_base(base: Any) -> int:
    """A rotary base; tables are made from whole numbers. Raises UnsupportedModelError."""
    if isinstance(base, bool) or not isinstance(base, (int, float)) or base <= 1 or base != int(base):
        raise UnsupportedModelError([Finding("option", f"rotary base {base!r}", "a whole number above 1")])
    return int(base)


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 1e300  # false for one that is not a number


def decimal_of_float32(value: float) -> float:
    """The number that was meant by a float32: 9.999999747e-06 is 1e-05."""
    return float(f"{value:.5e}")


def shortest(value: float) -> float:
    """The shortest decimal that a float32 stands for: what was written into a file whose numbers are float32."""
    return float(str(np.float32(value)))


def linear_divisors(factor: float, head_size: int) -> tuple[float, ...]:
    """Every rotary frequency divided by the same factor; none at all for 1."""
    return () if factor == 1 else (float32(factor),) * (head_size // 2)


def llama3_divisors(
    base: float, head_size: int, *, factor: float, low: float, high: float, original: int
) -> tuple[float, ...]:
    """Llama 3's rotary scaling as the number that each pair's frequency is divided by.

    wavelength = 2 pi base^(2i / head_size); from original / low on the divisor is `factor`, up to original / high it
    is 1, and in between 1 / ((1 - s) / factor + s) with s = (original / wavelength - low) / (high - low).
    """
    divisors = []
    for pair in range(head_size // 2):
        wavelength = 2 * math.pi * base ** (2 * pair / head_size)
        smooth = min(max((original / wavelength - low) / (high - low), 0.0), 1.0)
        divisors.append(float32(1 / ((1 - smooth) / factor + smooth)))
    return tuple(divisors)


def yarn_divisors(
    base: float, size: int, *, factor: float, fast: float, slow: float, original: float, truncate: bool = True
) -> tuple[float, ...]:
    """YaRN's rotary scaling as the number that each pair's frequency is divided by.

    A pair that turns `fast` times or more in `original` positions keeps its frequency, one that turns `slow` times or less
    has it divided by the factor, and in between 1 / (s / factor + 1 - s) with s rising linearly with the pair's number.
    """

    def pair_that_turns(times: float) -> float:
        return size * math.log(original / (times * 2 * math.pi)) / (2 * math.log(base))

    low, high = pair_that_turns(fast), pair_that_turns(slow)
    if truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, size - 1)
    width = 0.001 if low == high else high - low
    ramp = [min(max((pair - low) / width, 0.0), 1.0) for pair in range(size // 2)]
    return tuple(float32(1 / (s / factor + 1 - s)) for s in ramp)


def yarn_factor(factor: float, weight: float = 1.0) -> float:
    """What YaRN multiplies queries and keys with, each: 0.1 * weight * ln(factor) + 1."""
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0


def stored_divisors(values: np.ndarray) -> tuple[float, ...]:
    """Divisors that a file lists itself. Raises UnsupportedModelError for any below 1."""
    if float(values.min()) < 1:
        finding = Finding("option", f"a rotary divisor of {values.min()}", "divisors of at least 1")
        raise UnsupportedModelError([finding])
    return () if np.all(values == 1) else tuple(float(value) for value in values)


def refuse_unless(condition: bool, kind: str, name: str, needed: str) -> None:
    """Raise UnsupportedModelError naming what no layer program expresses, and what it would take."""
    if not condition:
        raise UnsupportedModelError([Finding(kind, name, needed)])


def float32(value: float) -> float:
    """The nearest float32: one file stores what is computed from another, and both must say the same."""
    return float(np.float32(value))
