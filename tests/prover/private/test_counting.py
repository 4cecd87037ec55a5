"""Masks of evaluations and rounds, counted: every mask over fields of 3 and 5 elements, with the project's own masks.

Each transcript comes up exactly once whatever the witness is, so nothing can be learnt from it; without the masks of
evaluations, or without those of rounds, the transcripts of two witnesses hardly meet.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from prover import masks as mask_module
from prover.argument import round_masks
from prover.argument.round_masks import RoundMasks, quadratics
from prover.masks import MaskLayout, Masks

Array = np.ndarray


@pytest.fixture(params=[5, 3])
def field(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The order of the field, for everything that the masks compute."""
    order = int(request.param)
    monkeypatch.setattr(round_masks, "MODULUS", order)
    monkeypatch.setattr(mask_module, "MODULUS", order)
    monkeypatch.setattr(mask_module, "HALF", pow(2, -1, order))
    return order


@dataclass(frozen=True)
class Poly:
    """A polynomial in one variable; the field's order is taken where `% order` is."""

    coefficients: tuple[int, ...]

    def _plus(self, other: object, sign: int) -> Poly:
        theirs = other.coefficients if isinstance(other, Poly) else (other,)
        pairs = itertools.zip_longest(self.coefficients, theirs, fillvalue=0)
        return Poly(tuple(a + sign * b for a, b in pairs))  # type: ignore[operator]

    def __add__(self, other: object) -> Poly:
        return self._plus(other, 1)

    __radd__ = __add__

    def __sub__(self, other: object) -> Poly:
        return self._plus(other, -1)

    def __rsub__(self, other: object) -> Poly:
        return (self * -1)._plus(other, 1)

    def __mul__(self, other: object) -> Poly:
        theirs = other.coefficients if isinstance(other, Poly) else (other,)
        result = [0] * (len(self.coefficients) + len(theirs) - 1)
        for (i, a), (j, b) in itertools.product(enumerate(self.coefficients), enumerate(theirs)):
            result[i + j] += a * b  # type: ignore[operator]
        return Poly(tuple(result))

    __rmul__ = __mul__

    def __mod__(self, order: int) -> Poly:
        return Poly(tuple(c % order for c in self.coefficients))

    def at(self, x: int) -> int:
        return sum(c * x**k for k, c in enumerate(self.coefficients))


X = Poly((0, 1))
ONE_MINUS_X = Poly((1, -1))


def columns(lows: Sequence[int], highs: Sequence[int], masks: Sequence[int]) -> list[Poly]:
    """Columns of the last round as polynomials, by the prover's own function."""
    return quadratics(lows, highs, masks)(X)  # type: ignore[arg-type, return-value]


def every(order: int, count: int) -> Array:
    """(count, order^count): all lists of field elements."""
    return np.array(list(itertools.product(range(order), repeat=count)), dtype=np.int64).T


def univariates(degrees: Sequence[int], grids: Sequence[Array]) -> list[list[Array]]:
    """g_i for all their coefficients at once, from Masks itself."""
    layout = MaskLayout(0, degrees[0], degrees[-1], 0)
    drawn = Masks(layout, [], [list(grid) for grid in grids], ({}, {}))
    return [drawn.round_values(index) for index in range(len(degrees))]  # type: ignore[misc]


def sent(
    order: int, polynomial: Poly, mask: Sequence[Array], claim: Array | int
) -> tuple[list[Array], list[Array]]:
    """(what a round sends, its coefficients). The linear coefficient is not sent: the claim must fix it."""
    degree = len(mask) - 1
    padded = [*polynomial.coefficients, *[0] * (degree + 1)]
    assert not any(c % order for c in padded[degree + 1 :]), "the round's degree is too low for its columns"
    total = [(m + c) % order for m, c in zip(mask, padded, strict=False)]
    linear = (claim - 2 * total[0] - sum(total[2:])) % order
    assert ((linear - total[1]) % order == 0).all(), "s(0) + s(1) is not the claim"
    return [total[0], *total[2:]], total


def codes(order: int, messages: Iterable[Array | int], size: int) -> Array:
    """Each transcript as one number."""
    return sum(np.broadcast_to(m, size) * order**place for place, m in enumerate(messages))  # type: ignore[return-value]


def distance(left: Array, right: Array) -> float:
    """Total variation between two lists of transcripts of equal length."""
    values, counts = np.unique(np.concatenate([left, right]), return_counts=True)
    of_left = dict(zip(*np.unique(left, return_counts=True), strict=True))
    return (
        float(sum(abs(2 * of_left.get(v, 0) - c) for v, c in zip(values, counts, strict=True)))
        / 2
        / len(left)
    )


# --- one variable: degree 3, columns that are sent and opened, a domain without variables -----------------------


def one_round(
    order: int, witness: Sequence[Sequence[int]], challenges: Sequence[int], *, m: bool, g: bool
) -> Array:
    """eq(rho, x) (H a b - c) and, without variables, alpha (1 - x) (d^2 - e); a, b, d are sent. All transcripts."""
    a, b, h, (d, _) = witness
    rho, alpha, r = challenges
    c = [x * y * z % order for x, y, z in zip(a, b, h, strict=True)]
    e = d * d % order
    degree = 1 + 1 + 2 + 2
    grid = every(order, degree) if g else np.zeros((degree, 1), np.int64)
    found = []
    for masks in itertools.product(range(order), repeat=3) if m else [(0, 0, 0)]:
        lows, highs = (a[0], b[0], h[0], c[0], d), (a[1], b[1], h[1], c[1], d)
        A, B, H, C, D = columns(lows, highs, (masks[0], masks[1], 0, 0, masks[2]))
        eq = Poly((1 - rho, 2 * rho - 1))
        total = (eq * (H * A * B - C) + alpha * (ONE_MINUS_X * (D * D - e))) % order
        mask = RoundMasks(alpha * alpha, univariates([degree], [grid])).coefficients(0)
        message, _ = sent(order, total, mask, 0)
        found.append(codes(order, [*message, *(v.at(r) % order for v in (A, B, D))], grid.shape[1]))
    return np.concatenate(found)


WITNESSES = (
    ((1, 2), (3, 4), (2, 2), (1, 1)),
    ((0, 4), (1, 1), (3, 0), (3, 3)),
    ((0, 0), (0, 0), (0, 0), (0, 0)),
)


@pytest.mark.parametrize("field", [5], indirect=True)
def test_one_round_of_five_elements(field: int) -> None:
    _check(field, lambda w, **k: one_round(field, w, (3, 2, 2), **k), WITNESSES, 5**9)


# --- two variables: front padding, an earlier round ---------------------------------------------------------------


def two_rounds(
    order: int, witness: Sequence[Sequence[int]], challenges: Sequence[Sequence[int]], *, m: bool, g: bool
) -> Array:
    """eq(rho, x) (a b - c) on the square; alpha eq (d^2 - e) on its last variable, padded in front; a, b, d are sent."""
    a, b, d = witness
    (rho1, rho2), (alpha, _), (r1, r2) = challenges
    c, e = [x * y % order for x, y in zip(a, b, strict=True)], [x * x % order for x in d]
    degrees = [3, 5]
    grids = [every(order, n) if g else np.zeros((n, 1), np.int64) for n in degrees]
    shape = (grids[0].shape[1], grids[1].shape[1])
    grids = [
        np.broadcast_to(grids[0][:, :, None], (3, *shape)).reshape(3, -1),
        np.broadcast_to(grids[1][:, None, :], (5, *shape)).reshape(5, -1),
    ]

    def line(values: Sequence[int], x2: int) -> Poly:
        return Poly((values[x2], values[2 + x2] - values[x2]))

    first = Poly((0,))
    for x2 in (0, 1):
        weight = rho2 if x2 else 1 - rho2
        eq = Poly((1 - rho1, 2 * rho1 - 1)) * weight
        first = first + eq * (line(a, x2) * line(b, x2) - line(c, x2))
        first = first + ONE_MINUS_X * (alpha * weight * (d[x2] ** 2 - e[x2]))
    found = []
    for masks in itertools.product(range(order), repeat=3) if m else [(0, 0, 0)]:
        rounds = RoundMasks(alpha * alpha, univariates(degrees, grids))
        message1, total1 = sent(order, first % order, rounds.coefficients(0), 0)
        claim = sum(t * r1**k for k, t in enumerate(total1)) % order
        rounds.bind(0, r1)
        bound = [(v[x2] + r1 * (v[2 + x2] - v[x2])) % order for v in (a, b, c) for x2 in (0, 1)]
        A, B, C, D, E = columns(
            (bound[0], bound[2], bound[4], d[0], e[0]),
            (bound[1], bound[3], bound[5], d[1], e[1]),
            (masks[0], masks[1], 0, masks[2], 0),
        )
        eq2 = Poly((1 - rho2, 2 * rho2 - 1))
        front = 1 - rho1 - r1 + 2 * rho1 * r1
        last = (front * (eq2 * (A * B - C)) + alpha * (1 - r1) * (eq2 * (D * D - E))) % order
        message2, _ = sent(order, last, rounds.coefficients(1), claim)
        values = (v.at(r2) % order for v in (A, B, D))
        found.append(codes(order, [*message1, *message2, *values], grids[0].shape[1]))
    return np.concatenate(found)


SQUARES = (
    ((1, 2, 0, 1), (2, 2, 1, 0), (1, 2)),
    ((0, 0, 0, 0), (0, 0, 0, 0), (0, 0)),
    ((2, 2, 2, 1), (1, 1, 0, 1), (0, 1)),
)


@pytest.mark.parametrize("field", [3], indirect=True)
def test_two_rounds_of_three_elements(field: int) -> None:
    challenges = ((2, 1), (2, 0), (2, 2))
    _check(field, lambda w, **k: two_rounds(field, w, challenges, **k), SQUARES, 3**11)


def _check(
    order: int, transcripts: Callable[..., Array], witnesses: Sequence[Sequence[Sequence[int]]], count: int
) -> None:
    for witness in witnesses:
        found = transcripts(witness, m=True, g=True)
        assert len(found) == count
        assert (np.bincount(found, minlength=count) == 1).all(), "some transcript comes up twice, or never"
    for without in ({"m": False, "g": True}, {"m": True, "g": False}):
        first, second = (transcripts(witness, **without) for witness in witnesses[:2])
        assert distance(first, second) > 0.7, f"{without}: a mask that is not needed"


@pytest.mark.parametrize("field", [5, 3], indirect=True)
def test_g_sums_to_zero_whatever_is_committed(field: int) -> None:
    """So the claim of the first round stays zero without anything being sent."""
    grid = every(field, 3)
    for coefficients in univariates([3], [grid]):
        assert ((2 * coefficients[0] + sum(coefficients[1:])) % field == 0).all()
