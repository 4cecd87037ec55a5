"""``sum_i k_i P_i`` of a few points: the first ones of a process in Python integers, all others compiled.

A sum takes 20 ms in integers and 1 ms compiled, but the kernels take 0.3 s to be loaded: a program that verifies one proof is
done before that, as with pairing checks (pairing_checks.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from . import plain_sums
from .g1 import Point

_PLAIN, _FEW = 4, 128
"""How many sums, of at most how many points: those of one proof."""
_made = count()


class ScalarCountError(ValueError):
    """The numbers of points and scalars differ."""


def combine(points: Sequence[Point], scalars: Sequence[int]) -> Point:
    """``sum_i k_i P_i`` for Python points, which must be on the curve, and integers modulo r."""
    if len(points) != len(scalars):
        raise ScalarCountError(f"{len(points)} points but {len(scalars)} scalars: pass one scalar per point")
    if len(points) <= _FEW and next(_made) < _PLAIN:
        return plain_sums.combine(points, scalars)
    from .msm import msm_points

    return msm_points(points, scalars)
