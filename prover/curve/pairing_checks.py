"""Pairing checks as verifiers make them: the first ones of a process in Python integers, all others compiled.

A check takes 0.1 s of the processor in integers and 2 ms compiled, but the kernels of the tower take 0.4 s to be loaded: a
program that verifies one proof is done before that.
"""

from collections.abc import Sequence
from itertools import count

from . import plain_pairing
from .g1 import Point
from .g2 import PointG2

_PLAIN = 2
_made = count()


def pairing_check(pairs: Sequence[tuple[Point, PointG2]]) -> bool:
    """Whether the product of the pairings is one; raises a PointError for invalid points."""
    if next(_made) < _PLAIN:
        return plain_pairing.pairing_check(pairs)
    from . import pairing

    return pairing.pairing_check(pairs)


__all__ = ["pairing_check"]
