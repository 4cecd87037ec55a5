"""Which steps an audit names, and how likely it is that a substitution is among them.

`count` different steps are drawn one after the other, each with a probability that is proportional to its weight p_s among
those that are left. An exponential race does the same at once: step s arrives at -ln(u_s) / p_s, and the first `count` are
taken, where u_s in (0, 1] is keccak256(seed ‖ s). Whoever fixes the seed after the answer was committed fixes the steps.

Every p_s has a uniform part: a step that is never drawn is a step that anybody may substitute.

The head's items are pairs of a tile and a window. One false token makes exactly one pair false or more, and which of them was the
liar's choice when the answer was committed, so pairs are drawn all alike, or all of them are named.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from eth_hash.auto import keccak

from ..errors import BadInputError, UsageError

UNIFORM, FISHER, MIXED = "uniform", "fisher", "mixed"
STRATEGIES = (UNIFORM, FISHER, MIXED)
_UNIFORM_PART = {UNIFORM: 1.0, FISHER: 0.0, MIXED: 0.5}
_NODES = 128  # of the quadrature; errors are far below a rounded per cent


class AuditPlanError(UsageError):
    """An audit that cannot be planned."""


def weights(strategy: str, shares: Sequence[float]) -> tuple[float, ...]:
    """p_s = part / steps + (1 - part) * shares[s], with part 1, 0 and 1/2 for uniform, Fisher and mixed; they sum to 1.

    shares: each step's part of the Fisher information. Raises AuditPlanError for an unknown strategy.
    """
    if strategy not in STRATEGIES:
        raise AuditPlanError(f"there is no strategy {strategy!r}; use one of {', '.join(STRATEGIES)}")
    part = _UNIFORM_PART[strategy]
    return tuple(part / len(shares) + (1 - part) * share for share in shares)


def draw(seed: bytes, weights: Sequence[float], count: int) -> tuple[int, ...]:
    """The steps that a seed of 32 bytes names, in increasing order. Raises BadInputError and AuditPlanError."""
    if len(seed) != 32:
        raise BadInputError(f"a seed has 32 bytes, not {len(seed)}")
    possible = [step for step, weight in enumerate(weights) if weight > 0]
    _check_budget(count, len(possible))
    return tuple(
        sorted(sorted(possible, key=lambda step: (_arrival(seed, step, weights[step]), step))[:count])
    )


def draw_tiles(seed: bytes, tiles: int, windows: range, count: int) -> tuple[tuple[int, int], ...]:
    """The pairs (tile, window) of the head that a seed names: `count` different ones, all alike, those of one window together.

    windows: with a row that an output token follows. Raises BadInputError and AuditPlanError.
    """
    pairs = tiles * len(windows)
    if not 0 <= count <= pairs:
        raise AuditPlanError(f"{count} tiles of the head are not possible; name a number in 0..{pairs}")
    if count == 0:
        return ()
    places = draw(keccak(seed + b"head"), weights(UNIFORM, [1 / pairs] * pairs), count)
    return tuple((place % tiles, windows[place // tiles]) for place in places)


def tiles_caught(pairs: int, false: int, count: int) -> float:
    """The probability that one of `count` drawn pairs is among the `false` ones: 1 - C(pairs - false, count) / C(pairs, count)."""
    return 1 - math.comb(pairs - false, count) / math.comb(pairs, count)


def caught(weights: Sequence[float], substituted: Collection[int], count: int) -> float:
    """The probability that at least one of `count` drawn steps is among those that were substituted.

        1 - integral over u in (0, 1) of P(at least `count` other steps have arrived by t),  t = -ln(1 - u) / P

    P is the weight of the substituted steps together, so that the first of them arrives at t with density du. By then
    step s has arrived with probability 1 - exp(-p_s t), independently of the others.
    """
    total = math.fsum(weights[step] for step in substituted)
    others = np.array([w for step, w in enumerate(weights) if step not in set(substituted) and w > 0])
    _check_budget(count, len(others) + len(substituted))
    if total == 0:
        return 0.0
    if count > len(others):
        return 1.0
    nodes, widths = np.polynomial.legendre.leggauss(_NODES)
    # u = 1 - s^4: most of a small P lies where u is near 1, which plain nodes would miss.
    s = (nodes + 1) / 2
    instant = -4 * np.log(s) / total
    arrived = np.zeros((_NODES, count))  # [node, k]: probability that exactly k < count others have arrived
    arrived[:, 0] = 1.0
    for weight in others:
        now = -np.expm1(-weight * instant)[:, None]
        shifted = np.pad(arrived[:, :-1], ((0, 0), (1, 0)))
        arrived = arrived * (1 - now) + shifted * now
    missed = 1 - arrived.sum(axis=1)
    return float(1 - (missed * 4 * s**3 * widths / 2).sum())


def _arrival(seed: bytes, step: int, weight: float) -> float:
    number = int.from_bytes(keccak(seed + step.to_bytes(32, "big")), "big")
    return -math.log((number + 1) / 2**256) / weight


def _check_budget(count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise AuditPlanError(f"an audit of {count} steps is not possible; name a budget in 1..{most}")
