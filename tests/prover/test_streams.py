"""What boundaries are made of: places, running sums, roots and access words, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from prover.architectures.shapes import CUT_QUERIES, TILED
from prover.curve.g1 import GENERATOR, INFINITY, Point, add, multiply, negate, point_to_bytes
from prover.stream_commitments import (
    NO_WINDOWS,
    boundary_hash,
    chunk_points,
    running_sums,
    stream_root,
    window_leaf,
    window_tree,
)
from prover.streams import NAMES_WINDOW, STREAM_ORDER, SUMS, Stream, Use, access_word
from tests.prover.architectures.random_models import FAMILIES

POINTS = [multiply(GENERATOR, 3 + 7 * number) for number in range(11)]


def _total(points: list[Point]) -> Point:
    total = INFINITY
    for point in points:
        total = add(total, point)
    return total


# --- places --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row_bits", "chunk_bits", "shared"), [(9, 18, 4), (12, 18, 1), (13, 18, 0), (0, 6, 1)]
)
def test_a_chunk_holds_as_many_windows_as_fit(row_bits: int, chunk_bits: int, shared: int) -> None:
    stream = Stream("keys", row_bits, placed=True)
    assert stream.window_bits == row_bits + 5
    assert stream.chunk_windows_bits(chunk_bits) == shared
    places = [stream.place(window, chunk_bits) for window in range(40)]
    assert places == [window % 2**shared for window in range(40)]
    assert all((place + 1) << stream.window_bits <= 1 << chunk_bits for place in places)


def test_windows_of_other_streams_start_their_chunks() -> None:
    stream = Stream("residual", 6)
    assert stream.chunk_windows_bits(18) == 0
    assert {stream.place(window, 18) for window in range(40)} == {0}


# --- running sums --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [0, 1, 2, 4])
def test_a_running_sum_is_that_of_its_chunk_so_far(bits: int) -> None:
    sums = running_sums(POINTS, bits)
    for window, found in enumerate(sums):
        first = window >> bits << bits
        assert found == _total(POINTS[first : window + 1])
    assert running_sums([], bits) == []


@pytest.mark.parametrize("bits", [0, 1, 2, 4])
@pytest.mark.parametrize("window", [0, 1, 3, 4, 7, 8, 10])
def test_chunk_points_add_up_to_all_windows_read(bits: int, window: int) -> None:
    """One for each chunk that windows 0..w touch; those behind the window do not matter."""
    points = chunk_points(running_sums(POINTS, bits), window, bits)
    assert len(points) == (window >> bits) + 1
    assert _total(points) == _total(POINTS[: window + 1])
    assert points == chunk_points(running_sums(POINTS[: window + 1], bits), window, bits)
    assert points[:-1] == [_total(POINTS[i << bits : (i + 1) << bits]) for i in range(window >> bits)]


def test_a_window_is_the_difference_of_two_sums_within_a_chunk() -> None:
    sums = running_sums(POINTS, 2)
    for window, point in enumerate(POINTS):
        before = negate(sums[window - 1]) if window % 4 else INFINITY
        assert add(sums[window], before) == point


# --- roots ---------------------------------------------------------------------------------------------------


def test_a_leaf_names_its_window_and_its_sum() -> None:
    inner = keccak((7).to_bytes(32, "big") + point_to_bytes(GENERATOR))
    assert window_leaf(7, GENERATOR) == keccak(inner)
    leaves = {window_leaf(window, point) for window in range(4) for point in POINTS[:4]}
    assert len(leaves) == 16


def test_a_stream_without_windows_has_the_root_of_nothing() -> None:
    assert stream_root([]) == NO_WINDOWS == bytes(32)
    assert stream_root([INFINITY]) != NO_WINDOWS  # a window of zeros is a window
    assert stream_root(POINTS[:1]) == window_leaf(0, POINTS[0]) == window_tree(POINTS[:1]).root


@given(count=st.integers(1, 10), changed=st.integers(0, 9))
def test_a_root_depends_on_every_sum_and_on_their_number(count: int, changed: int) -> None:
    root = stream_root(POINTS[:count])
    assert root != stream_root(POINTS[: count + 1])
    other = list(POINTS[:count])
    other[changed % count] = negate(other[changed % count])
    assert root != stream_root(other)
    if count > 1:
        assert root != stream_root(POINTS[:count][::-1])


def test_a_boundary_is_the_hash_of_all_roots_in_order() -> None:
    roots = [stream_root(POINTS[: n + 1]) for n in range(3)]
    assert boundary_hash(roots) == keccak(b"".join(roots))
    assert len({boundary_hash(r) for r in (roots, roots[::-1], roots[:2], [*roots, NO_WINDOWS])}) == 4


# --- what steps do -------------------------------------------------------------------------------------------


def test_an_access_word_has_four_bits_for_each_stream() -> None:
    uses = {0: Use.READS_OWN | Use.WRITES, 2: Use.READS_ALL, 4: Use.READS_OWN | Use.RESETS}
    assert access_word(uses, names_window=False) == 0x9_0205
    assert access_word(uses, names_window=True) == 0x9_0205 | NAMES_WINDOW == 0x9_0205 | 1 << 63
    assert access_word({}, names_window=False) == 0
    largest = access_word(dict.fromkeys(range(15), Use(15)), names_window=True)
    assert largest < 1 << 64 and largest == NAMES_WINDOW | (1 << 60) - 1


def test_what_tiles_do_to_the_streams() -> None:
    """residual, normalised, keys, values, sum: four bits each, from the last hexadecimal digit on."""
    assert [stream.name for stream in TILED.streams] == ["residual", "normalised", "keys", "values", "sum"]
    found = dict(zip(TILED.kinds, TILED.accesses, strict=True))
    assert {kind: hex(word & ~NAMES_WINDOW) for kind, word in found.items()} == {
        "attention_norm": "0x41",  # reads its rows, writes normalised ones
        "keys_values": "0x4410",
        "attention_tile": "0x52210",  # reads all keys and values, adds to the sum
        "attention_close": "0x90005",  # resets what it reads
        "mlp_norm": "0x41",
        "mlp_tile": "0x50010",
        "mlp_close": "0x90005",
    }
    assert {kind for kind, word in found.items() if word & NAMES_WINDOW} == {"keys_values", "attention_tile"}


def test_what_tiles_of_inputs_do_to_the_streams() -> None:
    """residual, query, keys, values, sum, query_sum, key_sum, value_sum."""
    assert [s.name for s in CUT_QUERIES.streams[4:]] == list(SUMS)
    found = dict(zip(CUT_QUERIES.kinds, CUT_QUERIES.accesses, strict=True))
    assert {kind: hex(word & ~NAMES_WINDOW) for kind, word in found.items()} == {
        "keys_values_tile": "0x55000001",
        "keys_values_close": "0x99004400",
        "query_tile": "0x500001",
        "query_close": "0x900040",
        "attention_tile": "0x52210",  # the queries of its window
        "attention_close": "0x90005",
        "mlp_tile": "0x50001",
        "mlp_close": "0x90005",
    }
    named = {kind for kind, word in found.items() if word & NAMES_WINDOW}
    assert named == {"keys_values_close", "query_close", "attention_tile"}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_schedule_reads_only_what_it_wrote(family: str) -> None:
    """But for the first rows of all, and for sums, of which none are zeros; a sum is closed before the next begins."""
    config = FAMILIES[family]
    assert [s.name for s in config.streams] == [
        n for n in STREAM_ORDER if n in {s.name for s in config.streams}
    ]
    written, open_sums = {"residual"}, set()
    for step in config.schedule:
        program = config.programs[step.kind]
        sums = {name for name in program.reads if name in SUMS}
        assert set(program.reads) - sums <= written, step
        if sums - set(program.writes):
            assert open_sums == sums == set(program.resets) and not sums & set(program.writes)
            open_sums = set()
        elif sums:
            assert open_sums == (sums if step.tile > 0 else set()), step
            assert set(program.writes) == sums
            open_sums = sums
        else:
            assert not open_sums and not program.resets
        written |= set(program.writes)
    assert not open_sums


def test_a_stream_has_one_shape() -> None:
    keys = TILED.streams[2]
    assert (keys.row_bits, keys.placed) == (4, True)  # four groups, one of them padding, of four channels
    other = replace(TILED, heads=12, kv_heads=6)
    assert other.streams[2].row_bits == 5 and other.streams[4].row_bits == TILED.streams[4].row_bits == 5
