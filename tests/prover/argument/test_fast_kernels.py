"""Eight-lane kernels of the argument against plain Python integers and the portable kernels."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from prover.argument import integer_sums, sumcheck_prover
from prover.argument.columns import LIMIT, Column, Equality, Repeated, repeated, whole
from prover.argument.lane_sources import MOST_COLUMNS
from prover.argument.multilinear import combine_tables
from prover.argument.sumcheck_prover import RunningTerm, Term, prove_sumcheck
from prover.argument.tape import Tape, TapeBuilder
from prover.argument.transcript import Transcript
from prover.field import arrays, ifma
from prover.field.arrays import MODULUS

pytestmark = pytest.mark.skipif(not ifma.AVAILABLE, reason="needs a CPU with AVX-512 IFMA")

LARGEST = (1 << 40) - 1


def _weights(count: int) -> list[int]:
    generator = random.Random(count)
    return [0, 1, MODULUS - 1, *(generator.randrange(MODULUS) for _ in range(count - 3))]


def _integers(shape: tuple[int, ...], largest: int) -> np.ndarray:
    values = np.random.default_rng(len(shape)).integers(-largest, largest, shape, endpoint=True)
    values.reshape(-1)[:3] = [-largest, largest, 0][: values.size]
    return values


def test_tables_of_unequal_lengths_combine() -> None:
    tables = [_integers((length,), LARGEST) for length in (64, 512, 8, 256, 512)]
    weights = _weights(len(tables))
    combined = arrays.to_ints(integer_sums.combine_integers(tables, weights, 512))
    for i, value in enumerate(combined):
        assert (
            value == sum(w * int(t[i]) for t, w in zip(tables, weights, strict=True) if i < len(t)) % MODULUS
        )


@pytest.mark.parametrize("axis", [0, 1])
def test_the_most_terms_at_their_largest_fit(axis: int) -> None:
    terms, kept = integer_sums.MOST_TERMS, 24
    matrix = np.full((terms, kept), LARGEST, dtype=np.int64)
    matrix[:, ::2] *= -1
    weights = [MODULUS - 1 - (k % 7) for k in range(terms)]
    bound = (
        integer_sums.bind_rows(matrix, weights)
        if axis == 0
        else integer_sums.bind_columns(np.ascontiguousarray(matrix.T), weights)
    )
    total = LARGEST * sum(weights)
    assert arrays.to_ints(bound) == [(-total if b % 2 == 0 else total) % MODULUS for b in range(kept)]


def test_what_does_not_suit_is_combined_all_the_same() -> None:
    large = np.full(16, 1 << 50, dtype=np.int64)
    short = np.array([5, -6, 7], dtype=np.int64)
    field = arrays.from_ints(range(16))
    assert not integer_sums.suits(large) and not integer_sums.suits(short)
    combined = arrays.to_ints(combine_tables([large, short, field], [3, MODULUS - 1, 2], 16))
    expected = [(3 << 50) + 2 * i - (int(short[i]) if i < 3 else 0) for i in range(16)]
    assert combined == [value % MODULUS for value in expected]


def _tape() -> Tape:
    """(c0 * c1 + 5 c2) * c3 - c0."""
    builder = TapeBuilder(4)
    c0, c1, c2, c3 = (builder.column(i) for i in range(4))
    inner = builder.add(builder.multiply(c0, c1), builder.multiply(builder.constant(5), c2))
    minus = builder.multiply(builder.constant(-1), c0)
    return builder.finish(builder.add(builder.multiply(inner, c3), minus))


@pytest.fixture
def portable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(ifma, "AVAILABLE", False)
        yield


def _rounds(variables: int) -> tuple[list[list[int]], list[list[int]]]:
    generator = random.Random(variables)
    size = 1 << variables
    field = [arrays.from_ints(generator.choices([0, 1, MODULUS - 1], k=size)) for _ in range(2)]
    field[1] = arrays.from_ints(generator.randrange(MODULUS) for _ in range(size))
    integers = _integers((size,), LIMIT - 1)
    integers[:: size // 4] = LIMIT - 1  # four that are bound together
    integers[1 :: size // 4] = 1 - LIMIT
    return _sent([field[0], integers, field[1], _integers((size,), 3)], variables)


def _sent(tables: list[Column], variables: int) -> tuple[list[list[int]], list[list[int]]]:
    columns = [arrays.to_ints(whole(table)) for table in tables]
    claim = sum((a * b + 5 * c) * d - a for a, b, c, d in zip(*columns, strict=True))
    result = prove_sumcheck([Term(tables, _tape())], variables + 2, 3, claim, Transcript("test"), "round")
    return result.rounds, result.values


@pytest.mark.parametrize("variables", [6, 9])
def test_lanes_send_what_the_portable_kernels_send(variables: int, request: pytest.FixtureRequest) -> None:
    assert 1 << variables >= sumcheck_prover._LANES_FROM
    fast = _rounds(variables)
    request.getfixturevalue("portable")
    assert _rounds(variables) == fast


@pytest.mark.parametrize("inner", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("variables", [6, 9])
def test_columns_that_are_never_made_whole_are_what_they_stand_for(
    variables: int, inner: int, request: pytest.FixtureRequest
) -> None:
    """In lanes and in the portable kernels, which have them whole."""
    size, generator = 1 << variables, random.Random(inner)
    tables: list[Column] = [
        Repeated(_integers((max(1, size >> (inner + 1)),), LIMIT - 1), inner, size),
        Repeated(np.array([5 - LIMIT, LIMIT - 1]), inner, size),
        Repeated(np.array([3 - LIMIT]), inner, size),
        Equality(tuple(generator.randrange(MODULUS) for _ in range(variables))),
    ]
    fast = _sent(tables, variables)
    assert _sent([whole(table) for table in tables], variables) == fast
    request.getfixturevalue("portable")
    assert _sent(tables, variables) == fast


@pytest.mark.parametrize("own", [(4, 2, 8), (1, 2, 8), (4, 1, 1), (1, 2, 1), (1, 1, 1), (4, 1, 8)])
def test_an_array_that_lacks_axes_repeats(own: tuple[int, ...]) -> None:
    """None if it lacks nothing, or an axis between others."""
    shape, array = (4, 2, 8), _integers(own, 9)
    found = repeated(array, shape)
    assert (found is None) == (own in (shape, (4, 1, 8)))
    if found is not None:
        assert arrays.to_ints(whole(found)) == [
            v % MODULUS for v in np.broadcast_to(array, shape).reshape(-1).tolist()
        ]


def test_a_term_has_one_equality_and_columns_that_can_be_summed() -> None:
    equality, integers = Equality((2,) * 6), _integers((64,), 9)
    with pytest.raises(ValueError, match="at most one"):
        _sent([equality, equality, equality, equality], 6)
    builder = TapeBuilder(MOST_COLUMNS + 1)
    tape = builder.finish(builder.multiply(builder.column(0), builder.column(1)))
    with pytest.raises(ValueError, match="at most 255 columns"):
        RunningTerm(Term([integers] * (MOST_COLUMNS + 1), tape))


def test_the_most_integers_at_their_largest_fit_one_form(request: pytest.FixtureRequest) -> None:
    """Sums of 255 columns with the largest coefficient, and of two pieces of each in the second round."""
    builder, signs = TapeBuilder(MOST_COLUMNS), (1, -1)
    total = builder.column(0)
    for column in range(1, MOST_COLUMNS):
        total = builder.add(total, builder.column(column))
    total = builder.multiply(builder.constant(-1), total)
    tape = builder.finish(builder.multiply(total, total))
    tables: list[Column] = [np.full(64, signs[k % 5 == 0] * (LIMIT - 1)) for k in range(MOST_COLUMNS)]
    claim = 64 * sum(int(np.asarray(table)[0]) for table in tables) ** 2

    def sent() -> list[list[int]]:
        return prove_sumcheck([Term(tables, tape)], 6, 2, claim, Transcript("test"), "round").rounds

    fast = sent()
    request.getfixturevalue("portable")
    assert sent() == fast
