"""Where a witness tensor lies among the chunks, and which chunks a claim about it weighs: by hand, without a proof."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prover.argument.multilinear import eq_table
from prover.claims import _weights
from prover.field import arrays
from prover.field.arrays import MODULUS
from prover.plan import Plan
from prover.zones import Gaps, Zone
from tests.verifier_gen.statements import REAL

ZONE = Zone(1, False, (("first", 0, 2), ("second", 4, 0)))
MOVING = Zone(2, True, (("first", 0, 1), ("second", 2, 1), ("third", 4, 0)))
ALONE = Zone(1, False, (("only", 0, 3),))


@pytest.mark.parametrize(("zone", "units", "bits"), [(ZONE, 5, 3), (MOVING, 5, 3), (ALONE, 8, 3)])
def test_an_array_ends_behind_its_last_tensor(zone: Zone, units: int, bits: int) -> None:
    assert (zone.units, zone.unit_bits) == (units, bits)


def test_only_a_moving_zone_grows_with_the_context() -> None:
    assert [ZONE.variables(t) for t in (0, 5)] == [3, 3]
    assert [MOVING.variables(t) for t in (0, 5)] == [3, 8]
    assert [ZONE.chunks(t, 2) for t in (0, 5)] == [2, 2]
    assert [MOVING.chunks(t, 2) for t in (0, 1, 5)] == [2, 3, 40]
    assert [ALONE.chunks(0, mu) for mu in (2, 3, 4)] == [2, 1, 1]


def test_chunks_of_padding_alone_are_not_committed_to() -> None:
    """Runs of two units at units 0, 2, 4 and 6, the third one empty: several runs in a chunk, one, and several chunks in one."""
    zone = replace(MOVING, places=(("only", 0, 3),), gaps=Gaps(1, 0b1011))
    assert [zone.committed(t, 4) for t in (1, 2, 3, 4)] == [
        (0,),
        (0, 1),
        (0, 1, 3),
        (0, 1, 2, 3, 6, 7),
    ]
    assert replace(zone, gaps=None).committed(3, 4) == (0, 1, 2, 3)
    assert replace(zone, gaps=Gaps(1, 0b0001)).committed(0, 18) == (0,)


@pytest.mark.parametrize(
    ("t", "first", "second"), [(5, 1, 1), (10, 10, 4), (11, 15, 6), (12, 30, 12), (13, 45, 18), (14, 90, 36)]
)
def test_nine_of_sixteen_heads(t: int, first: int, second: int) -> None:
    """SmolLM2: three groups of three queries, each padded to four, in five tensors and in two. A head has 2^(5+t) pairs, a chunk 2^18."""
    moving = [zone for zone in Plan(REAL.programs["attention"], chunk_bits=18).zones if zone.moving]
    assert [len(zone.committed(t, 18)) for zone in moving] == [first, second]


@pytest.mark.parametrize(("heads", "kv_heads"), [(9, 3), (15, 5), (7, 1), (63, 9), (57, 19), (144, 36)])
@pytest.mark.parametrize("per_inverse", [1, 2, 3])
def test_what_may_be_more_than_zero_is_committed_to(heads: int, kv_heads: int, per_inverse: int) -> None:
    """Of more than 256 heads of all tensors together a run has several, some of them padding."""
    config = replace(REAL, heads=heads, kv_heads=kv_heads, head_size=4)
    plan = Plan(config.programs["attention"], per_inverse, chunk_bits=18)
    for zone in (zone for zone in plan.zones if zone.moving):
        assert zone.gaps is not None
        inside = np.ones(zone.units, dtype=bool)
        for name, first, bits in zone.places:
            assert plan.tensors[name].inside == "real_heads"
            axes = [1 << plan.axes[axis].fixed for axis in ("kv_group", "query")]
            real = np.zeros(axes, dtype=bool)
            real[:kv_heads, : heads // kv_heads] = True
            inside[first : first + (1 << bits)] = np.repeat(real.reshape(-1), (1 << bits) // real.size)
        sizes = []
        for t, mu in ((t, mu) for mu in (12, 18) for t in range(5, 16)):
            units = np.arange(zone.units)
            first_chunk, last_chunk = (units << t) >> mu, (((units + 1) << t) - 1) >> mu
            needed = set(first_chunk[inside]) | set(last_chunk[inside])
            committed = zone.committed(t, mu)
            assert needed <= set(committed)
            sizes.append(zone.chunks(t, mu) - len(committed))
        assert any(sizes)


def test_nothing_is_left_out_where_heads_are_a_power_of_two() -> None:
    plan = Plan(replace(REAL, heads=8, kv_heads=2).programs["attention"], chunk_bits=18)
    assert all(zone.gaps is None for zone in plan.zones)
    assert "real_heads" not in plan.tensors


def test_leading_bits_select_a_tensor() -> None:
    assert [ZONE.slot(name) for name in ("first", "second")] == [(0, 1), (4, 3)]
    assert [MOVING.slot(name) for name in ("first", "second", "third")] == [(0, 2), (1, 2), (4, 3)]
    assert ALONE.slot("only") == (0, 0)


@pytest.mark.parametrize("coordinates", [[1, 7], [0, 7], [1, 0, 5], [7, 1], [3, 5], []])
@pytest.mark.parametrize("count", range(1, 9))
def test_a_claim_weighs_the_chunks_that_there_are(coordinates: list[int], count: int) -> None:
    """All chunks with a weight that is not zero, except behind the last one."""
    table = arrays.to_ints(eq_table(coordinates)) if coordinates else [1]
    expected = {("it", i): weight for i, weight in enumerate(table) if weight and i < count}
    found = _weights("it", coordinates, count)
    assert {key: weight % MODULUS for key, weight in found if weight % MODULUS} == expected
    places = [("it", index) for index in range(count)]
    assert [key for key, _ in found] == [key for key in places if key in dict(found)]


@pytest.mark.parametrize(
    ("coordinates", "chunks"),
    [([1, 7], [2, 3]), ([0, 7], [0, 1]), ([1, 0, 5], [4, 5]), ([0, 1], [1]), ([1, 1], [3]), ([7], [0, 1])],
)
def test_leading_bits_leave_out_the_chunks_of_other_tensors(
    coordinates: list[int], chunks: list[int]
) -> None:
    assert [index for (_, index), _ in _weights("it", coordinates, 8)] == chunks
