"""What the generator makes of claims: their points, what several of them share, and the chunks that they weigh."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prover.curve.g1 import GENERATOR
from prover.evaluations import PointPart, Slice
from prover.field.reference import SCALAR_MODULUS
from prover.plan import Plan
from prover.relations import Bits, FixedBits, PublicBits
from prover.statement import Statement, StepKey, VerifyingKey
from tests.verifier_gen.statements import REAL
from tests.verifier_gen.yul import Contract
from verifier_gen.claim_products import ClaimProducts, Number, Piece, whole_point
from verifier_gen.claim_sections import ClaimSections, _shared, _SingleClaim
from verifier_gen.function import Function
from verifier_gen.generator import _yul, step_verifier
from verifier_gen.layout import TOP_BITS, StepLayout

R, WORD = SCALAR_MODULUS, 32
G2 = ((0, 0), (0, 0))


def test_what_lies_behind_the_last_chunk_of_a_weight_adds_nothing() -> None:
    """It is zero, and the next coefficient is another weight's."""
    plan = Plan(REAL.programs["keys_values"], chunk_bits=18)
    key = VerifyingKey(plan, 18, bytes(32), G2, G2, (GENERATOR,) * plan.table_layout(18).chunks)
    sections = ClaimSections(key, StepLayout(key))
    group = next(group for group in sections._groups if "C_STEP_KEY" in group.members[0].place)
    assert group.point is not None and group.point.chunk == 0 and group.members[0].count == "1"
    for chunk, is_added in ((0, True), (1, False)):
        lines = sections._group_lines(replace(group, point=replace(group.point, chunk=chunk)))
        assert any("C_STEP_KEY" in line for line in lines) == is_added


def test_a_point_that_is_composed_at_run_time_has_all_its_parts() -> None:
    """Bits of its slot and of its place, slices of both vectors, one of them flipped, and an index between them."""
    plan = Plan(REAL.programs["keys_values"], chunk_bits=18)
    key = VerifyingKey(plan, 18, bytes(32), G2, G2, (GENERATOR,) * plan.table_layout(18).chunks)
    sections, source = ClaimSections(key, StepLayout(key)), step_verifier(key, insecure=True)
    rho, r = list(range(100, 112)), list(range(200, 212))
    parameters = (1,) * len(plan.program.parameters)
    statement = Statement(StepKey(parameters, ()), {"window": 0b110101}, ())
    parts = (
        Slice("rho", Bits(9), Bits(3)),
        FixedBits(5, Bits(4)),
        Slice("r", Bits(6), Bits(2), True),
        PublicBits("window", Bits(2)),
        Slice("r", Bits(1), Bits(1)),
    )
    own = [103, 104, 105, 0, 1, 0, 1, 206, (1 - 207) % R, 0, 1, 211]
    for slot, place_bits, front in (((2, 2), 3, [1, 0, 1, 0, 1]), ((0, 0), 3, [1, 0, 1]), ((0, 0), 0, [])):
        claim = _SingleClaim(plan.evaluations[0], slot, place_bits, parts, (), "", "1", False)
        templates = _yul("claims", {"top_bits": TOP_BITS})  # a verifier has only what it calls
        compose = Function("compose() -> end", "", sections._point(claim)).render()
        contract = Contract(
            source.replace(
                "function combine_commitments()", f"{templates}\n{compose}\nfunction combine_commitments()", 1
            )
        )
        contract.write("MODULUS", R)
        contract.write("PUBLIC_WINDOW", statement.publics["window"])
        contract.write("RHO_END", *rho, end=True)
        contract.write("POINT_END", *r, end=True)
        words = (contract["compose"]() - contract.constants["CLAIM_POINT"]) // WORD
        assert [contract.read("CLAIM_POINT", index) for index in range(words)] == front + own


def test_a_number_takes_the_last_bits_of_what_follows() -> None:
    number = Number(1, 1).followed_by("13", 2)
    assert number == Number(0b101, 3)
    text = "and(mload(A), 0x3)"
    number = number.followed_by("mload(A)", 2)
    assert number == Number(0b101, 3, text, 2) and number.bits == 5
    assert number.followed_by("6", 3) == Number(0b101, 3, f"or(shl(3, {text}), and(6, 0x7))", 5)
    assert number.of_bits(4) == Number(0b01, 2, text, 2)
    assert number.of_bits(7) == Number(0b101, 5, text, 2)


@pytest.mark.parametrize(
    ("number", "length", "is_whole"),
    [
        (Number(0, 2, "w", 3), 3, True),
        (Number(0, 3, "w", 3), 3, False),  # which chunk it is, is known at run time
        (Number(7, 6), 3, True),
        (Number(0, 0), 9, True),
        (Number(0, 1), 9, False),  # bits in front of coordinates that select chunks
    ],
)
def test_a_point_is_known_beforehand_where_its_chunks_are(
    number: Number, length: int, is_whole: bool
) -> None:
    point = whole_point(number, [Slice("r", Bits(length), Bits(length))], 8)
    assert (point is not None) == is_whole


@pytest.mark.parametrize(
    ("parts", "shared"),
    [
        ([Slice("r", Bits(5), Bits(5))], Bits(5)),
        ([Slice("r", Bits(7), Bits(2)), Slice("r", Bits(5), Bits(5))], Bits(7)),
        ([Slice("r", Bits(2, 1), Bits(0, 1)), Slice("r", Bits(2), Bits(2))], Bits(2, 1)),
        ([Slice("r", Bits(9), Bits(2)), Slice("r", Bits(5), Bits(5))], Bits(5)),
        ([Slice("r", Bits(7), Bits(5))], Bits()),
        ([Slice("r", Bits(5), Bits(5), True)], Bits()),
        ([Slice("rho", Bits(5), Bits(5))], Bits()),
        ([Slice("r", Bits(7), Bits(2)), FixedBits(1, Bits(5))], Bits()),
    ],
)
def test_shared_coordinates_are_the_last_ones_of_r(parts: list[PointPart], shared: Bits) -> None:
    assert _shared(parts) == shared


@pytest.mark.parametrize(
    ("parts", "shared", "pieces"),
    [
        ([("r", 5, 2), ("r", 3, 3)], 5, []),
        ([("r", 3, 3)], 3, []),
        ([("rho", 3, 3)], 0, [("rho", 3, 3, 0)]),
        ([("r", 4, 3)], 0, [("r", 4, 3, 0)]),
        ([("r", 5, 2), ("rho", 3, 3)], 0, [("rho", 3, 3, 0), ("r", 5, 2, 3)]),
        ([("r", 7, 2), ("r", 3, 3)], 3, [("r", 7, 2, 3)]),
        ([("r", 4, 1, True)], 0, [("r", 4, 1, 0, True)]),
        ([("r", 4, 2, True)], 0, [("r", 3, 1, 0, True), ("r", 4, 1, 1)]),
        ([("r", 3, 3, True)], 0, [("r", 1, 1, 0, True), ("r", 3, 2, 1)]),
        ([("rho", 9, 6), ("r", 4, 4)], 4, [("rho", 7, 4, 4)]),  # two coordinates select chunks
    ],
)
def test_pieces_are_what_is_not_shared(parts: list[tuple], shared: int, pieces: list[tuple]) -> None:  # type: ignore[type-arg]
    slices = [Slice(vector, Bits(start), Bits(width), *flip) for vector, start, width, *flip in parts]
    point = whole_point(Number(0, 0), slices, 8)
    assert point is not None and point.shared == shared
    assert point.pieces == tuple(Piece(vector, Bits(start), *rest) for vector, start, *rest in pieces)


def test_coordinates_that_select_chunks_are_flipped_where_the_last_of_their_slice_is_among_them() -> None:
    own = Slice("r", Bits(7), Bits(7))
    for top, is_flipped in ((3, True), (2, False)):
        flipped = Slice("rho", Bits(9), Bits(3), True)
        plain = Slice("rho", Bits(9), Bits(3))
        append = f"end := append(CLAIM_POINT, sub(RHO_END, 0x120), {top})"
        for part, behind in ((flipped, ["flip_last(end)"] if is_flipped else []), (plain, [])):
            point = whole_point(Number(0, 0), [part, own], 10 - top)
            assert point is not None and point.top == top
            assert ClaimProducts._top(point) == [append, *behind]
