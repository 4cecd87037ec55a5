"""Rotary tables: scaled frequencies, and two tables of which the step key selects one."""

from __future__ import annotations

from decimal import Decimal, getcontext
from fractions import Fraction
from math import floor

import numpy as np
import pytest

from prover.operators import rotary
from prover.operators.rotary import Rotary, RotaryTable
from prover.relations import Along

from .statements import OperatorCase, surviving_changes, violations

SIZE, POSITIONS = 6, 4
DIVISORS = (1.0, 2.5, 8.0)
LOCAL = RotaryTable(100, SIZE, 2, 3, prefix="local_")
GLOBAL = RotaryTable(10_000, SIZE, 2, 3, DIVISORS, prefix="global_")
X = np.random.default_rng(2).integers(-15_000, 15_000, (POSITIONS, SIZE))


def case(kind: int) -> OperatorCase:
    operator = Rotary(
        "x", "y", ("row", "head_channel"), (Along("row"),), (LOCAL, GLOBAL), 16, selector="layer_kind"
    )
    sizes = {"head_channel": SIZE, "position": POSITIONS}
    return OperatorCase((operator,), sizes, {"x": (("row", "head_channel"), X)}, {}, {"layer_kind": kind})


def rotated(table: RotaryTable) -> np.ndarray:
    """In floating point."""
    divisors = np.array(table.divisors or (1.0,) * (SIZE // 2))
    angle = np.arange(POSITIONS)[:, None] * table.base ** (-np.arange(0, SIZE, 2) / SIZE) / divisors
    even, odd = X[:, 0::2], X[:, 1::2]
    pairs = (even * np.cos(angle) - odd * np.sin(angle), even * np.sin(angle) + odd * np.cos(angle))
    return np.stack(pairs, -1).reshape(X.shape)


@pytest.mark.parametrize(("kind", "table"), [(1, LOCAL), (2, GLOBAL)])
def test_the_step_key_selects_the_table(kind: int, table: RotaryTable) -> None:
    """Products with tables of 14 fraction bits: two rounded factors and one rounded sum."""
    assert np.abs(case(kind).run()["y"] - rotated(table)).max() < 0.5 + 2 * 15_000 / 2**15


@pytest.mark.parametrize("kind", [1, 2])
def test_both_readers_compute_the_same_and_nothing_can_be_changed(kind: int) -> None:
    made = case(kind)
    witness = made.witness()
    assert np.array_equal(witness["y"][:, :SIZE], made.run()["y"])
    assert violations(made, witness) == []
    assert surviving_changes(made.checker(witness), made.program, witness) == []


def test_the_other_kinds_rotation_is_noticed() -> None:
    local, other = case(1), case(2)
    assert violations(local, other.witness()) == ["y"]


def test_a_divisor_slows_its_pair_alone() -> None:
    plain = RotaryTable(10_000, SIZE, 2, 3)
    slowed = RotaryTable(10_000, SIZE, 2, 3, (1.0, 1.0, 2.0))
    assert np.array_equal(plain.cosine()[:, :4], slowed.cosine()[:, :4])
    assert np.array_equal(plain.signed_sine()[1, 4:6], slowed.signed_sine()[2, 4:6])


PART = RotaryTable(100, SIZE, 2, 3, (1.0, 2.5), rotated=4, factor=1.3)
NONE = RotaryTable(10_000, SIZE, 2, 3, prefix="other_", rotated=0)


@pytest.mark.parametrize("kind", [1, 2])
def test_a_head_may_turn_in_part_with_a_factor_or_not_at_all(kind: int) -> None:
    """The same operator and relations: what does not turn has cosine 1 and sine 0, to the bit."""
    operator = Rotary("x", "y", ("row", "head_channel"), (Along("row"),), (PART, NONE), 16, selector="kind")
    sizes = {"head_channel": SIZE, "position": POSITIONS}
    x = X // 2
    made = OperatorCase((operator,), sizes, {"x": (("row", "head_channel"), x)}, {}, {"kind": kind})
    found = made.run()["y"]
    assert np.array_equal(found[:, 4:], x[:, 4:]) and (kind == 1) != np.array_equal(found, x)
    if kind == 1:
        angle = np.arange(POSITIONS)[:, None] * 100.0 ** (-np.arange(0, 4, 2) / 4) / np.array([1.0, 2.5])
        even, odd, c, s = x[:, 0:4:2], x[:, 1:4:2], 1.3 * np.cos(angle), 1.3 * np.sin(angle)
        turned = np.stack((even * c - odd * s, even * s + odd * c), -1).reshape(POSITIONS, 4)
        assert np.abs(found[:, :4] - turned).max() < 0.5 + 2 * 7_500 / 2**15
    witness = made.witness()
    assert np.array_equal(witness["y"][:, :SIZE], found)
    assert violations(made, witness) == []
    assert surviving_changes(made.checker(witness), made.program, witness) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotated": 3}, "3 rotated channels of 6"),
        ({"rotated": 8}, "8 rotated channels of 6"),
        ({"rotated": -2}, "-2 rotated channels"),
        ({"rotated": 4, "divisors": (1.0, 1.0, 1.0)}, "3 rotary divisors for 2 pairs"),
        ({"factor": 0.0}, r"factor of 0\.0 is not in"),
        ({"factor": 16.5}, r"factor of 16\.5 is not in"),
    ],
)
def test_a_part_that_is_no_part_is_refused(options: dict[str, object], message: str) -> None:
    RotaryTable(2, SIZE, 2, 3, rotated=SIZE, factor=16.0)
    with pytest.raises(ValueError, match=message):
        RotaryTable(100, SIZE, 2, 3, **options)  # type: ignore[arg-type]


def test_the_smallest_base_and_divisors_are_accepted() -> None:
    RotaryTable(2, 6, 2, 3, (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10_000, 5, 2, 3), "odd"),
        ((10_000, 6, 2, 3, (1.0,)), "1 rotary divisors for 3 pairs"),
        ((10_000, 6, 2, 3, (1.0, 1.0, 0.5)), "at least 1"),
        ((1, 6, 2, 3), "at least 2"),
    ],
)
def test_impossible_tables_are_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RotaryTable(*arguments)  # type: ignore[arg-type]


def test_tables_and_selector_go_together() -> None:
    with pytest.raises(ValueError, match="do not fit together"):
        Rotary("x", "y", ("row", "head_channel"), (Along("row"),), (LOCAL, GLOBAL), 16)


@pytest.mark.parametrize(
    "table",
    [
        RotaryTable(10_000, 16, 9, 5, factor=1.1386294361119891),
        RotaryTable(7, 10, 8, 4, rotated=6, divisors=(1.0, 2.5, 8.0)),
        RotaryTable(2, 4, 11, 2, factor=1 + 2**-15),  # cos 0 lies on a half
        RotaryTable(100_000, 8, 0, 3),
    ],
    ids=["factor", "divisors", "half", "one position"],
)
@pytest.mark.parametrize("doubtful", [None, 2.0], ids=["doubles", "integers alone"])
def test_tables_are_those_of_one_rotation_after_the_other(
    table: RotaryTable, doubtful: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rotated in integers by one position after the other, and rounded: what doubles decide, and what they leave to integers."""
    if doubtful:
        monkeypatch.setattr(rotary, "_DOUBTFUL", doubtful)
    rotary._rotary_tables.cache_clear()
    cosine, sine = rotary._rotary_tables(table)
    rotary._rotary_tables.cache_clear()
    getcontext().prec = 60
    for pair in range(table.turning // 2):
        angle = Decimal(table.base) ** (Decimal(-2 * pair) / Decimal(table.turning))
        if table.divisors:
            angle /= Decimal(table.divisors[pair])
        unit, rotation = rotary._cos_sin_fixed(angle, 120), (1 << 120, 0)
        scale = Fraction(table.factor) * (1 << rotary.ROTARY_SCALE) / (1 << 120)
        for position in range(1 << table.position_bits):
            rounded = [floor(part * scale + Fraction(1, 2)) for part in rotation]
            assert list(cosine[position, 2 * pair : 2 * pair + 2]) == 2 * [rounded[0]]
            assert list(sine[position, 2 * pair : 2 * pair + 2]) == [-rounded[1], rounded[1]]
            rotation = rotary._turned(rotation, unit)
