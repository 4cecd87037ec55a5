"""How weights are cut into blocks, where these lie, and that the claims about them say what the whole weight's value is."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from math import ceil

import numpy as np
import pytest

from prover.argument.multilinear import evaluate, to_field
from prover.block_layout import CHUNK_GAS, CLAIM_GAS, Block, BlockLayout, Piece, TensorShape
from prover.claims import Challenges, Point, _claims
from prover.committed_values import weight_table
from prover.evaluations import Slice
from prover.field.arrays import MODULUS
from prover.plan import Plan
from prover.program import Kind
from prover.quad_columns import numbers
from prover.quads import QUAD, QUAD_BITS, quads_of
from prover.relations import Bits, FixedBits
from prover.statement import TABLES, WEIGHTS, Statement, StepKey
from tests.prover.architectures.random_models import FAMILIES, random_statement
from tests.prover.statements import MU
from tests.verifier_gen.statements import REAL


def shape(name: str, *sizes: int, whole: Sequence[int] = ()) -> TensorShape:
    """A weight whose axes may be cut, but for the numbers in `whole`."""
    widths = tuple((size - 1).bit_length() for size in sizes)
    return TensorShape(
        name, tuple(range(len(sizes))), widths, sizes, tuple(axis not in whole for axis in range(len(sizes)))
    )


def boxes(block: Block) -> list[tuple[int, int, int]]:
    """(first, bits) of every axis."""
    return [(piece.first, piece.bits, 1 << piece.bits) for piece in block.pieces]


@pytest.mark.parametrize(
    ("kind", "chunks", "claims"), [("mlp", 3, 10), ("attention", 1, 6), ("keys_values", 1, 2)]
)
def test_steps_of_smollm2_have_as_many_chunks_as_weights_fill(kind: str, chunks: int, claims: int) -> None:
    plan = Plan(REAL.programs[kind], chunk_bits=18)
    layout = plan.key_layout(18)
    assert (layout.chunks, len(layout.blocks)) == (chunks, claims)
    real = sum(
        int(np.prod([plan.program.real_sizes[axis] for axis in tensor.axes]))
        for tensor in plan.program.weights
    )
    assert chunks == ceil(real / QUAD / 2**18)


def test_a_size_is_cut_where_it_has_a_bit() -> None:
    layout = BlockLayout.of([shape("w", 4, 576)], 5)
    assert [boxes(block)[1][:2] for block in layout.blocks] == [(0, 9), (512, 6)]
    assert [(block.place, block.chunks) for block in layout.blocks] == [(0, 64), (2048, 8)]


def test_an_axis_has_at_most_three_pieces() -> None:
    """85 = 64 + 16 + 4 + 1: a fourth would save three chunks more."""
    layout = BlockLayout.of([shape("w", 4, 85)], 2)
    assert [boxes(block)[1][:2] for block in layout.blocks] == [(0, 6), (64, 4), (80, 3)]


def test_two_cuts_are_made_where_one_would_save_nothing() -> None:
    """896 = 512 + 256 + 128; in two pieces it would be padded to 512 + 512."""
    layout = BlockLayout.of([shape("w", 64, 896)], 10)
    assert [boxes(block)[1][:2] for block in layout.blocks] == [(0, 9), (512, 8), (768, 7)]
    assert layout.chunks << 10 == 64 * 896


def test_a_block_ends_with_the_chunk_of_its_last_real_entry() -> None:
    """23 = 16 + 7, and the 8th column of a block's last row is none of the weight's."""
    layout = BlockLayout.of([shape("w", 4, 23)], 0)
    assert [(boxes(block)[1][:2], block.chunks) for block in layout.blocks] == [((0, 4), 64), ((16, 3), 31)]


def test_a_block_of_exactly_a_chunk_shares_it_with_nobody() -> None:
    layout = BlockLayout.of([shape("a", 4, 4), shape("b", 32)], 4)
    assert [(block.tensor, block.place, block.chunks) for block in layout.blocks] == [
        ("a", 0, 1),
        ("b", 16, 2),
    ]


@pytest.mark.parametrize("size", [64, 63, 1000 >> 4])
def test_a_cut_that_saves_no_entry_is_not_made(size: int) -> None:
    """64 has one bit; 63 = 32 + 31 would be padded to 32 + 32."""
    assert len(BlockLayout.of([shape("w", 64, size)], 4).blocks) == 1


def test_an_axis_that_claims_index_by_parts_stays_whole() -> None:
    assert len(BlockLayout.of([shape("w", 8, 576, whole=[1])], 5).blocks) == 1
    assert len(BlockLayout.of([shape("w", 8, 576)], 5).blocks) == 2


def test_small_weights_share_a_chunk() -> None:
    layout = BlockLayout.of([shape("a", 4), shape("b", 16), shape("c", 4, 4)], 6)
    assert layout.chunks == 1
    assert [(block.tensor, block.place, block.slot(6)) for block in layout.blocks] == [
        ("b", 0, (0, 2)),
        ("c", 16, (1, 2)),
        ("a", 32, (8, 4)),
    ]


def test_slots_count_from_the_beginning_of_their_chunk() -> None:
    layout = BlockLayout.of([shape("a", 4), shape("b", 2), shape("c", 1), shape("d", 1)], 2)
    assert [(block.place, block.slot(2)) for block in layout.blocks] == [
        (0, (0, 0)),
        (4, (0, 1)),
        (6, (2, 2)),
        (7, (3, 2)),
    ]


@pytest.mark.parametrize("seed", range(40))
def test_every_entry_lies_in_one_block_and_no_two_blocks_overlap(seed: int) -> None:
    draw = random.Random(seed)
    weights = [
        shape(f"w{number}", *(draw.randrange(1, 30) for _ in range(draw.randrange(1, 4))))
        for number in range(draw.randrange(1, 4))
    ]
    mu = draw.randrange(3, 9)
    layout = BlockLayout.of(weights, mu)
    taken: set[int] = set()
    for block in layout.blocks:
        entries = range(block.place, block.place + (block.chunks << mu or 1 << block.bits))
        assert taken.isdisjoint(entries) and block.place % min(1 << block.bits, 1 << mu) == 0
        assert block.chunks or block.place >> mu == (block.place + (1 << block.bits) - 1) >> mu
        assert all(first % width == 0 for first, _, width in boxes(block))
        taken |= set(entries)
        value, bits = block.slot(mu)
        if block.chunks:
            assert (value, bits) == (0, 0)
        else:  # slot and own index are the index in the chunk
            assert bits == mu - block.bits and 0 <= value < 1 << bits
            assert block.place == (block.place >> mu << mu) + (value << block.bits)
    assert max(taken) < layout.chunks << mu
    tensors = {}
    for weight in weights:
        count = np.zeros([1 << width for width in weight.widths], dtype=np.int64)
        for block in layout.by_tensor[weight.name]:
            count[tuple(slice(first, first + width) for first, _, width in boxes(block))] += 1
        assert count[tuple(slice(size) for size in weight.sizes)].min() == count.max() == 1
        table = np.zeros(count.shape, dtype=np.int64)
        real = tuple(slice(size) for size in weight.sizes)
        table[real] = np.arange(1, table[real].size + 1).reshape(table[real].shape)
        tensors[weight.name] = table
    chunks = layout.pack(tensors)
    assert len(chunks) == layout.chunks and all(len(chunk) <= 1 << mu for chunk in chunks)
    assert sum(int(chunk.sum()) for chunk in chunks) == sum(int(table.sum()) for table in tensors.values())


def pieces(size: int, count: int) -> list[tuple[int, int]]:
    """(first, bits) of each: one for every leading bit of the size, and the last one for what remains."""
    found, first = [], 0
    while len(found) + 1 < count and (size - first).bit_count() > 1:
        high = (size - first).bit_length() - 1
        found.append((first, high))
        first += 1 << high
    return [*found, (first, (size - first - 1).bit_length())]


@pytest.mark.parametrize("seed", range(25))
def test_no_other_way_to_cut_costs_less_gas(seed: int) -> None:
    """Every choice of how many pieces each axis has, counted out."""
    draw = random.Random(seed)
    weights = [shape(f"w{n}", draw.randrange(1, 40), draw.randrange(1, 40)) for n in range(2)]
    mu = draw.randrange(1, 9)

    def gas(counts: Sequence[int]) -> int:
        own = shared = claims = 0
        for weight, cut in zip(weights, (counts[:2], counts[2:]), strict=True):
            for box in product(*map(pieces, weight.sizes, cut)):
                claims += 1
                if sum(bits for _, bits in box) < mu:
                    shared += 1 << sum(bits for _, bits in box)
                    continue
                last = 0
                for (first, bits), size in zip(box, weight.sizes, strict=True):
                    last = (last << bits) + min(size - first, 1 << bits) - 1
                own += (last >> mu) + 1
        return CLAIM_GAS * claims + CHUNK_GAS * (own + ceil(shared / 2**mu))

    layout = BlockLayout.of(weights, mu)
    found = CLAIM_GAS * len(layout.blocks) + CHUNK_GAS * layout.chunks
    assert found == min(gas(counts) for counts in product((1, 2, 3), repeat=4))


def test_tables_share_chunks_and_are_never_cut() -> None:
    layout = Plan(REAL.programs["attention"], chunk_bits=18).table_layout(18)
    assert layout.chunks == 2
    assert [(block.tensor, block.place) for block in layout.blocks] == [
        ("rotation", 0),
        ("exponential_second", 1 << 18),
    ]


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(family, marks=() if family in ("gpt2", "llama-tiled") else pytest.mark.long)
        for family in FAMILIES
    ],
)
def test_claims_about_blocks_add_up_to_the_value_of_the_weight(family: str) -> None:
    """With chunks of several sizes, at points that nobody chose."""
    draw, found = random.Random(7), Counter[str]()
    for kind, program in FAMILIES[family].programs.items():
        if not program.weights:
            continue
        case = random_statement(FAMILIES[family], kind)
        plan = Plan(program, chunk_bits=MU)
        parameters = tuple(case.parameters[name] for name in program.parameters)
        statement = Statement(StepKey(parameters, ()), case.publics, ())  # claims read no commitment
        bits = statement.context_bits(plan)
        length = plan.variables(bits) + 20
        rho, r = ([draw.randrange(MODULUS) for _ in range(length)] for _ in range(2))
        point = Point(plan, statement, bits, Challenges(0, 0, 0, rho, r))
        tensors = {**case.tensors, **{table.name: table.values() for table in plan.constants if table.values}}
        for mu in (4, 9, MU):
            chunks = {
                WEIGHTS: plan.pack_weights(tensors, mu),
                TABLES: plan.table_layout(mu).pack(tensors),
            }
            at = _Key(plan, mu)
            for evaluation in plan.evaluations:
                if plan.tensors[evaluation.tensor].kind not in (Kind.WEIGHT, Kind.CONSTANT):
                    continue
                table = tensors[evaluation.tensor]
                in_quads = evaluation.tensor in plan.in_quads
                own = numbers(quads_of(table).reshape(-1, QUAD)) if in_quads else to_field(table.reshape(-1))
                whole = evaluate(own, point.resolve(evaluation))
                value = 0
                for claim in _claims(at, point, evaluation, 3):  # type: ignore[arg-type]
                    for (source, index), weight in claim.weights:  # type: ignore[misc]
                        chunk = chunks[source][index]
                        table = np.zeros((1 << mu, *chunk.shape[1:]), dtype=np.int64)
                        table[: len(chunk)] = chunk
                        own = to_field(table) if chunk.ndim == 1 else numbers(table)
                        value += claim.coefficient * weight * evaluate(own, claim.point)
                assert value % MODULUS == 3 * whole % MODULUS
                found["quads" if in_quads else "others"] += 1
    assert min(found.values()) and len(found) == 2


class _Key:
    """What claims read of a verifying key."""

    def __init__(self, plan: Plan, chunk_bits: int) -> None:
        self.plan, self.chunk_bits = plan, chunk_bits


def test_parts_follow_the_axes() -> None:
    plan = Plan(REAL.programs["mlp"], chunk_bits=18)
    evaluation = next(e for e in plan.evaluations if e.tensor == "w_up")
    assert plan.parts_by_axis(evaluation) == tuple((part,) for part in evaluation.parts)
    block = plan.key_layout(18).by_tensor["w_up"][-1]
    assert block.axes == (1, 0), "what claims bind to r lies last"
    factors, parts = plan.in_block(evaluation, block)
    assert evaluation.parts == (
        Slice("r", Bits(10), Bits(10)),
        Slice("rho", Bits(11), Bits(11) - Bits(QUAD_BITS)),
    )
    assert factors == ((Slice("rho", Bits(11), Bits(2)), 2), (Slice("r", Bits(10), Bits(4)), 8))
    assert parts == (Slice("rho", Bits(9), Bits(7)), Slice("r", Bits(6), Bits(6)))
    down = next(e for e in plan.evaluations if e.tensor == "w_down")
    factors, parts = plan.in_block(down, plan.key_layout(18).by_tensor["w_down"][-1])
    assert down.parts == (Slice("r", Bits(11), Bits(11)), Slice("rho", Bits(10), Bits(8)))
    assert factors == ((Slice("rho", Bits(10), Bits(4)), 8),)
    assert parts == (Slice("rho", Bits(6), Bits(4)), Slice("r", Bits(11), Bits(11)))


def test_only_axes_that_claims_bind_by_one_slice_may_be_cut() -> None:
    """The experts of a bias are two axes of the claim; an axis of one group has no coordinates at all."""
    plan = Plan(FAMILIES["deepseek-v3"].programs["router"], chunk_bits=18)
    assert plan._shape_of(plan.tensors["choice_bias"]).cuttable == (False,)
    plan = Plan(FAMILIES["gpt2"].programs["positions"], chunk_bits=18)
    assert plan._shape_of(plan.tensors["positions"]).cuttable == (False, True)
    plan = Plan(FAMILIES["llama"].programs["keys_values"], chunk_bits=18)
    (key,) = (e for e in plan.evaluations if e.tensor == "w_key")
    shape_of_key = plan._shape_of(plan.tensors["w_key"])
    assert [bool(plan.parts_by_axis(key)[axis]) for axis in shape_of_key.axes] == list(shape_of_key.cuttable)
    assert shape_of_key.cuttable == (True, False, False), "one group, and one quad of channels"


def test_an_axis_that_is_indexed_by_bits_cannot_lie_in_a_block() -> None:
    plan = Plan(FAMILIES["gpt2"].programs["positions"], chunk_bits=18)
    evaluation = next(e for e in plan.evaluations if e.tensor == "positions")
    axis = plan.axes["position"].fixed
    indexed = replace(evaluation, parts=(FixedBits(3, Bits(axis)), *evaluation.parts[2:]))
    pieces = (Piece(0, axis - 1), Piece(0, plan.axes["channel"].fixed))
    with pytest.raises(ValueError, match="cannot be cut"):
        plan.in_block(indexed, Block("positions", (0, 1), pieces, 0, 1))


def test_a_table_is_as_large_as_its_axes() -> None:
    plan = Plan(REAL.programs["attention"], chunk_bits=18)
    assert plan._shape_of(plan.tensors["rotation"]) == TensorShape(
        "rotation", (0, 1, 2), (11, 1, 6), (1 << 11, 2, 1 << 6), (False, False, False)
    )


def test_weights_of_a_family_are_padded_as_the_layout_expects() -> None:
    program = REAL.programs["mlp"]
    weight = program.weights[0]
    table = weight_table(program, weight, np.ones((576, 1536), dtype=np.int64))
    assert table.shape == (1024, 2048) and table[:576, :1536].all() and table.sum() == 576 * 1536
