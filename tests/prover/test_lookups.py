"""Row numbers of lookups, and inverse columns made and committed by row number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import prover.prove
from prover.argument.commitment import commit_field
from prover.field import arrays
from prover.lookups import RowView, Universe, commit_inverse_chunk, inverse_column
from prover.prove import StatementFalseError, prove

from .statements import proven, public_statement, srs

BETA, GAMMA = 0x1234567, 0x89ABCDEF


def _view(*rows: tuple[int, int, int]) -> RowView:
    return RowView(*(np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)))


@pytest.fixture
def universe() -> Universe:
    """Two tables: tags 0 to 2 of a range table, whose first row repeats its second, and a function."""
    ranges = _view((0, 0, 0), (0, 0, 0), (1, 0, 0), (1, 1, 0), (2, 0, 0), (2, 1, 0), (2, 2, 0), (2, 3, 0))
    return Universe({"range": ranges, "square": _view((5, -1, 1), (5, 0, 0), (5, 1, 1), (5, 2, 4))})


def test_a_lookup_reads_the_row_that_has_its_values(universe: Universe) -> None:
    read = _view((1, 1, 0), (2, 3, 0), (5, -1, 1), (5, 2, 4), (0, 0, 0))
    numbers = universe.numbers(read)
    assert numbers.tolist() == [3, 7, 8, 11, 1]
    for number, row in zip(numbers, zip(read.tag, read.first, read.second, strict=True), strict=True):
        table = universe.rows
        assert (table.tag[number], table.first[number], table.second[number]) == row


@pytest.mark.parametrize(
    "row",
    [
        (1, 2, 0),
        (1, -1, 0),
        (2, 4, 0),
        (3, 0, 0),
        (-1, 0, 0),
        (6, 0, 0),
        (5, 3, 9),
        (5, -2, 4),
        (5, 2, 3),
        (1, 1, 1),
    ],
)
def test_values_that_are_in_no_table_have_no_row(universe: Universe, row: tuple[int, int, int]) -> None:
    assert universe.numbers(_view(row, (1, 0, 0))).tolist() == [-1, 2]


def test_a_shared_tag_may_be_given_once(universe: Universe) -> None:
    one, zero = np.array([2]), np.array([0])
    assert universe.numbers(RowView(one, np.array([3, 0, 4]), zero)).tolist() == [7, 4, -1]


def test_counts_and_inverses(universe: Universe) -> None:
    columns = [np.array([3, 3, 11], np.int32), np.array([1, 3, 0], np.int32)]
    counts = universe.counts(columns)
    assert counts.tolist() == [1, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1]
    inverses = universe.inverses(counts, BETA, GAMMA)
    table = universe.rows

    def reciprocal(n: int) -> int:
        value = GAMMA + int(table.first[n]) + BETA * int(table.second[n]) + BETA**2 * int(table.tag[n])
        return pow(value, -1, arrays.MODULUS)

    expected = [reciprocal(n) if counts[n] else 0 for n in range(len(universe))]
    assert arrays.to_ints(inverses) == [*expected, 0]
    assert arrays.to_ints(inverse_column(inverses, columns)) == [
        (reciprocal(int(a)) + reciprocal(int(b))) % arrays.MODULUS for a, b in zip(*columns, strict=True)
    ]


def test_a_chunk_is_committed_as_its_entries_are(universe: Universe) -> None:
    """Columns of two, one and no lookups, cut by the borders of two chunks."""
    generator = np.random.default_rng(2)
    inverses = universe.inverses(np.ones(12, np.int64), BETA, GAMMA)
    pair = [generator.integers(0, 12, 8).astype(np.int32) for _ in range(2)]
    single = [generator.integers(0, 12, 4).astype(np.int32)]
    other = arrays.from_ints([0, 5, 0, -7])
    zone = np.concatenate([inverse_column(inverses, pair), inverse_column(inverses, single), other])
    columns = [(0, 8, pair), (8, 4, single), (12, 4, ())]
    bases = srs().g1
    for first, last in ((0, 16), (0, 6), (6, 14), (14, 16), (12, 16)):
        chunk = zone[first:last]
        point = commit_inverse_chunk(bases, chunk, columns, first, inverses)
        assert point == commit_field(bases, chunk)


def test_a_value_outside_its_table_is_named() -> None:
    key, statement, tensors = public_statement("mlp")
    name = next(lookup.name for lookups in key.plan.lookups.values() for lookup in lookups)
    tensor = name.removesuffix("_range")
    assert tensor in tensors
    broken = {**tensors, tensor: tensors[tensor].copy()}
    broken[tensor].flat[3] = -1
    with pytest.raises(StatementFalseError, match=rf"{name}: no table has the row .*-1, 0\), entry 3"):
        prove(key, srs(), statement, broken)


@pytest.mark.parametrize(("kind", "window"), [("mlp", 0), ("attention", 2)])
def test_proofs_do_not_depend_on_how_inverses_are_committed(
    kind: str, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = proven(kind, window)

    def entry_by_entry(bases: np.ndarray, chunk: np.ndarray, *_: object) -> tuple[int, int]:
        return commit_field(bases, chunk)

    monkeypatch.setattr(prover.prove, "commit_inverse_chunk", entry_by_entry)
    again = prove(case.verifying_key, srs(), replace(case.statement), dict(case.tensors))
    assert again == case.proof
