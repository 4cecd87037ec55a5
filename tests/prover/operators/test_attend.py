"""Attention of limited reach sees the last positions only; the step key says which layers have it."""

from __future__ import annotations

import numpy as np
import pytest

from prover.operators.attend import Attend
from prover.program import RunContext
from prover.tables import EXPONENTIAL_SCALE, exponential_table

GROUPS, QUERIES, SIZE, POSITIONS, REACH = 2, 2, 4, 100, 32
generator = np.random.default_rng(8)
Q = generator.integers(-900, 900, (POSITIONS, GROUPS, QUERIES, SIZE))
K = generator.integers(-900, 900, (POSITIONS, GROUPS, SIZE))
V = generator.integers(-9_000, 9_000, (POSITIONS, GROUPS, SIZE))
SHIFT = 6
LIMITED = Attend("q", "k", "v", "y", SHIFT, 2 * 11 + 2 + 2, 16, REACH, "layer_kind")


def run(kind: int, calls: list[int]) -> np.ndarray:
    """All rows, fed in pieces of the given sizes."""
    cache: dict[str, np.ndarray] = {}
    outputs, start = [], 0
    for rows in calls:
        piece = slice(start, start + rows)
        context = RunContext(
            tensors={"q": Q[piece], "k": K[piece], "v": V[piece]},
            parameters={"layer_kind": kind},
            matmul=lambda name, x: x,
            positions=np.arange(start, start + rows),
            cache=cache,
        )
        LIMITED.run(context)
        outputs.append(context.tensors["y"])
        start += rows
    return np.concatenate(outputs)


def one_row(t: int, group: int, query: int, reach: int) -> np.ndarray:
    """The definition, for one query: visible positions, table weights, one rounded division per channel."""
    visible = range(max(0, t - reach + 1), t + 1)
    scores = [int(Q[t, group, query] @ K[u, group]) for u in visible]
    index = [min((max(scores) - score) >> SHIFT, 1 << 16) for score in scores]
    weights = [int(exponential_table()[i]) for i in index]
    total = sum(weights)
    mixed = sum(w * V[u, group].astype(object) for w, u in zip(weights, visible, strict=True))
    return (2 * mixed + total) // (2 * total)


@pytest.mark.parametrize("kind", [1, 2])
def test_few_rows_and_many_give_the_same_integers(kind: int) -> None:
    """Below 32 rows one pass, from there on products of matrices: at every length of the last piece."""
    expected = run(kind, [1] * POSITIONS)
    for calls in ([POSITIONS], [31, 69], [32, 68], [5, 33, 62], [64, 36], [68, 32]):
        assert np.array_equal(run(kind, calls), expected), calls


@pytest.mark.parametrize(("kind", "reach"), [(1, REACH), (2, POSITIONS)])
def test_every_row_is_the_weighted_mean_of_what_it_sees(kind: int, reach: int) -> None:
    output = run(kind, [POSITIONS])
    for t in (0, 1, 30, 31, 32, 33, 63, 64, 99):
        for group in range(GROUPS):
            for query in range(QUERIES):
                assert np.array_equal(output[t, group, query], one_row(t, group, query, reach)), (t, group)


def test_a_local_layer_differs_from_a_global_one_beyond_its_reach_only() -> None:
    local, everything = run(1, [POSITIONS]), run(2, [POSITIONS])
    assert np.array_equal(local[:REACH], everything[:REACH])
    assert not np.array_equal(local[REACH:], everything[REACH:])


@pytest.mark.parametrize("kind", [1, 2])
def test_token_by_token_gives_the_integers_of_one_pass(kind: int) -> None:
    assert np.array_equal(run(kind, [40, *[1] * 35, 25]), run(kind, [POSITIONS]))


def test_distances_beyond_the_digits_are_refused() -> None:
    """Half of 2^offset_bits >> shift is at most 2^30 and a little where it is visible, 1.5 times 2^offset_bits below 2^32 where not."""
    Attend("q", "k", "v", "y", 2 * 9 + 4 - EXPONENTIAL_SCALE, 2 * 15 + 8 + 2, 16)  # head size 256 at scale 9
    with pytest.raises(ValueError, match="do not fit the digits"):
        Attend("q", "k", "v", "y", 2 * 8 + 4 - EXPONENTIAL_SCALE, 2 * 15 + 8 + 2, 16)


@pytest.mark.parametrize(("shift", "accepted"), [(0, False), (1, True), (16, True), (17, False)])
def test_scores_are_shifted_by_what_one_lookup_checks(shift: int, accepted: bool) -> None:
    if accepted:
        Attend("q", "k", "v", "y", shift, shift + 17, 16)
        return
    with pytest.raises(ValueError, match="one lookup checks 1 to 16 bits"):
        Attend("q", "k", "v", "y", shift, shift + 17, 16)


def test_a_reach_needs_a_selector() -> None:
    with pytest.raises(ValueError, match="step-key integer"):
        Attend("q", "k", "v", "y", SHIFT, 26, 16, REACH)
