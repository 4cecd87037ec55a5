"""Which integers the range checks of every step let pass: both ends of every tensor, exactly."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import pytest

from prover.architectures.llama import LlamaConfig
from prover.field.arrays import MODULUS
from prover.operators.attend import Attend
from prover.operators.exponential import LARGEST_DISTANCE, LARGEST_HIDDEN_DISTANCE
from prover.operators.rounding import RangeCheck, Shift, SignedRange
from prover.program import Program
from prover.relations import (
    Constant,
    Expression,
    Lookup,
    Parameter,
    PowerOfTwo,
    Product,
    Ref,
    Sum,
    references,
)
from tests.prover.architectures.random_models import FAMILIES
from tests.prover.operators.random_layers import KINDS, SMALL, program_of
from tests.verifier_gen.statements import REAL

SHIFT = 11  # of every requantisation whose shift is in the step key
LIMB = 16


def signed(bits: int) -> tuple[int, int]:
    return -(1 << (bits - 1)), 1 << (bits - 1)


def unsigned(bits: int) -> tuple[int, int]:
    return 0, 1 << bits


NORM = {"normalised": signed(16), "normalised_remainder": unsigned(24), "normalised_limbs": unsigned(16)}
RANGES = {
    "mlp": {
        **NORM,
        "gate_remainder": unsigned(SHIFT),
        "up": signed(21),
        "up_remainder": unsigned(SHIFT),
        "product": signed(28),
        "product_remainder": unsigned(8),
        "summand_remainder": unsigned(SHIFT),
        "after": signed(31),
    },
    "keys_values": {
        **NORM,
        "key": signed(16),
        "key_remainder": unsigned(SHIFT),
        "keys": signed(16),
        "keys_remainder": unsigned(14),
        "values": signed(18),
        "values_remainder": unsigned(SHIFT),
    },
    "attention": {
        **NORM,
        **{name: signed(16) for name in ("query", "rotated_query")},
        **{f"{name}_remainder": unsigned(SHIFT) for name in ("query", "summand")},
        "rotated_query_remainder": unsigned(14),
        "distance_high": unsigned(16),
        "distance_remainder": unsigned(5),  # 2 * 8 + log2 sqrt(4) - 12
        "attended": signed(18),
        "after": signed(31),
    },
    "head": {**NORM, "margin_limbs": unsigned(16)},
    "head_tile": {**NORM, **{f"margin_limb_{i}": unsigned(16) for i in range(3)}},
    "attention_norm": NORM,
    "mlp_norm": NORM,
    **{
        f"{name}_close": {"summand_remainder": unsigned(SHIFT), "after": signed(31)}
        for name in ("attention", "mlp")
    },
}
RANGES["attention_tile"] = {
    name: ends
    for name, ends in RANGES["attention"].items()
    if name not in (*NORM, "summand_remainder", "after")
}
RANGES |= {f"{name}_tile": {} for name in ("keys_values", "query")}  # sums have no range
RANGES["keys_values_close"] = {n: e for n, e in RANGES["keys_values"].items() if n not in NORM}
RANGES["query_close"] = {
    "raw_query": signed(26),
    "raw_query_remainder": unsigned(SHIFT),
    "query_limbs": unsigned(16),
    "query_remainder": unsigned(32),
    **{name: signed(16) for name in ("query", "rotated_query")},
    "rotated_query_remainder": unsigned(14),
}
RANGES["mlp_tile"] = {
    name: ends for name, ends in RANGES["mlp"].items() if name not in (*NORM, "summand_remainder", "after")
}


def _value(expression: Expression, tensors: dict[str, int]) -> int:
    match expression:
        case Sum(terms):
            return sum(_value(term, tensors) for term in terms)
        case Product(factors):
            return prod(_value(factor, tensors) for factor in factors)
        case Constant(value):
            return value
        case Parameter():
            return SHIFT
        case PowerOfTwo(_, offset):
            return 1 << (SHIFT + offset)
        case Ref(tensor):
            return tensors[tensor]
    raise AssertionError(expression)


def _range_lookups(program: Program, tensor: str) -> list[Lookup]:
    """Lookups into the range table that read the tensor and, besides, its high limb at most."""
    found = []
    for relation in program.relations:
        if isinstance(relation, Lookup) and relation.second == Constant(0):
            names = {ref.tensor for ref in references(relation.first)}
            if names and names <= {tensor, f"{tensor}_high"}:
                found.append(relation)
    return found


def _passes(lookups: list[Lookup], tensor: str, value: int, low: int) -> bool:
    """With the only high limb that leaves a low one in 0 .. 2^16 - 1."""
    tensors = {tensor: value, f"{tensor}_high": (value - low) >> LIMB}
    return all(
        0 <= _value(lookup.first, tensors) < 1 << _value(lookup.tag, tensors)
        and _value(lookup.tag, tensors) <= LIMB
        for lookup in lookups
    )


@pytest.mark.parametrize(
    ("kind", "tensor"), [(kind, tensor) for kind, tensors in RANGES.items() for tensor in tensors]
)
def test_a_tensor_has_exactly_its_range(kind: str, tensor: str) -> None:
    low, high = RANGES[kind][tensor]
    lookups = _range_lookups(program_of(kind), tensor)
    assert lookups, "nothing checks its range"
    for value in (low, low + 1, (low + high) // 2, high - 1):
        assert _passes(lookups, tensor, value, low), value
    for value in (low - 1, high, low - (1 << LIMB), high + (1 << LIMB), 2 * high + 1):
        assert not _passes(lookups, tensor, value, low), value


def test_every_kind_is_listed() -> None:
    assert RANGES.keys() == set(KINDS)


@pytest.mark.parametrize("kind", RANGES)
def test_no_range_is_left_out(kind: str) -> None:
    """Every lookup into the range table belongs to a tensor of the list, or to the division of attention."""
    program = program_of(kind)
    listed = {lookup.name for tensor in RANGES[kind] for lookup in _range_lookups(program, tensor)}
    others = {
        relation.name
        for relation in program.relations
        if isinstance(relation, Lookup) and relation.second == Constant(0) and relation.name not in listed
    }
    division = {
        f"attended_{part}_{limb}_range" for part in ("remainder", "complement") for limb in ("low", "high")
    }
    assert others == (division if kind in ("attention", "attention_tile") else set())


@pytest.mark.parametrize("bits", range(1, 33))
def test_a_range_check_of_any_width_has_exact_ends(bits: int) -> None:
    check = RangeCheck("x", ("row",), Ref("x"), bits)
    lookups = list(check.relations())
    assert len(lookups) == (1 if bits <= LIMB else 2)
    for value, allowed in ((0, True), ((1 << bits) - 1, True), (-1, False), (1 << bits, False)):
        assert _passes(lookups, "x", value, 0) == allowed
    lookups = list(SignedRange("x", ("row",), bits).check.relations())
    low, high = signed(bits) if bits > 1 else (-1, 1)
    for value, allowed in ((low, True), (high - 1, True), (low - 1, False), (high, False)):
        assert _passes(lookups, "x", value, low) == allowed


def test_a_shift_is_a_constant_or_a_parameter() -> None:
    constant, parameter = Shift(constant=7), Shift(parameter="down_shift")
    assert (constant.value({}), parameter.value({"down_shift": 9})) == (7, 9)
    assert (_value(constant.tag, {}), _value(parameter.tag, {})) == (7, SHIFT)
    for offset in (0, -1, 3):
        assert _value(constant.power(offset), {}) == 1 << (7 + offset)
        assert _value(parameter.power(offset), {}) == 1 << (SHIFT + offset)


@pytest.mark.parametrize("bits", [0, 33])
def test_a_range_check_has_one_limb_or_two(bits: int) -> None:
    with pytest.raises(ValueError, match="bits"):
        RangeCheck("x", ("row",), Ref("x"), bits)


# --- bounds that keep equations in the integers -------------------------------------------------------------------


def _attend(config: LlamaConfig) -> Attend:
    (found,) = (o for o in config.programs["attention"].operators if isinstance(o, Attend))
    return found


@pytest.mark.parametrize("config", [SMALL, REAL], ids=["small", "real"])
def test_every_distance_has_digits(config: LlamaConfig) -> None:
    """With |score| <= size * 2^30: 2 |score| fits those of a visible pair, OFFSET - 2 |score| is not negative, and OFFSET + 2 |score|
    fits those of a masked one."""
    attend = _attend(config)
    largest_score = config.head_size << 30
    offset = 1 << attend.offset_bits
    assert (2 * largest_score) >> attend.shift <= LARGEST_DISTANCE
    assert offset - 2 * largest_score >= 0
    assert (offset + 2 * largest_score) >> attend.shift <= LARGEST_HIDDEN_DISTANCE


@pytest.mark.parametrize("family", ["qwen3", "gemma3"])
def test_norms_of_queries_and_keys_bound_their_scores(family: str) -> None:
    """sum_c n_c^2 <= size and gains of 2^(bits - 1 - scale) at most: |score| <= size * gain^2, twice that with roundings."""
    config = FAMILIES[family]
    (attend,) = (o for o in config.programs["attention"].operators if isinstance(o, Attend))
    scales = config.scales
    gain = 1 << (scales.head_gain_bits - 1 - scales.head_gain)
    largest_score = 2 * config.head_size * (gain << scales.query) ** 2  # type: ignore[attr-defined]
    offset = 1 << attend.offset_bits
    assert (2 * largest_score) >> attend.shift <= LARGEST_DISTANCE
    assert offset - 2 * largest_score >= 0
    assert (offset + 2 * largest_score) >> attend.shift <= LARGEST_HIDDEN_DISTANCE


@pytest.mark.parametrize(("total", "real"), [(1, 1), (5, 1), (65535, 1), (0, 0)])
def test_the_remainder_of_a_mean_is_below_twice_the_weight_sum(total: int, real: int) -> None:
    """One more would be a second way to write the same mean: quotient one less, remainder 2 S. Where there is no head it is 0 of 1."""
    checks = _attend(SMALL)._remainder_checks
    for remainder in (-1, 0, 1, 2 * total - 1, 2 * total):
        values = [
            _value(
                check.expression, {"attended_remainder": remainder, "weight_sum": total, "real_heads": real}
            )
            for check in checks
        ]
        inside = all(0 <= number < 1 << check.bits for number, check in zip(values, checks, strict=True))
        assert inside == (0 <= remainder < 2 * total + 1 - real), remainder


@pytest.mark.parametrize("config", [SMALL, REAL], ids=["small", "real"])
def test_twice_the_weight_sum_fits_the_range_of_its_remainders(config: LlamaConfig) -> None:
    """0 <= remainder and 0 <= 2 S - 1 - remainder, each below 2^bits, with 2 S <= 2 * 65535 * positions."""
    for check in _attend(config)._remainder_checks:
        assert 2 * 65535 * config.max_positions < 1 << check.bits < MODULUS >> 64


def test_an_odd_head_size_is_refused() -> None:
    """Rotary positions turn pairs of channels."""
    for size in (3, 5):
        with pytest.raises(ValueError, match="head size"):
            _ = replace(SMALL, head_size=size).programs
