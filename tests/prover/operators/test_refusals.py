"""`run` refuses a value if and only if no witness satisfies the relations: both directions, at every border.

An honest witness passes where `run` accepts. Where it refuses, the honest witness violates a range, and the values that a
forger could take instead are tried one by one: every remainder of its range with the only output that the equation
leaves (in the field), and every high limb of its range.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prover.operators
from prover.architectures.steps import Heads
from prover.check import Checker, check
from prover.committed_values import commit_step_key
from prover.field.arrays import MODULUS
from prover.operators.activation import Activation
from prover.operators.attend import MOST_POSITIONS, SUM_BITS
from prover.operators.matmul import MatMul
from prover.operators.multiply import Multiply
from prover.operators.residual_add import ResidualAdd
from prover.operators.rms_norm import RmsNorm
from prover.operators.rotary import Rotary, RotaryTable
from prover.operators.rounding import Shift
from prover.program import WINDOW_ROWS, OutOfRange, WitnessContext
from prover.prove import StatementFalseError, prove
from prover.relations import Along, Ref
from prover.statement import Statement
from prover.verify import verify
from tests.prover.architectures.random_models import (
    FAMILIES,
    TILED_FAMILIES,
    random_statement,
)
from tests.prover.architectures.test_programs import run
from tests.prover.statements import public_statement, srs, verifying_key

from .random_layers import SMALL, input_points
from .random_layers import random_statement as small_statement
from .statements import OperatorCase, violations

SHIFT, WIDTHS = 3, (5, 16, 18)
X = ("row", "channel")


@dataclass(frozen=True)
class Border:
    """An operator whose output for the first row is `target`; the equation is 2^shift out + remainder = total."""

    case: OperatorCase
    output: str
    remainder: str
    shift: int
    bits: int
    total: int

    @property
    def accepted(self) -> bool:
        try:
            self.case.run()
        except OutOfRange as refused:
            assert refused.position == 0
            return False
        return True

    def forgeries(self) -> Iterator[dict[str, np.ndarray]]:
        """The witness with every remainder of its range, its output, and every high limb of its range."""
        honest = self.case.witness()
        limbs = range(1 << max(0, self.bits - 16))
        inverse = pow(1 << self.shift, -1, MODULUS)
        for remainder in range(1 << self.shift):
            if self.shift > SHIFT and (self.total - remainder) % (1 << self.shift):
                continue  # a fraction in the field: see test_no_fraction_is_small
            for limb in limbs:
                forged = {name: np.asarray(values).astype(object) for name, values in honest.items()}
                forged[self.output].reshape(-1)[0] = (self.total - remainder) * inverse % MODULUS
                forged[self.remainder].reshape(-1)[0] = remainder
                if f"{self.output}_high" in forged:
                    forged[f"{self.output}_high"].reshape(-1)[0] = limb
                yield forged


def fits(total: int, shift: int, bits: int) -> bool:
    """The meaning: floor(total / 2^shift) has `bits` bits."""
    return -(1 << (bits - 1)) <= total >> shift < 1 << (bits - 1)


def around(bits: int, shift: int, steps: Iterable[int] = (-2, -1, 0, 1)) -> list[int]:
    """Totals whose quotient is the border, one less and one more, with the smallest and largest remainder."""
    quotients = [sign * (1 << (bits - 1)) + step for sign in (-1, 1) for step in steps]
    return [(q << shift) + r for q in quotients for r in (0, (1 << shift) - 1)]


def at_and_near(bits: int, every_run: bool = True) -> Iterator[tuple[int, tuple[pytest.MarkDecorator, ...]]]:
    """The last totals that fit and the first that do not, on both sides; those beside them in the long tests."""
    border = around(bits, SHIFT, (-1, 0)) if every_run else ()
    for total in around(bits, SHIFT):
        yield total, () if total in border else (pytest.mark.long,)


def matmul(total: int, bits: int, bias: int) -> Border:
    accumulator = total - (1 << (SHIFT - 1))
    operator = MatMul(
        Ref("x"), "w", "y", X, ("inner",), Shift(parameter="y_shift"), bits, (1,), bias="b" if bias else None
    )
    weights = {"w": (("inner", "channel"), np.array([[1], [0]]))}
    if bias:
        weights["b"] = (("channel",), np.array([bias]))
    x = np.array([[accumulator - bias, 3], [0, 0], [1, 1], [2, 2]])
    case = OperatorCase(
        (operator,), {"channel": 1, "inner": 2}, {"x": (("row", "inner"), x)}, weights, {"y_shift": SHIFT}
    )
    return Border(case, "y", "y_remainder", SHIFT, bits, total)


def multiply(total: int, bits: int) -> Border:
    operator = Multiply("x", "one", "y", X, SHIFT, bits)
    inputs = {
        "x": (X, np.array([[total - (1 << (SHIFT - 1))], [1], [2], [3]])),
        "one": (X, np.ones((4, 1), dtype=np.int64)),
    }
    return Border(
        OperatorCase((operator,), {"channel": 1}, inputs, {}, {}), "y", "y_remainder", SHIFT, bits, total
    )


def residual(total: int, bits: int) -> Border:
    """after = x + y with y = floor(acc / 2^s): the output is a boundary, y is virtual."""
    base = 9
    accumulator = total - (1 << (SHIFT - 1)) - (base << SHIFT)
    inner = MatMul(Ref("z"), "w", "y", X, ("inner",), Shift(constant=SHIFT), None, (1,), committed=False)
    add = ResidualAdd(Ref("x"), "y", "after", X, bits)
    inputs = {
        "z": (("row", "inner"), np.array([[accumulator, 3], [0, 0], [1, 1], [2, 2]])),
        "x": (X, np.array([[base], [0], [0], [0]])),
        "after": (X, np.zeros((4, 1), dtype=np.int64)),
    }
    weights: Mapping = {"w": (("inner", "channel"), np.array([[1], [0]]))}
    case = OperatorCase((inner, add), {"channel": 1, "inner": 2}, inputs, weights, {})
    return Border(case, "after", "y_remainder", SHIFT, bits, total)


BORDERS = [
    *(
        pytest.param(matmul(t, bits, bias), id=f"matmul{'+bias' if bias else ''}-{bits}-{t}", marks=marks)
        for bias in (0, 77)
        for bits in WIDTHS
        for t, marks in at_and_near(bits, every_run=not bias or bits == WIDTHS[1])
    ),
    *(
        pytest.param(multiply(t, bits), id=f"multiply-{bits}-{t}", marks=marks)
        for bits in WIDTHS
        for t, marks in at_and_near(bits, every_run=bits == WIDTHS[1])
    ),
    *(
        pytest.param(residual(t, bits), id=f"residual-{bits}-{t}", marks=marks)
        for bits in WIDTHS
        for t, marks in at_and_near(bits, every_run=bits == WIDTHS[0])
    ),
]


def _passes(case: OperatorCase, witness: Mapping[str, np.ndarray], checker: object) -> bool:
    checker._tensors.update({name: np.asarray(v).astype(object) for name, v in witness.items()})  # type: ignore[attr-defined]
    return all(checker.violation(relation) is None for relation in case.program.relations)  # type: ignore[attr-defined]


@pytest.mark.parametrize("border", BORDERS)
def test_a_rounded_output_is_refused_exactly_where_no_witness_passes(border: Border) -> None:
    assert border.accepted == fits(border.total, border.shift, border.bits)
    case, honest = border.case, border.case.witness()
    violated = violations(case, honest)
    assert (violated == []) == border.accepted
    if border.accepted:
        return
    assert all(name.startswith(border.output) and name.endswith("_range") for name in violated)
    checker = case.checker(honest)
    assert not any(_passes(case, forged, checker) for forged in border.forgeries())


@settings(deadline=None)
@given(
    shift=st.integers(1, 32),
    bits=st.integers(1, 32),
    accumulator=st.integers(-(1 << 60), 1 << 60),
    remainder=st.integers(0, (1 << 32) - 1),
)
def test_no_fraction_is_small(shift: int, bits: int, accumulator: int, remainder: int) -> None:
    """(acc - remainder) / 2^shift in the field is an integer, or far from every range."""
    remainder %= 1 << shift
    quotient = (accumulator - remainder) * pow(1 << shift, -1, MODULUS) % MODULUS
    inside = (quotient + (1 << (bits - 1))) % MODULUS < 1 << bits
    exact = (accumulator - remainder) % (1 << shift) == 0
    assert inside == (exact and fits(accumulator - remainder, shift, bits))


@pytest.mark.parametrize("total", around(5, 14))
def test_a_rotation_is_refused_exactly_where_no_witness_passes(total: int) -> None:
    """At position 0 cos = 2^14 and sin = 0; the odd totals come from the row at position 1."""
    table = RotaryTable(10_000, 2, 2, 1)
    rotary = Rotary("x", "y", ("row", "head_channel"), (Along("row"),), (table,), 5)
    inputs = {"x": (("row", "head_channel"), np.array([[total >> 14, 0], [1, -2], [0, 0], [3, 3]]))}
    sizes = {"head_channel": 2, "position": 4}
    border = Border(
        OperatorCase((rotary,), sizes, inputs, {}, {}),
        "y",
        "y_remainder",
        14,
        5,
        ((total >> 14) << 14) + (1 << 13),
    )
    assert border.accepted == fits(border.total, 14, 5)
    violated = violations(border.case, border.case.witness())
    assert violated == ([] if border.accepted else ["y_range"])
    if not border.accepted:
        checker = border.case.checker(border.case.witness())
        assert not any(_passes(border.case, forged, checker) for forged in border.forgeries())


def test_a_table_is_refused_exactly_where_it_has_no_row() -> None:
    bits = 6
    for value in (-33, -32, -31, 0, 30, 31, 32, 33):
        x = np.array([[value], [0], [1], [-1]])
        case = OperatorCase(
            (Activation("x", "a", X, bits, 3, 3, "silu"),), {"channel": 1}, {"x": (X, x)}, {}, {}
        )
        try:
            case.run()
            accepted = True
        except OutOfRange as refused:
            assert (refused.tensor, refused.position, refused.value) == ("x", 0, value)
            accepted = False
        assert accepted == (-32 <= value < 32)
        witness = case.witness()
        assert (violations(case, witness) == []) == accepted
        checker = case.checker(witness)
        for output in range(-40, 40):  # every value of the table, and some beyond
            witness["a"][0, 0] = output
            passes = _passes(case, witness, checker)
            assert passes == (accepted and output == case.run()["a"][0, 0])


def test_a_norm_with_a_gain_is_refused_exactly_at_its_range() -> None:
    """The gain alone takes it out: |n| grows by 0.6 with every step of it, so both borders are met."""
    seen: dict[bool, set[int]] = {True: set(), False: set()}
    for gain in (*range(-30, -23), *range(23, 30)):
        norm = RmsNorm(Ref("x"), "n", ("row",), 2, 1 << 8, 12, 13, 5, gain="g", gain_bits=6)
        x = np.array([[5_000, -3], [0, 0], [40, 30], [-7, 8]])
        weights = {"g": (("channel",), np.array([gain, 1]))}
        case = OperatorCase((norm,), {"channel": 2}, {"x": (X, x)}, weights, {})
        try:
            seen[True].add(int(case.run()["n"][0, 0]))
            violated = []
        except OutOfRange as error:
            assert (error.tensor, error.position) == ("n", 0)
            seen[False].add(error.value)
            violated = ["n_range"]
        assert violations(case, case.witness()) == violated
    assert {-16, 15} <= seen[True] and all(-16 <= n < 16 for n in seen[True])
    assert {-17, 16} <= seen[False] and all(not -16 <= n < 16 for n in seen[False])


def test_attention_never_refuses_what_its_widths_allow() -> None:
    """Queries, keys and values at the ends of their ranges, all alike (the largest sums) and all opposed."""
    statement = small_statement("attention", 1)
    program = statement.program
    (attend,) = (o for o in program.operators if hasattr(o, "offset_bits"))
    ends = {"rotated_query": 1 << 15, "keys": 1 << 15, "values": 1 << 17}
    for signs in ((1, 1, 1), (1, -1, -1), (-1, -1, 1)):
        witness = statement.witness()
        for (name, end), sign in zip(ends.items(), signs, strict=True):
            witness[name] = np.full_like(witness[name], end - 1 if sign > 0 else -end)
        context = WitnessContext(
            program, witness, statement.parameters, statement.publics, statement.context_bits
        )
        attend.witness(context)
        own = [r for r in attend.relations(program)]
        checker = Checker(program, witness, statement.parameters, statement.publics, statement.context_bits)
        assert [r.name for r in own if checker.violation(r)] == []
        heads = witness["attended"][witness["real_heads"] == 1]
        assert np.array_equal(np.unique(heads), np.unique(witness["values"]))
    assert 2 * 65_535 * MOST_POSITIONS < 1 << SUM_BITS <= 2 * 65_535 * 2 * MOST_POSITIONS


# --- whole steps ----------------------------------------------------------------------------------------------

WHOLE = ("llama", "gpt2", "gemma3", "mixtral", TILED_FAMILIES[0], "olmo2-tiled")
"""Families that together have every kind of step but slices of latents, which are added; the others are in `make test-long`."""


def _in_every_run(family: str, kind: str) -> bool:
    return family in WHOLE or kind.startswith("query_latent_")


def test_every_kind_of_step_is_in_every_run() -> None:
    kinds = {kind for config in FAMILIES.values() for kind in config.steps}
    assert kinds == {
        kind for family, config in FAMILIES.items() for kind in config.steps if _in_every_run(family, kind)
    }


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        pytest.param(family, kind, marks=() if _in_every_run(family, kind) else pytest.mark.long)
        for family, config in FAMILIES.items()
        for kind in config.steps
    ],
)
def test_a_step_is_refused_exactly_where_its_witness_fails(family: str, kind: str) -> None:
    _assert_refused_exactly_where_the_witness_fails(family, kind, 0, range(2))


@pytest.mark.long
@pytest.mark.parametrize(
    ("family", "kind", "window"),
    [
        (family, kind, window)
        for family, config in FAMILIES.items()
        for kind, program in config.programs.items()
        for window in range(1 + ("window" in program.public_scalars))
    ],
)
def test_many_steps_are_refused_exactly_where_their_witness_fails(
    family: str, kind: str, window: int
) -> None:
    _assert_refused_exactly_where_the_witness_fails(family, kind, window, range(2, 20))


def _assert_refused_exactly_where_the_witness_fails(
    family: str, kind: str, window: int, seeds: range
) -> None:
    """Rows of every size under shifts that are too small for some of them."""
    config, seen = FAMILIES[family], set()
    for seed in seeds:
        draw = np.random.default_rng(seed)
        statement = random_statement(config, kind, window, seed)
        ends = {"window": 30, "before": 30, "query_sum": 40, "key_sum": 40}  # log2; of all others 15
        names = (*ends, "normalised", "rotated_query", "query_latent")
        source = next(name for name in names if name in statement.tensors)
        scale, end = int(draw.integers(0, 15)) if seed else 0, 1 << ends.get(source, 15)
        rows = statement.tensors[source]
        scale += (
            14 if seed and source.endswith("_sum") else 0
        )  # a step that only rounds refuses large ones alone
        statement.tensors[source] = np.clip(rows << scale, -end, end - 1)
        for name in statement.parameters:
            if name.endswith("_shift"):
                lowest, highest = (4, 8) if seed % 2 else (12, 17)
                statement.parameters[name] = int(draw.integers(lowest, highest)) if seed else 16
        try:
            run(config, statement)
            accepted = True
        except OutOfRange as error:
            assert error.position >= WINDOW_ROWS * window
            accepted = False
        seen.add(accepted)
        violated = check(
            statement.program,
            statement.witness(),
            statement.parameters,
            statement.publics,
            statement.context_bits,
        )
        assert (violated == []) == accepted
        lookups = {r.name for r in statement.program.relations if hasattr(r, "tag")}
        assert not violated or {v.relation for v in violated} & lookups
    rounds = any(name.endswith("_shift") for name in FAMILIES[family].programs[kind].parameters)
    never = kind in ("head", "positions") or kind.endswith("_norm") or not rounds
    assert window or seen == ({True} if never else {True, False})


@pytest.mark.parametrize("kind", [pytest.param("mlp", marks=pytest.mark.long), "head"])
def test_a_row_whose_norm_exceeds_64_bits_is_proven(kind: str) -> None:
    """The honest provider can prove what it runs: ms is near 2^65, and both verifiers read the same relations."""
    key = verifying_key(kind)
    _, public, tensors = large_rows(kind)
    assert max(int(v) for v in np.asarray(tensors["normalised_mean_square"]).reshape(-1)) > 1 << 63
    verify(key, public, prove(key, srs(), public, tensors).encode())


def large_rows(kind: str):  # type: ignore[no-untyped-def]
    """A true statement about rows near the end of the boundary's range."""
    import tests.prover.statements as statements

    original = statements.random_statement

    def enlarged(kind: str, window: int = 0, seed: int = 1):  # type: ignore[no-untyped-def]
        statement = original(kind, window, seed)
        source = "window" if kind == "head" else "before"
        signs = np.sign(statement.tensors[source])
        statement.tensors[source] = signs * ((1 << 30) - (1 << 24))
        if kind == "head":
            row = statement.tensors[source][5] * (statement.tensors["chosen"] - statement.tensors["rival"])
            if row.sum() < 0:
                chosen = statement.tensors["chosen"]
                statement.tensors["chosen"], statement.tensors["rival"] = statement.tensors["rival"], chosen
        return statement

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statements, "random_statement", enlarged)
        return public_statement(kind)


def test_a_refused_step_cannot_be_proven_by_the_honest_prover() -> None:
    statement = small_statement("mlp")
    statement.parameters["up_shift"] = 1
    with pytest.raises(OutOfRange, match="up"):
        run(SMALL, statement)
    key, tensors = verifying_key("mlp"), statement.witness()
    points = input_points(key.plan, srs(), tensors, {})
    step_key = commit_step_key(key.plan, srs(), statement.parameters, statement.tensors)
    with pytest.raises(StatementFalseError, match="up"):
        prove(key, srs(), Statement(step_key, {}, points), tensors)


def test_no_more_positions_are_taken_than_sums_of_weights_have_room_for() -> None:
    Heads(1, 1, 8, MOST_POSITIONS, 0.5)
    with pytest.raises(ValueError, match="32769 positions"):
        Heads(1, 1, 8, MOST_POSITIONS + 1, 0.5)


def test_every_operator_says_what_it_refuses() -> None:
    for path in Path(prover.operators.__file__).parent.glob("*.py"):
        if path.stem != "__init__":
            assert "\nREFUSED    " in path.read_text(encoding="utf-8"), path.name
