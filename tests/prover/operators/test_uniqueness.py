"""The output of an operator is a function of its input: exhaustively on tiny sizes, by bounds on the real ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prover.architectures.llama import LlamaConfig
from prover.architectures.shapes import TILED
from prover.field.arrays import MODULUS
from prover.hunt.noticing import Changes, Hunt, Part
from prover.operators.exponential import LARGEST_HIDDEN_DISTANCE
from prover.operators.inverse_root import ROOT_LIMBS, SLACK_LIMBS
from prover.operators.multiply import Multiply
from prover.operators.rms_norm import RmsNorm
from prover.program import Kind, Program, Tensor
from prover.relations import Bits, Contraction, Lookup, Pointwise, Ref, references
from prover.tables import RANGE_BITS
from tests.verifier_gen.statements import REAL

from .hunts import whole_hunt
from .intervals import LARGEST_WEIGHT_BITS, bounds, is_one_of_integers, residue, signed, stream_limits
from .random_layers import SMALL

LARGE = replace(
    REAL, hidden=8192, heads=64, kv_heads=8, head_size=128, feed_forward=28_672, max_positions=16_384
)
"""The width of Llama 3 70B."""
LARGEST_CONTEXT_BITS = 11  # window 63: 2,048 positions
UNBOUNDED = {"max_selector"}
"""b with sum b = 1 and b z = 0 may be anything where z = 0; the relations that read it are looked at one by one."""


# --- nothing wraps around the field ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        pytest.param(shape, kind, id=f"{kind}-{name}")
        for name, shape in (("small", SMALL), ("real", REAL), ("tiled", TILED), ("large", LARGE))
        for kind in shape.steps
    ],
)
def test_every_relation_is_one_of_integers(kind: str, shape: LlamaConfig) -> None:
    """Range checks bound every value of the prover, so that both sides of an equation differ by less than r: equal in
    the field is equal."""
    program = shape.programs[kind]
    bits = (shape.max_positions - 1).bit_length()
    known = bounds(program, bits, LARGEST_WEIGHT_BITS, stream_limits(shape.programs))
    committed = {
        name for name, t in program.tensors.items() if t.kind is Kind.WITNESS or t in program.written
    }
    assert committed - known.keys() == (UNBOUNDED & committed)
    for relation in program.relations:
        if isinstance(relation, Lookup):
            continue
        read = {ref.tensor for ref in references(relation.expression)}
        if isinstance(relation, Contraction):
            read |= {factor.tensor for term in relation.terms for factor in term.factors}
        if not read & UNBOUNDED:
            assert is_one_of_integers(program, relation, known, bits), relation.name


@pytest.mark.parametrize("shape", [SMALL, REAL, LARGE], ids=["small", "real", "large"])
def test_the_selector_points_only_where_the_distance_is_zero(shape: LlamaConfig) -> None:
    """selector * distance = 0 in a field leaves one of them zero, and a distance below r is zero as an integer."""
    program = shape.programs["attention_tile" if shape.attention.tiles else "attention"]
    reading = [
        relation
        for relation in program.relations
        if not isinstance(relation, Lookup)
        and (
            "max_selector" in {ref.tensor for ref in references(relation.expression)}
            or (
                isinstance(relation, Contraction)
                and any(factor.tensor == "max_selector" for term in relation.terms for factor in term.factors)
            )
        )
    ]
    (selected,) = (relation for relation in reading if isinstance(relation, Contraction))
    (attained,) = (r for r in reading if isinstance(r, Pointwise) and r.name != "max_selector_outside")
    assert [factor for term in selected.terms for factor in term.factors] == [Ref("max_selector")]
    streams = stream_limits(shape.programs)
    known = {**bounds(program, LARGEST_CONTEXT_BITS, streams=streams), "max_selector": signed(2)}
    distance = residue(program, attained, known, LARGEST_CONTEXT_BITS)
    assert distance.magnitude < MODULUS // 2
    (attend,) = (operator for operator in program.operators if hasattr(operator, "offset_bits"))
    masked = 1 << attend.offset_bits
    scores = known[attend.query] * known[attend.key]
    largest = scores.times(program.shape(("head_channel",), 5)[0]).magnitude
    assert 2 * largest <= distance.magnitude  # what is visible is not too far for its digits
    assert 2 * largest < masked  # a masked pair's distance is not negative
    assert (masked + 2 * largest) >> attend.shift <= LARGEST_HIDDEN_DISTANCE  # nor too far for its digits


# --- tiny operators, all of their witnesses -------------------------------------------------------------------

SHIFT, BITS = 3, 5


def _hunt(program: Program, tensors: dict[str, np.ndarray]) -> Hunt:
    witness = program.witness(tensors, {}, {})
    hunt = Hunt(program, program.relations, program.tables, witness, {}, {}, 5)
    assert all(hunt.holds(relation) for relation in program.relations)
    return hunt


def _rounding() -> tuple[Hunt, np.ndarray]:
    """Every accumulator whose result has BITS bits: (accumulators,) = left * 1."""
    accumulators = np.arange(-(1 << (SHIFT + BITS - 1)) + (1 << (SHIFT - 1)), (1 << (SHIFT + BITS - 1)) - 8)
    padded = np.zeros(1 << (SHIFT + BITS), dtype=np.int64)
    padded[: len(accumulators)] = accumulators
    program = Program(
        name="rounding",
        own_axes={"cell": Bits(SHIFT + BITS)},
        inputs=(Tensor("left", ("cell",), Kind.ROW), Tensor("right", ("cell",), Kind.ROW)),
        operators=(Multiply("left", "right", "y", ("cell",), SHIFT, BITS),),
    )
    return _hunt(program, {"left": padded, "right": np.ones_like(padded)}), padded


def test_every_accumulator_has_one_rounding() -> None:
    """All remainders of the range, each with the only y of the whole field that solves the equation."""
    hunt, accumulators = _rounding()
    cells = np.arange(len(accumulators))
    accepted = np.zeros(len(cells), dtype=int)
    for remainder in range(1 << SHIFT):
        inverse = pow(1 << SHIFT, -1, MODULUS)
        y = (accumulators.astype(object) + (1 << (SHIFT - 1)) - remainder) * inverse % MODULUS
        forged = {
            "y": Part(cells, y, cells),
            "y_remainder": Part(cells, np.full(len(cells), remainder, dtype=object), cells),
        }
        noticed = hunt.noticed(Changes(len(cells), forged))
        assert not noticed["y"].any()
        accepted += ~np.any(list(noticed.values()), axis=0)
    assert (accepted == 1).all()


@settings(deadline=None)
@given(
    remainder=st.integers(-4, 3 << SHIFT), y=st.integers(-(2 << BITS), 2 << BITS), cell=st.integers(0, 200)
)
def test_no_other_pair_rounds(remainder: int, y: int, cell: int) -> None:
    hunt, _ = _ROUNDING
    valid = (hunt.value("y")[cell], hunt.value("y_remainder")[cell])
    one = np.array([cell])
    forged = {
        "y": Part(one, np.array([y], dtype=object), np.zeros(1, dtype=int)),
        "y_remainder": Part(one, np.array([remainder], dtype=object), np.zeros(1, dtype=int)),
    }
    noticed = any(seen.any() for seen in hunt.noticed(Changes(1, forged)).values())
    assert noticed == ((y, remainder) != valid)


_ROUNDING = _rounding()


def test_every_mean_square_has_one_root() -> None:
    """All roots below 64, each with the limbs that come closest to both slacks, negative ones as field elements."""
    norm = RmsNorm(
        x=Ref("x"),
        output="n",
        rows=("row",),
        real_channels=2,
        epsilon=1,
        root_scale=4,
        shift=3,
        bits=16,
    )
    program = Program(
        name="norm",
        own_axes={"row": Bits(5), "channel": Bits(1), "limb": Bits(4)},
        inputs=(Tensor("x", ("row", "channel"), Kind.BOUNDARY),),
        operators=(norm,),
        real_sizes={"channel": 2},
    )
    x = np.stack([np.arange(32), np.arange(32) // 3], axis=1)
    hunt = _hunt(program, {"x": x})
    rows, mean_square = np.arange(32), hunt.value("n_mean_square")
    accepted = np.zeros(32, dtype=int)
    for root in range(64):
        limbs = [_limbs(norm, int(value), root) for value in mean_square]
        remainder = [int(v) * root + 4 - 8 * int((int(v) * root + 4) >> 3) for v in x.reshape(-1)]
        forged = {
            "n_root": Part(rows, np.full(32, root, dtype=object), rows),
            "n_limbs": Part(
                np.arange(32 * 16),
                np.array([v for row in limbs for v in row], dtype=object),
                np.repeat(rows, 16),
            ),
            "n": Part(np.arange(64), (x.reshape(-1).astype(object) * root + 4) >> 3, np.repeat(rows, 2)),
            "n_remainder": Part(np.arange(64), np.array(remainder, dtype=object), np.repeat(rows, 2)),
        }
        accepted += ~np.any(list(hunt.noticed(Changes(32, forged)).values()), axis=0)
    assert (accepted == 1).all()


def _limbs(norm: RmsNorm, mean_square: int, root: int) -> list[int]:
    below = norm._root.numerator - root * root * mean_square
    above = (root + 1) ** 2 * mean_square - 1 - norm._root.numerator
    result = []
    for value, count in ((root, ROOT_LIMBS), (below % MODULUS, SLACK_LIMBS), (above % MODULUS, SLACK_LIMBS)):
        result += [value >> (RANGE_BITS * i) & 0xFFFF for i in range(count - 1)]
        result.append(value >> (RANGE_BITS * (count - 1)))
    return result


@settings(deadline=None)
@given(remainder=st.integers(0, (1 << 32) - 1), entry=st.integers(0, 383))
def test_no_other_remainder_divides(remainder: int, entry: int) -> None:
    """The weighted mean of a real head: every remainder has one quotient in the field, and only one of them is in range."""
    hunt = whole_hunt("attention", 1)
    total = int(hunt.value("weight_sum")[entry // SMALL.head_size])
    valid = (int(hunt.value("attended")[entry]), int(hunt.value("attended_remainder")[entry]))
    numerator = 2 * total * valid[0] + valid[1]  # 2 sum e v + S
    quotient = (numerator - remainder) * pow(2 * total, -1, MODULUS) % MODULUS
    complement = 2 * total - 1 - remainder
    one, group = np.array([entry]), np.zeros(1, dtype=int)
    forged = {
        "attended": quotient,  # a field element; its limb is that of the integer, if it is one
        "attended_remainder": remainder,
        "attended_remainder_high": remainder >> 16,
        "attended_complement_high": complement >> 16,
        "attended_high": ((quotient + (1 << 17)) % MODULUS) >> 16,
    }
    parts = {name: Part(one, np.array([value], dtype=object), group) for name, value in forged.items()}
    noticed = hunt.noticed(Changes(1, parts))
    assert not noticed["attended"].any()
    own = [name for name in noticed if name.startswith("attended_")]
    assert any(noticed[name].any() for name in own) == (remainder != valid[1])
