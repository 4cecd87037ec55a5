"""Closed forms and widths as the generator writes them, by numbers: no proof is needed, and no family is left out."""

from __future__ import annotations

from math import prod
from types import SimpleNamespace

import pytest

from prover.field.reference import SCALAR_MODULUS
from prover.relations import Bits
from tests.verifier_gen.test_expressions import LEAVES, run_yul
from verifier_gen.expressions import Graph, Node, Printer
from verifier_gen.final_value import FinalValue
from verifier_gen.layout import width, words_after, words_before

POINT = [LEAVES[name] for name in ("A", "B", "C")]


def printed(node: Node) -> int:
    temporaries = (str(place) for place in range(1 << 20, 1 << 21))
    statements, text = Printer([node], lambda: next(temporaries)).print(node)
    memory: dict[object, int] = {**LEAVES}
    return run_yul(statements, text, memory)


def extension(indices: set[int]) -> int:
    """The multilinear extension of [index in indices] at the point, by its definition."""
    total = 0
    for index in indices:
        bits = [index >> shift & 1 for shift in (2, 1, 0)]
        total += prod(x if bit else 1 - x for bit, x in zip(bits, POINT, strict=True))
    return total % SCALAR_MODULUS


def generator(graph: Graph) -> SimpleNamespace:
    """What the two forms need of the generator: a graph, and the coordinates of a slice."""
    leaves = [graph.leaf(f"mload({name})") for name in ("A", "B", "C")]
    return SimpleNamespace(graph=graph, _coordinates=lambda part: leaves)


@pytest.mark.parametrize("place", range(8))
def test_one_index_is_told_from_the_others(place: int) -> None:
    node = FinalValue._unit(generator(Graph()), place, None)  # type: ignore[arg-type]
    assert printed(node) == extension({place})


@pytest.mark.parametrize("bound", range(1, 9))
def test_the_first_indices_are_told_from_the_others(bound: int) -> None:
    node = FinalValue._below(generator(Graph()), bound, None)  # type: ignore[arg-type]
    assert printed(node) == extension(set(range(bound)))


@pytest.mark.parametrize("fixed", range(-3, 4))
@pytest.mark.parametrize("context", range(-1, 4))
def test_a_width_counts_the_context(fixed: int, context: int) -> None:
    t = 9
    names = {
        "t": t,
        "BASE": 1 << 12,
        "mul": lambda a, b: a * b,
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "shl": lambda bits, value: value << bits,
    }
    bits = Bits(fixed, context)
    assert eval(width(bits), {}, names) == fixed + context * t
    if context or fixed >= 0:
        assert eval(words_after("BASE", bits), {}, names) == (1 << 12) + 32 * (fixed + context * t)
        assert eval(words_before("BASE", bits), {}, names) == (1 << 12) - 32 * (fixed + context * t)
    if context > 0:
        assert "-" not in width(bits)  # Yul has no negative literals
