"""Public tables: what their rows are, that closed forms are the extensions of their rows, and that no two mix."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prover.field.arrays import MODULUS
from prover.operators.exponential import DIGIT, FAR, LARGEST_DISTANCE, LARGEST_HIDDEN_DISTANCE, Exponential
from prover.operators.inverse_root import ROOT_LIMBS, SLACK_LIMBS, _limb_weights
from prover.operators.rotary import RotaryTable
from prover.operators.rounding import RANGE_TABLE
from prover.relations import Bits, Constant
from prover.tables import (
    ACTIVATION_TAG,
    EXPONENTIAL_TAG,
    RANGE_BITS,
    CausalMask,
    ClosedForm,
    Counter,
    RangeTag,
    RangeValue,
    Weighted,
    activation_table,
    exponential_table,
)

CLOSED_FORMS: list[tuple[ClosedForm, tuple[int, ...], dict[str, int]]] = [
    (RangeTag(), (5,), {}),
    (RangeValue(), (5,), {}),
    (Counter(), (4,), {}),
    (Counter(offset=-8), (4,), {}),
    (Weighted((3, -5, 1 << 200, 7)), (2,), {}),
    *((CausalMask(), (2, 4), {"window": window}) for window in range(4)),
    (CausalMask(), (3, 3), {"window": 0}),
]


def _extension(values: np.ndarray, coordinates: list[int]) -> int:
    """The multilinear extension of a flat table, straight from its definition."""
    total = 0
    for index, value in enumerate(values.reshape(-1).tolist()):
        weight = int(value)
        for position, coordinate in enumerate(coordinates):
            bit = index >> (len(coordinates) - 1 - position) & 1
            weight = weight * (coordinate if bit else 1 - coordinate) % MODULUS
        total += weight
    return total % MODULUS


@pytest.mark.parametrize(("form", "widths", "publics"), CLOSED_FORMS)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_a_closed_form_is_the_extension_of_its_rows(
    form: ClosedForm, widths: tuple[int, ...], publics: dict[str, int], data: st.DataObject
) -> None:
    elements = st.integers(0, MODULUS - 1) | st.integers(0, 1)
    points = [[data.draw(elements) for _ in range(width)] for width in widths]
    expected = _extension(form.values(widths, publics), [x for point in points for x in point])
    assert form.evaluate(points, publics, MODULUS) == expected


# --- rows -----------------------------------------------------------------------------------------------------


def test_the_range_table_has_every_value_of_every_width_and_no_other() -> None:
    """Row 2^k + v is (k, v) for v < 2^k, k = 0 .. 16; row 0 repeats row 1."""
    bits = RANGE_TABLE.width.resolve(5)
    rows = list(zip(RangeTag().values((bits,), {}), RangeValue().values((bits,), {}), strict=True))
    assert rows[0] == rows[1] == (0, 0)
    assert rows[1:] == [(k, v) for k in range(RANGE_BITS + 1) for v in range(1 << k)]
    assert RANGE_TABLE.second == Constant(0)


def test_the_causal_mask_hides_what_comes_after_a_row() -> None:
    for window in range(4):
        mask = CausalMask().values((5, 7), {"window": window})
        assert mask.tolist() == [[int(seen > 32 * window + row) for seen in range(128)] for row in range(32)]


def test_no_two_tables_share_a_tag() -> None:
    """Tags of ranges are their widths."""
    tags = [*range(RANGE_BITS + 1), ACTIVATION_TAG, EXPONENTIAL_TAG]
    assert len(set(tags)) == len(tags)


def test_limb_weights_are_powers_of_2_16_in_places_of_their_own() -> None:
    root, below, above = (
        _limb_weights(start, count).weights
        for start, count in (
            (0, ROOT_LIMBS),
            (ROOT_LIMBS, SLACK_LIMBS),
            (ROOT_LIMBS + SLACK_LIMBS, SLACK_LIMBS),
        )
    )
    assert root == (1, 1 << 16, *[0] * 14)
    assert below == (0, 0, *(1 << 16 * i for i in range(7)), *[0] * 7)
    assert above == (*[0] * 9, *(1 << 16 * i for i in range(7)))


# --- functions, against decimal arithmetic ----------------------------------------------------------------------


def _half_up(value: Decimal) -> int:
    return int((value + Decimal("0.5")).to_integral_value(ROUND_FLOOR))


def test_the_exponential_table_is_exactly_rounded() -> None:
    """round(65535 exp(-z / 2^12)) for z < 2^16, then zeros. The lookup universe has the first half."""
    table = exponential_table()
    assert table.shape == (1 << 17,)
    assert not table[1 << 16 :].any()
    _, looked_up = Exponential((), Constant(0)).tables()
    assert looked_up.width.resolve(5) == 16
    with localcontext() as context:
        context.prec = 50
        for z in (*range(200), *range(200, 1 << 16, 61), (1 << 16) - 1):
            assert table[z] == _half_up(65535 * (Decimal(-z) / 4096).exp()), z


def test_no_entry_of_the_exponential_table_is_near_a_half() -> None:
    """So doubles round every entry right. Powers of exp(-1 / 2^12) with 96 bits, wrong by less than 2^-78 at the end."""
    table, one, least = exponential_table().tolist(), 1 << 96, 1 << 96
    with localcontext() as context:
        context.prec = 50
        step = int((Decimal(-1) / 4096).exp() * one)
    value = one
    for z in range(1 << 16):
        entry, rest = divmod(65535 * value + (one >> 1), one)
        assert table[z] == entry, z
        least = min(least, rest, one - rest)
        value = value * step >> 96
    assert least > one >> 16


def test_what_is_far_has_no_weight() -> None:
    """high > 0 stands for z = low + 2^14 high and makes the weight zero: it must be zero in the table for that z, and there must
    be digits for every z. Entries never rise, so z is at least as far as low."""
    table = exponential_table().tolist()
    assert table == sorted(table, reverse=True)
    first_zero = table.index(0)
    assert first_zero == 48_266 and first_zero + FAR <= DIGIT
    weights = Exponential((), Constant(0))
    distances = np.array(
        [0, 1, first_zero, DIGIT - 1, DIGIT, DIGIT + FAR - 1, DIGIT + FAR, 1 << 30, LARGEST_DISTANCE]
    )
    tensors: dict[str, np.ndarray] = {}
    visible = weights.witness(tensors, distances, np.zeros_like(distances))
    high, low = tensors["distance_high"], tensors["distance_low"]
    assert (low + FAR * high == distances).all() and (low >= 0).all() and (low < DIGIT).all()
    assert (high >= 0).all() and (high < 1 << RANGE_BITS).all() and not (high * visible).any()
    assert visible.tolist() == [table[z] if z < DIGIT else 0 for z in distances.tolist()]
    assert all(table[digit] == weight for digit, weight in zip(low.tolist(), visible.tolist(), strict=True))
    distances[-1] = LARGEST_HIDDEN_DISTANCE
    assert not weights.witness(tensors, distances, np.ones_like(distances)).any()
    high, low = tensors["distance_high"], tensors["distance_low"]
    assert (low + DIGIT * high == distances).all() and (low < DIGIT).all() and (high < 1 << RANGE_BITS).all()


@pytest.mark.parametrize(("bits", "scale"), [(18, 9), (12, 9), (10, 5), (6, 0)])
def test_the_activation_table_is_exactly_rounded(bits: int, scale: int) -> None:
    """round(2^scale silu(g / 2^scale)) for -2^(bits - 1) <= g < 2^(bits - 1)."""
    table, half = activation_table("silu", bits, scale, scale), 1 << (bits - 1)
    assert table.shape == (1 << bits,)
    with localcontext() as context:
        context.prec = 50
        step = max(1, (1 << bits) // 1500)
        for g in (*range(-half, half, step), *range(max(-half, -40), min(half, 40)), half - 1):
            x = Decimal(g) / (1 << scale)
            assert table[g + half] == _half_up((1 << scale) * x / (1 + (-x).exp())), g


def test_rotary_tables_are_exactly_rounded() -> None:
    """2^14 cos and sin of position * base^(-2i / size); the sine is negative on even channels."""
    size, positions = 8, 64
    table = RotaryTable(10_000, size, 6, 3)
    cosine, sine = table.cosine(), table.signed_sine()
    angles = np.arange(positions)[:, None] * 10_000.0 ** (-2 * (np.arange(size) // 2) / size)[None, :]
    sign = np.where(np.arange(size) % 2, 1, -1)
    assert np.abs(cosine - 2**14 * np.cos(angles)).max() <= 0.5 + 1e-9
    assert np.abs(sine - sign * 2**14 * np.sin(angles)).max() <= 0.5 + 1e-9


# --- widths -----------------------------------------------------------------------------------------------------


def test_widths_add_subtract_and_resolve() -> None:
    one, other = Bits(3, 1), Bits(5, 2)
    assert one + other == Bits(8, 3)
    assert other - one == Bits(2, 1)
    assert (Bits(3, 2).resolve(7), Bits(3).resolve(7), Bits().resolve(7)) == (17, 3, 0)
