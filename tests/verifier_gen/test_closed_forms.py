"""Closed forms and widths as the generator writes them, by numbers: no proof is needed, and no family is left out."""

from __future__ import annotations

from math import prod
from types import SimpleNamespace

import pytest

from prover.evaluations import Evaluation, PointPart, Slice
from prover.field.reference import SCALAR_MODULUS
from prover.relations import Bits, FixedBits, PublicBits
from tests.verifier_gen.test_expressions import LEAVES, run_yul
from verifier_gen.claim_sections import _merged
from verifier_gen.errors import GeneratorError
from verifier_gen.expressions import Graph, Node, Printer
from verifier_gen.final_value import FinalValue
from verifier_gen.layout import largest, width, words_after, words_before

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


WHOLE = Slice("r", Bits(3), Bits(3))


@pytest.mark.parametrize(
    "parts",
    [
        (Slice("r", Bits(3), Bits(3), flip=True),),
        (PublicBits("window", Bits(3)),),
        (Slice("r", Bits(3), Bits(2)),),
        (WHOLE, PublicBits("window", Bits(1))),
    ],
)
def test_a_closed_form_is_evaluated_at_one_slice_per_axis(parts: tuple[PointPart, ...]) -> None:
    tensor = SimpleNamespace(name="unit", axes=("channel",))
    plan = SimpleNamespace(tensors={"unit": tensor}, axes={"channel": Bits(3)})
    assert FinalValue._slices(SimpleNamespace(plan=plan), Evaluation("unit", (WHOLE,))) == [WHOLE]  # type: ignore[arg-type]
    with pytest.raises(GeneratorError, match="one slice"):
        FinalValue._slices(SimpleNamespace(plan=plan), Evaluation("unit", parts))  # type: ignore[arg-type]


def test_a_closed_form_without_yul_is_refused() -> None:
    tensors = {"odd": SimpleNamespace(closed_form="odd")}
    generator = SimpleNamespace(
        plan=SimpleNamespace(tensors=tensors),
        closed_function=SimpleNamespace(lines=[]),
        _slices=lambda evaluation: [WHOLE],
    )
    with pytest.raises(GeneratorError, match="'odd' of odd has no Yul"):
        FinalValue._closed_form(generator, Evaluation("odd", (WHOLE,)))  # type: ignore[arg-type]


def test_a_weighted_vector_has_the_size_of_its_axis() -> None:
    graph = Graph()
    node = FinalValue._weighted(generator(graph), list(range(8)), WHOLE)  # type: ignore[arg-type]
    assert printed(node) == sum(index * extension({index}) for index in range(8)) % SCALAR_MODULUS
    for wrong in (7, 9, 4):
        with pytest.raises(GeneratorError, match=f"weighted vector of {wrong} entries"):
            FinalValue._weighted(generator(graph), list(range(wrong)), WHOLE)  # type: ignore[arg-type]


def test_coordinates_are_those_of_a_fixed_width() -> None:
    generator = SimpleNamespace(graph=Graph())
    assert len(FinalValue._coordinates(generator, Slice("r", Bits(3), Bits(3)))) == 3  # type: ignore[arg-type]
    with pytest.raises(GeneratorError, match="fixed width"):
        FinalValue._coordinates(generator, Slice("r", Bits(3, 1), Bits(3, 1)))  # type: ignore[arg-type]


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


@pytest.mark.parametrize(
    ("widths", "value"),
    [
        ([Bits(3)], 3),
        ([Bits(3), Bits(5), Bits(4)], 5),
        ([Bits(12), Bits(2, 1)], 12),
        ([Bits(2, 1), Bits(4)], 11),
    ],
)
def test_the_largest_width_depends_on_the_context(widths: list[Bits], value: int) -> None:
    names = {"t": 9, "maximum": max, "add": lambda a, b: a + b}
    assert eval(largest(widths), {}, names) == value


@pytest.mark.parametrize(
    ("parts", "merged"),
    [
        ([("r", 10, 4), ("r", 6, 3)], [("r", 10, 7)]),
        ([("r", 10, 4), ("r", 6, 3), ("r", 3, 3)], [("r", 10, 10)]),
        ([("r", 10, 4), ("r", 5, 3)], [("r", 10, 4), ("r", 5, 3)]),
        ([("r", 10, 4), ("rho", 6, 3)], [("r", 10, 4), ("rho", 6, 3)]),
        ([("r", 10, 4, True), ("r", 6, 3)], [("r", 10, 4, True), ("r", 6, 3)]),
        ([("r", 10, 4), ("r", 6, 3, True)], [("r", 10, 7, True)]),
    ],
)
def test_neighbouring_slices_are_copied_as_one(parts: list[tuple], merged: list[tuple]) -> None:  # type: ignore[type-arg]
    """Unless something between them is not a slice, or the last coordinate of the first one is complemented."""

    def slices(of: list[tuple]) -> list[PointPart]:  # type: ignore[type-arg]
        return [Slice(vector, Bits(start), Bits(width), *flip) for vector, start, width, *flip in of]

    assert _merged(slices(parts)) == slices(merged)
    first, second = slices(parts)[:2]
    apart = [first, FixedBits(1, Bits(1)), second]
    assert _merged(apart) == apart
