"""How a disputed range of steps is cut into parts, and what a game keeps of the boundaries at the cuts."""

from __future__ import annotations

from collections.abc import Sequence

from eth_hash.auto import keccak

#: Parts per group of a list of boundary hashes, as in `Boundary.sol`.
GROUP = 10


def part_count(steps: int, arity: int) -> int:
    """m of `cuts`: n steps at once where they are at most `arity`; where two rounds are needed and are enough, the smallest
    power of two with m^2 >= n, so that both together show few boundaries; never more than `arity`."""
    if steps < 1 or arity < 2:
        raise ValueError(f"A range of {steps} steps cannot be cut into {arity} parts.")
    if steps <= arity:
        return steps
    parts = 2
    while parts < arity and parts * parts < steps:
        parts *= 2
    return min(parts, arity)


def cuts(range_start: int, range_end: int, arity: int) -> list[int]:
    """Step numbers of the cuts of range_start .. range_end-1, both ends included.

    n steps make m parts (`part_count`); part i ends at range_start + floor(n (i + 1) / m).
    """
    steps = range_end - range_start
    parts = part_count(steps, arity)
    return [range_start + steps * i // parts for i in range(parts + 1)]


def boundaries_hash(boundaries: Sequence[bytes]) -> bytes:
    """keccak256 of the boundary hashes one after another: all that a game keeps of the one or two that it was narrowed to."""
    return keccak(b"".join(boundaries))


def groups(boundaries: Sequence[bytes]) -> list[Sequence[bytes]]:
    """The groups of a posted list: group j holds both ends of the parts GROUP j .. GROUP (j + 1) - 1, the last one what is left."""
    parts = len(boundaries) - 1
    return [boundaries[start : min(start + GROUP, parts) + 1] for start in range(0, parts, GROUP)]


def group_hashes(boundaries: Sequence[bytes]) -> list[bytes]:
    """keccak256 of every group."""
    return [boundaries_hash(group) for group in groups(boundaries)]


def list_hash(boundaries: Sequence[bytes]) -> bytes:
    """What a game keeps of a posted list: keccak256 of the hashes of its groups."""
    return boundaries_hash(group_hashes(boundaries))


def rounds_at_most(step_count: int, arity: int) -> int:
    """Bisection rounds until every part is a single step, in the longest game."""
    rounds, steps = 0, step_count
    while steps > 1:
        steps = -(-steps // part_count(steps, arity))
        rounds += 1
    return max(rounds, 1)
