"""Quads: what they are, which relations may be about them, and that digits which make up for one another are refused elsewhere."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np
import pytest

from prover.architectures.audit_steps import statement_programs
from prover.argument.commitment import commit_field, commit_with_digits
from prover.argument.multilinear import evaluate
from prover.argument.points import index_bits
from prover.check import Checker, check, scalar_value
from prover.field import arrays
from prover.field.arrays import MODULUS
from prover.hunt.changes import carries_in_quads
from prover.hunt.noticing import Changes, Hunt, Part
from prover.hunt.repairs import DeadEnd, Forger, Survivor
from prover.model.bounds import EXACT_LIMIT
from prover.operators.head_matmul import HeadMatMul
from prover.operators.matmul import MatMul
from prover.operators.partial_sum import PartialSum
from prover.operators.residual_add import ResidualAdd
from prover.operators.rounding import Shift
from prover.plan import Plan
from prover.program import Kind, Program, Tensor, broadcast
from prover.quad_columns import numbers
from prover.quads import (
    BASE,
    COORDINATES,
    LARGEST_DIGIT,
    POWERS,
    QUAD,
    QUAD_BITS,
    SCALE,
    powers_at,
    quads_of,
    to_quads,
)
from prover.relations import (
    Along,
    Bits,
    Constant,
    Contraction,
    Expression,
    FixedBits,
    Lookup,
    Parameter,
    Product,
    Ref,
    Relation,
    Sum,
    references,
)
from tests.prover.architectures.random_models import FAMILIES, random_statement
from tests.prover.operators.random_layers import Statement
from tests.prover.statements import srs

EXTREMES = [0, 1, -1, 2**15 - 1, -(2**15), 2**47, -(2**47), 2**63 - 1, -(2**63) + 1]


def _digits(seed: int, count: int) -> np.ndarray:
    draw = random.Random(seed)
    return np.array([[draw.choice([draw.choice(EXTREMES), draw.randrange(-(2**15), 2**15)]) for _ in range(QUAD)] for _ in range(count)])  # fmt: skip


def test_a_number_is_the_sum_of_its_digits() -> None:
    digits = _digits(1, 500)
    expected = [sum(int(d) * BASE**t for t, d in enumerate(row)) % MODULUS for row in digits]
    assert arrays.to_ints(numbers(digits)) == expected
    assert list(to_quads(digits.reshape(-1).astype(object)) % MODULUS) == expected


def test_digits_below_the_limit_have_one_number() -> None:
    """The lowest digit that is not zero cannot be made up for, and the whole does not reach the field's order."""
    assert sum(POWERS) * 2 * LARGEST_DIGIT < MODULUS
    assert 2 * LARGEST_DIGIT < BASE
    assert EXACT_LIMIT + LARGEST_DIGIT < 2 * LARGEST_DIGIT


def test_the_extension_of_the_powers() -> None:
    table = arrays.from_ints(POWERS)
    draw = random.Random(2)
    for point in ([draw.randrange(MODULUS) for _ in range(QUAD_BITS)] for _ in range(5)):
        assert powers_at(point) == evaluate(table, point)
    for t, power in enumerate(POWERS):
        bits = index_bits(t, QUAD_BITS)
        assert powers_at(bits) == power
        eq = SCALE
        for coordinate, bit in zip(COORDINATES, bits, strict=True):
            eq = eq * (coordinate if bit else 1 - coordinate) % MODULUS
        assert eq == power


def test_commitments_of_digits_are_those_of_their_numbers() -> None:
    digits = _digits(3, 64)
    whole, bases = numbers(digits), srs().g1
    assert commit_with_digits(bases, [digits, digits[:, 1]]) == [
        commit_field(bases, whole),
        commit_field(bases, arrays.from_int64(np.ascontiguousarray(digits[:, 1]))),
    ]


def test_a_chunk_with_quads_keeps_other_weights_in_the_lowest_digit() -> None:
    case = random_statement(FAMILIES["gpt2"], "keys_values")
    plan = Plan(case.program, chunk_bits=16)
    assert plan.in_quads == {"w_key", "w_value"} < {tensor.name for tensor in case.program.weights}
    (chunk,) = plan.pack_weights(case.tensors, 16)
    for block in plan.key_layout(16).blocks:
        own = chunk[block.place : block.place + (1 << block.bits)]
        table = case.tensors[block.tensor]
        if block.tensor in plan.in_quads:
            assert (
                sorted(own.reshape(-1)[own.reshape(-1) != 0]) == sorted(table[table != 0])
                or len(plan.key_layout(16).by_tensor[block.tensor]) > 1
            )
        else:
            assert not own[:, 1:].any() and own[:, 0].any()


# --- which relations are about quads ------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_products_whose_outputs_have_ranges_are_in_quads_and_exact_sums_are_not(family: str) -> None:
    """A sum of slices has no range in its own step: a provider could move one output by 2^64 and its neighbour by one."""
    for program in FAMILIES[family].programs.values():
        for operator in program.operators:
            own = [r for r in operator.relations(program) if isinstance(r, Contraction)]
            if isinstance(operator, MatMul | HeadMatMul):
                assert [r.quads for r in own] == [True], operator
            else:
                assert not any(r.quads for r in own)
            if isinstance(operator, PartialSum):
                assert operator.weight not in Plan(program).in_quads


@pytest.mark.parametrize("family", FAMILIES)
def test_whatever_is_in_a_quad_has_a_range_in_every_entry(family: str) -> None:
    """Padding, rows that are not routed and places behind the end included: what is free there would be anybody's neighbour's carry."""
    for program in statement_programs(FAMILIES[family]).values():
        for relation in program.relations:
            if not isinstance(relation, Contraction) or not relation.quads:
                continue
            names = {ref.tensor for ref in references(relation.expression)}
            free = {name for name in names if _is_open(program, name)}
            assert len(free) == 2 and {Ref(name) for name in free} <= {*references(relation.expression)}
            assert all(_is_ranged_everywhere(program, program.relations, name) for name in free), relation
            others = [r for r in program.relations if not r.name.startswith(f"{relation.name}_remainder")]
            assert not all(_is_ranged_everywhere(program, others, name) for name in free)
            (output,) = (name for name in free if not name.endswith("_remainder"))
            assert 2 * ((program.limits[output] << 17) + (1 << 16)) < 2 * LARGEST_DIGIT


def _is_open(program: Program, name: str) -> bool:
    """Whether a prover chooses it: all else is the same in two witnesses of one statement."""
    tensor = program.tensors[name]
    return tensor.kind is Kind.WITNESS or tensor in program.written


def _is_ranged_everywhere(program: Program, relations: Sequence[Relation], name: str) -> bool:
    """By a lookup with one tag over all of its axes, alone or together with limbs that are."""
    axes = {*program.tensors[name].axes}
    for relation in relations:
        if not isinstance(relation, Lookup) or not isinstance(relation.tag, Constant | Parameter):
            continue
        read = {*references(relation.first)}
        limbs = read - {Ref(name)}
        if Ref(name) in read and {*relation.domain} == axes and len(limbs) < 2:
            alone = [r for r in relations if r != relation]
            if all(_is_ranged_everywhere(program, alone, limb.tensor) for limb in limbs):
                return True
    return False


def _program(**changes: object) -> tuple[Program, MatMul]:
    """y = x W, of which everything may be changed."""
    matrix = MatMul(
        Ref("x"), "w", "y", ("row", "out"), ("in",), Shift(parameter="shift"), 16, (8,), **({} if "committed" not in changes else {"committed": bool(changes["committed"])})
    )  # fmt: skip
    matrix = replace(matrix, **{k: v for k, v in changes.items() if k in {"bits", "shift"}})  # type: ignore[arg-type]
    out = changes.get("out", 3)
    program = Program(
        name="product",
        own_axes={"row": Bits(5), "in": Bits(3), "out": Bits(int(str(out)))},
        inputs=(Tensor("x", ("row", "in"), Kind.BOUNDARY),),
        operators=(matrix,),
        weights=(Tensor("w", ("in", "out"), Kind.WEIGHT),),
        real_sizes={"in": 8, "out": 1 << int(str(out))},
    )
    return program, matrix


def _in_quads(**changes: object) -> bool:
    program, matrix = _program(**changes)
    return matrix.is_in_quads(program)


def test_a_product_needs_bounds_of_all_that_is_in_it() -> None:
    assert _in_quads() and _in_quads(bits=32)
    assert not _in_quads(bits=None), "nothing bounds y"
    assert not _in_quads(out=1), "two outputs are no quad"
    assert _in_quads(out=2)
    assert _in_quads(bits=32, shift=Shift(27)) and not _in_quads(bits=32, shift=Shift(28))


class _OnlyReadIsBounded(ResidualAdd):
    """An addition that says nothing of what it writes."""

    def limits(self) -> dict[str, int]:
        return {self.x.tensor: 1 << (self.bits - 1)}


@pytest.mark.parametrize(("added", "bounded"), [(ResidualAdd, True), (_OnlyReadIsBounded, False)])
def test_a_summand_needs_a_bound_of_what_is_written(added: type[ResidualAdd], bounded: bool) -> None:
    program, matrix = _program(bits=None, committed=False)
    matrix = replace(matrix, bits=None, committed=False)
    domain = ("row", "out")
    before, after = (Tensor(name, domain, Kind.BOUNDARY) for name in ("before", "after"))
    program = replace(
        program,
        inputs=(*program.inputs, before, after),
        operators=(matrix, added(Ref("before"), "y", "after", domain, 31)),
        writes={"residual": "after"},
    )
    assert matrix.is_in_quads(program) == bounded


def test_a_plan_refuses_what_cannot_be_about_quads() -> None:
    program, matrix = _program()
    (own, *ranges) = program.relations
    assert isinstance(own, Contraction)

    class Changed:
        """The operator with other relations."""

        def __init__(self, *relations: object) -> None:
            self.own = relations

        def __getattr__(self, name: str) -> object:
            return getattr(matrix, name)

        def relations(self, _: Program) -> object:
            return self.own

    def plan(*relations: object) -> Plan:
        return Plan(replace(program, operators=(Changed(*relations, *ranges),)))

    assert plan(own).in_quads == {"w"}
    assert plan(replace(own, quads=False)).in_quads == frozenset()
    with pytest.raises(ValueError, match="other relations read them"):
        plan(own, replace(own, name="again", quads=False))
    (term,) = own.terms
    with pytest.raises(ValueError, match="a weight whose last axis"):
        plan(replace(own, terms=(replace(term, factors=(Ref("x"), Ref("y"))),)))
    narrow, other = _program(out=1)
    (relation, *_) = narrow.relations
    with pytest.raises(ValueError, match="quads need an output axis"):
        matrix, program = other, narrow
        plan(replace(relation, quads=True))


# --- digits that make up for one another ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "kind", "output"), [("llama", "mlp", "up"), ("gpt2", "keys_values", "keys")]
)
def test_what_one_output_gives_to_its_neighbour_is_out_of_range(family: str, kind: str, output: str) -> None:
    """remainder_j + 2^64 and remainder_(j+1) - 1: the relation about the quad holds, the ranges of both do not."""
    case = random_statement(FAMILIES[family], kind)
    witness = case.witness()
    program = case.program
    relation = next(r for r in program.relations if r.name == output)
    assert isinstance(relation, Contraction) and relation.quads
    name = f"{output}_remainder"
    last = witness[name].reshape(-1)
    for index in (0, 1, 2, 4):
        forged = witness[name].astype(object).reshape(-1)
        forged[index] += BASE
        forged[index + 1] -= 1
        checker = Checker(program, witness, case.parameters, case.publics, 5)
        failed = {v.relation for v in checker.violations_with(name, forged.reshape(witness[name].shape))}
        assert failed == {f"{name}_range"}
    forged = witness[name].astype(object).reshape(-1)
    forged[3] += BASE  # across quads
    forged[4] -= 1
    checker = Checker(program, witness, case.parameters, case.publics, 5)
    failed = {v.relation for v in checker.violations_with(name, forged.reshape(witness[name].shape))}
    assert failed == {f"{name}_range", output}
    hunt = Hunt(program, program.relations, program.tables, witness, case.parameters, case.publics, 5)
    values = np.array([int(last[0]) + BASE, int(last[1]) - 1, int(last[0]) + BASE], dtype=object)
    both = Part(np.array([0, 1]), values[:2], np.array([0, 0]))
    one = Part(np.array([0]), values[2:], np.array([0]))
    seen = [hunt.noticed(Changes(1, {name: part})) for part in (both, one)]
    assert [bool(s[output].any()) for s in seen] == [False, True]
    assert all(s[f"{name}_range"].all() for s in seen)


def test_every_output_is_checked_though_only_quads_are_compared() -> None:
    """Any output of a valid witness that alone is another one fails the relation."""
    case = random_statement(FAMILIES["llama"], "mlp")
    witness = case.witness()
    assert not check(case.program, witness, case.parameters, case.publics, 5)
    quads = quads_of(witness["up"])
    assert quads.shape[-1] == QUAD
    for t in range(QUAD):
        forged = witness["up"].copy()
        forged[3, 4 + t] += 1
        checker = Checker(case.program, witness, case.parameters, case.publics, 5)
        assert "up" in {v.relation for v in checker.violations_with("up", forged)}


# --- the hunt --------------------------------------------------------------------------------------------------


def _hunt(case: Statement, relations: Sequence[Relation], program: Program | None = None) -> Hunt:
    program = program or case.program
    return Hunt(
        program, relations, program.tables, case.witness(), case.parameters, case.publics, case.context_bits
    )


@pytest.mark.parametrize("left_out", range(QUAD))
def test_a_range_that_leaves_out_one_place_of_a_quad_is_found(left_out: int) -> None:
    """As one would that speaks of real channels only: whatever is next to a free entry is free as well."""
    holed, whole = (_up_with_ranges_at(places) for places in ({*range(QUAD)} - {left_out}, {*range(QUAD)}))
    found = [
        {what for what, changes in carries_in_quads(hunt, "up_remainder") if hunt.unnoticed(changes).count}
        for hunt in (holed, whole)
    ]
    assert found == [
        {
            f"{what} at {place} made up for at {left_out}"
            for place in {*range(QUAD)} - {left_out}
            for what in ("one more", "one less")
        },
        set(),
    ]


def test_the_forger_makes_up_for_an_output_at_another_place() -> None:
    """Other outputs, with a remainder that has no range in place of theirs."""
    start = np.arange(0, 64, QUAD)
    for places, survives in (({0, 1, 2}, True), ({0, 1, 2, 3}, False)):
        hunt = _up_with_ranges_at(places)
        values = hunt.value("up")[start] + 1
        changes = Changes(len(start), {"up": Part(start, values, np.arange(len(start)))})
        names = frozenset({"up", "up_remainder", "up_high"})
        ends = list(Forger(hunt, names, np.random.default_rng(1)).repairs(changes))
        assert any(isinstance(end, Survivor) for end in ends) == survives
        assert any(isinstance(end, DeadEnd) for end in ends)


def _up_with_ranges_at(places: set[int]) -> Hunt:
    """The product `up` of a layer with its own ranges, that of the remainder only at some places of quads."""
    case = random_statement(FAMILIES["llama"], "mlp")
    name, front = "up_remainder", "quad_of_hidden"
    hidden = case.program.axes["hidden"]
    program = replace(case.program, own_axes={**case.program.own_axes, front: hidden - Bits(QUAD_BITS)})
    (operator,) = (o for o in program.operators if isinstance(o, MatMul) and o.output == "up")
    own = {relation.name: relation for relation in operator.relations(program)}
    whole = own.pop(f"{name}_range")
    assert isinstance(whole, Lookup)
    for place in places:
        segments = (Along(front), FixedBits(place, Bits(QUAD_BITS)))
        first = Ref(name, (("hidden", segments),))
        own[f"{name}_{place}"] = replace(whole, name=f"{name}_{place}", domain=("row", front), first=first)
    return _hunt(case, list(own.values()), program)


@pytest.mark.parametrize(
    ("family", "kind", "output"),
    [
        ("llama", "mlp", "gate"),
        ("llama", "mlp", "summand"),
        ("gpt2", "keys_values", "keys"),
        ("deepseek-v3", "router", "router_logits"),
        ("qwen3", "attention", "raw_query"),
    ],
)
def test_the_hunt_notices_what_the_equation_of_numbers_does(family: str, kind: str, output: str) -> None:
    """Joint changes of outputs, remainders and rows, half of which make up for one another: V and x are all that the other side has."""
    case = random_statement(FAMILIES[family], kind)
    hunt = _hunt(case, case.program.relations)
    relation = next(r for r in hunt.relations if r.name == output)
    assert isinstance(relation, Contraction)
    numbers_ = _Numbers(case, relation)
    row, draw = relation.output.index("row"), random.Random(5)
    seen = []
    for _ in range(2):
        forged = {name: array.copy() for name, array in numbers_.tensors.items()}
        for group in range(numbers_.shape[row]):
            place = [draw.randrange(size) for size in numbers_.shape]
            place[row] = group
            for _ in range(draw.randrange(1, 5)):
                name = draw.choice([*numbers_.left, *numbers_.left, numbers_.x])
                entry = numbers_.entry(name, place, draw)
                steps = (1, -1, BASE, -BASE, pow(BASE, -1, MODULUS), draw.randrange(MODULUS))
                forged[name][entry] += draw.choice(steps)
            if draw.random() < 0.7:
                name = draw.choice(numbers_.left)
                numbers_.make_up(forged, name, numbers_.entry(name, place, draw), place)
        parts = {}
        for name, new in forged.items():
            differs = np.argwhere((new - numbers_.tensors[name]) % MODULUS != 0)
            groups = differs[:, case.program.tensors[name].axes.index("row")]
            entries = np.ravel_multi_index(tuple(differs.T), new.shape)
            parts[name] = Part(entries, new.reshape(-1)[entries], groups)
        noticed = hunt.noticed(Changes(numbers_.shape[row], parts))[output]
        fails = np.moveaxis(numbers_.residue(forged) != 0, row, 0).reshape(len(noticed), -1).any(axis=1)
        assert list(noticed) == list(fails)
        seen += list(noticed)
    assert 10 < sum(seen) < len(seen) - 10


class _Numbers:
    """A relation about quads as the argument has it: sum_t B^t e_t - sum_k x_k V_k, V being what the step key commits to."""

    def __init__(self, case: Statement, relation: Contraction) -> None:
        self.case, self.relation, self.program = case, relation, case.program
        self.shape = self.program.shape(relation.output, case.context_bits)
        (term,) = relation.terms
        x, weight = term.factors
        self.summed, self.x = term.summed, x.tensor
        self.weight_axes = self.program.tensors[weight.tensor].axes
        witness = case.witness()
        table = witness[weight.tensor]
        flat = arrays.to_ints(numbers(quads_of(table).reshape(-1, QUAD)))
        self.numbers = np.array(flat, dtype=object).reshape(*table.shape[:-1], -1)
        refs = [ref.tensor for ref in references(relation.expression)]
        self.biases = {name: witness[name].astype(object) for name in refs if self._kind(name) is Kind.WEIGHT}
        self.left = [name for name in refs if name not in self.biases]
        self.tensors = {name: witness[name].astype(object) for name in (*self.left, self.x)}
        assert not self.residue(self.tensors).any()

    def _kind(self, name: str) -> Kind:
        return self.program.tensors[name].kind

    def entry(self, name: str, place: list[int], draw: random.Random) -> tuple[int, ...]:
        """A random one that the quad of a place reads."""
        at = dict(zip(self.relation.output, place, strict=True))
        last = self.relation.output[-1]
        at[last] = at[last] // QUAD * QUAD + draw.randrange(QUAD)
        axes = self.program.tensors[name].axes
        sizes = self.program.shape(axes, self.case.context_bits)
        return tuple(at.get(axis, draw.randrange(size)) for axis, size in zip(axes, sizes, strict=True))

    def make_up(
        self, forged: dict[str, np.ndarray], name: str, entry: tuple[int, ...], place: list[int]
    ) -> None:
        """Let an entry take what the quad's equation lacks."""
        at = (*place[:-1], place[-1] // QUAD)
        before = self.residue(forged)[at]
        forged[name][entry] += 1
        slope = self.residue(forged)[at] - before
        forged[name][entry] -= 1 + before * pow(int(slope), -1, MODULUS)

    def residue(self, tensors: dict[str, np.ndarray]) -> np.ndarray:
        """Of every quad of the output."""
        known = {**self.biases, **tensors}
        outputs = np.broadcast_to(self._value(self.relation.expression, known), self.shape)
        left = sum(BASE**t * outputs[..., t::QUAD] for t in range(QUAD))
        axes = self.program.tensors[self.x].axes
        both = [[own.index(axis) for axis in self.summed] for own in (axes, self.weight_axes)]
        right = np.tensordot(tensors[self.x], self.numbers, axes=both)
        order = [axis for axis in (*axes, *self.weight_axes) if axis not in self.summed]
        return np.asarray((left - right.transpose([order.index(a) for a in self.relation.output])) % MODULUS)

    def _value(self, expression: Expression, known: dict[str, np.ndarray]) -> np.ndarray | int:
        match expression:
            case Sum(terms):
                return sum(self._value(term, known) for term in terms)
            case Product(factors):
                return prod(self._value(factor, known) for factor in factors)
            case Ref(tensor):
                return broadcast(known[tensor], self.program.tensors[tensor].axes, self.relation.output)
        return scalar_value(expression, self.case.parameters, self.case.publics)
