"""Routing among experts: its meaning in real numbers, ties, rows that are not routed, and what a liar can do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prover.check import check
from prover.operators.gated_rows import GatedRows
from prover.operators.partial_sum import PartialSum
from prover.operators.routed_rows import Gate, RoutedRows
from prover.operators.routing_weights import RoutingWeights
from prover.operators.top_k import TopK
from prover.program import Kind, Program, RunContext, Tensor
from prover.tables import exponential_table
from tests.prover.architectures.random_models import FAMILIES, random_statement

from .routing_lies import LIES, Lie, half_an_expert, padded_expert
from .statements import OperatorCase, surviving_changes

EXPERTS, COUNT, BITS, SCALE = 6, 3, 22, 14
DOMAIN = ("row", "expert")


def routing(logits: np.ndarray, count: int = COUNT) -> OperatorCase:
    experts = logits.shape[1]
    bits = (experts - 1).bit_length()
    operators = (
        TopK("x", "picked", *DOMAIN, count, experts, bits, BITS),
        RoutingWeights("x", "picked", "gates", *DOMAIN, count, BITS, SCALE),
    )
    return OperatorCase(operators, {"expert": experts}, {"x": (DOMAIN, logits)}, {}, {})


def violations(case: OperatorCase, witness: dict[str, np.ndarray]) -> set[str]:
    program = _with_gates(case)
    return {v.relation for v in check(program, witness, {}, {}, 0)}


def _with_gates(case: OperatorCase) -> Program:
    """The program with its output, which the step declares."""
    gates = Tensor("gates", DOMAIN, Kind.BOUNDARY)
    return replace(case.program, inputs=(*case.program.inputs, gates), writes={"gates": "gates"})


LOGITS = np.random.default_rng(2).integers(-20_000, 20_000, (4, EXPERTS))
LOGITS[1] = [-(1 << 21), (1 << 21) - 1, 5, 5, (1 << 21) - 1, -(1 << 21)]  # both ends of the range
LOGITS[2] = 0
LOGITS[3] = [9, 7, 9, 7, 7, 9 - 70_000]  # ties at the border, and one beyond the table


def test_weights_are_the_softmax_of_the_largest() -> None:
    gates = routing(LOGITS).run()["gates"]
    for row, own in zip(LOGITS, gates, strict=True):
        picked = sorted(range(EXPERTS), key=lambda e: (-row[e], e))[:COUNT]
        real = np.exp((row[picked] - row[picked].max()) / 2**12)
        expected = np.zeros(EXPERTS)
        expected[picked] = real / real.sum()
        assert np.abs(own / 2**SCALE - expected).max() < 2**-14
        assert abs(int(own.sum()) - 2**SCALE) <= COUNT / 2


def test_equal_values_are_picked_from_the_front() -> None:
    ran = routing(LOGITS).run()
    assert ran["picked"][2].tolist() == [1, 1, 1, 0, 0, 0]
    assert ran["picked"][3].tolist() == [1, 1, 1, 0, 0, 0]
    assert ran["picked"][1].tolist() == [0, 1, 1, 0, 1, 0]


@pytest.mark.parametrize("experts", [2, 4, 5, 8])
@pytest.mark.parametrize("count", [1, 2])
def test_both_readers_agree_and_every_relation_holds(experts: int, count: int) -> None:
    """Axes that are full and others, one expert and all of them."""
    logits = np.random.default_rng(experts).integers(-(1 << 21), 1 << 21, (4, experts))
    logits[1], logits[2] = 0, np.arange(experts) // 2
    case = routing(logits, count)
    witness = case.witness()
    assert np.array_equal(witness["gates"][:, :experts], case.run()["gates"])
    assert not witness["gates"][:, experts:].any() and not witness["picked"][:, experts:].any()
    assert violations(case, witness) == set()


def test_no_value_of_a_routing_can_be_changed() -> None:
    """But for the selector of the maximum, where two attain it."""
    case = routing(LOGITS)
    witness, program = case.witness(), _with_gates(case)
    checker = case.checker(witness)
    checker._program = program
    survivors = surviving_changes(checker, program, witness)
    assert survivors == []
    for place in np.ndindex(witness["gates"].shape):
        for changed in (-1, 1):
            gates = witness["gates"].copy()
            gates[place] += changed
            assert checker.violations_with("gates", gates)


@pytest.mark.parametrize(
    ("family", "lie"),
    [
        *(("mixtral", lie) for lie in LIES),
        *(("qwen3-moe", lie) for lie in LIES if lie not in (padded_expert, half_an_expert)),
    ],
)
def test_a_false_routing_is_noticed(family: str, lie: Lie) -> None:
    """Qwen 3 MoE's experts fill their axis, and a row has three."""
    statement = random_statement(FAMILIES[family], "router")
    program, witness = statement.program, statement.witness()
    assert check(program, witness, statement.parameters, {}, statement.context_bits) == []
    lie(program, witness)
    found = {v.relation for v in check(program, witness, statement.parameters, {}, statement.context_bits)}
    assert found & LIES[lie], found


def _beyond(excess: int) -> tuple[OperatorCase, dict[str, np.ndarray]]:
    """Weights of two picked entries beside one that is not, and that is larger by 2^BITS + excess than the first:
    only in a program that does not check the range of what it compares."""
    x = np.zeros((4, 4), dtype=np.int64)
    x[:, 1], x[:, 2] = -3_000, (1 << BITS) + excess
    picked = np.tile(np.array([1, 1, 0, 0]), (4, 1))
    operators = (RoutingWeights("x", "picked", "gates", *DOMAIN, 2, BITS, SCALE),)
    case = OperatorCase(operators, {"expert": 4}, {"x": (DOMAIN, x), "picked": (DOMAIN, picked)}, {}, {})
    return case, case.witness()


def _with_weights(witness: dict[str, np.ndarray], weight: np.ndarray) -> None:
    """Everything behind the weights."""
    total = weight.sum(axis=-1)
    raised = weight << (SCALE + 1)
    gates = (raised + total[:, None]) // (2 * total[:, None])
    remainder = raised + total[:, None] - 2 * total[:, None] * gates
    witness |= {"weight": weight, "weight_sum": total, "gates": gates, "gates_remainder": remainder}
    witness["gates_remainder_high"] = remainder >> 16
    witness["gates_complement_high"] = (2 * total[:, None] - 1 - remainder) >> 16


def test_what_is_not_picked_has_no_weight_however_large_it_is() -> None:
    """Its distance, raised as it is, is 50 units: only that its lookup has no row of that weight notices."""
    case, witness = _beyond(-50)
    assert (witness["distance_low"][:, 2] == 50).all() and not witness["distance_high"][:, 2].any()
    assert violations(case, witness) == set()
    honest = witness["gates"].copy()
    weight = witness["weight"].copy()
    weight[:, 2] = exponential_table()[50]
    _with_weights(witness, weight)
    assert not np.array_equal(witness["gates"], honest)
    assert violations(case, witness) == {"weight"}


def test_what_is_not_picked_is_no_maximum_however_large_it_is() -> None:
    """Its distance, raised as it is, is zero if the maximum is 40,000 more than that of what is picked."""
    case, witness = _beyond(40_000)
    honest = routing(np.array([[0, -3_000, -9_000, -9_000]] * 4), 2).witness()["gates"]
    witness["largest"][:] = 40_000
    witness["distance_low"][:] = [40_000, 43_000, 0, 40_000]
    witness["distance_high"][:] = [0, 0, 0, (1 << BITS) >> 16]
    witness["max_selector"][:] = [0, 0, 1, 0]
    weight = np.tile(exponential_table()[[40_000, 43_000, 40_000, 40_000]], (4, 1))
    weight[:, 2:] = 0
    _with_weights(witness, weight)
    assert not np.array_equal(witness["gates"], honest)
    assert violations(case, witness) == {"max_attained"}


def test_a_tie_cannot_be_broken_the_other_way() -> None:
    """Equal logits: the larger index has the smaller key."""
    case = routing(np.zeros((4, 4), dtype=np.int64), 2)
    honest = case.witness()
    other = {name: array.copy() for name, array in honest.items()}
    for name in ("picked", "picked_last", "gates", "weight", "max_selector", "distance_high"):
        other[name] = other[name][:, ::-1].copy()
    key = 3 - np.arange(4)
    other["picked_threshold"][:] = (other["picked_last"] * key).sum(axis=1)
    margin = (2 * other["picked"] - 1) * (key - other["picked_threshold"][:, None]) - (1 - other["picked"])
    other["picked_margin_low"], other["picked_margin_high"] = margin & 0xFFFF, margin >> 16
    for name in ("gates_remainder", "gates_remainder_high", "gates_complement_high", "distance_low"):
        other[name] = other[name][:, ::-1].copy()
    assert violations(case, other) == {"picked_margin_high_range"}


@pytest.mark.parametrize(("count", "real", "bits"), [(0, 4, 22), (5, 4, 22), (2, 4, 30), (2, 4, 12)])
def test_a_choice_that_cannot_be_compared_is_no_operator(count: int, real: int, bits: int) -> None:
    with pytest.raises(ValueError, match=r"cannot be picked|differ by up to"):
        TopK("x", "picked", *DOMAIN, count, real, 2, bits)


@pytest.mark.parametrize(("count", "bits"), [(1, 30), (1, 31), ((1 << 15) + 1, 22)])
def test_weights_that_do_not_fit_are_no_operator(count: int, bits: int) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        RoutingWeights("x", "picked", "gates", *DOMAIN, count, bits, SCALE)


# --- an expert's rows ---------------------------------------------------------------------------------------

X = np.random.default_rng(5).integers(-30_000, 30_000, (4, 5))
GATES = np.array([[0, 9_000, 0], [16_384, 0, 0], [0, 1, 16_383], [0, 0, 16_384]])
GATE = Gate("gates", "expert", "expert", 2)


def expert(number: int) -> OperatorCase:
    operators = (
        RoutedRows("x", GATE, "routed", ("row", "channel")),
        GatedRows("routed", GATE, "gated", ("row", "channel"), 12, 28),
    )
    inputs = {"x": (("row", "channel"), X), "gates": (DOMAIN, GATES)}
    return OperatorCase(operators, {"channel": 5, "expert": 3}, inputs, {}, {"expert": 1 + number})


@pytest.mark.parametrize("number", [0, 1, 2])
def test_rows_of_other_experts_are_zero(number: int) -> None:
    case = expert(number)
    witness, ran = case.witness(), case.run()
    own = np.flatnonzero(GATES[:, number])
    assert np.array_equal(witness["routed"][own, :5], X[own]) and np.array_equal(ran["routed"], X[own])
    expected = (X[own] * GATES[own, number, None] + (1 << 11)) >> 12
    assert np.array_equal(witness["gated"][own, :5], expected) and np.array_equal(ran["gated"], expected)
    rest = np.setdiff1d(np.arange(4), own)
    assert not witness["routed"][rest].any() and not witness["gated"][rest].any()
    checker = case.checker(witness)
    assert [r.name for r in case.program.relations if checker.violation(r)] == []
    assert surviving_changes(checker, case.program, witness) == []


@pytest.mark.parametrize(
    ("row", "flag", "relation"), [(0, 0, "zero"), (1, 1, "range"), (2, 0, "zero"), (1, -5, "bit")]
)
def test_a_row_is_routed_where_its_weight_is_not_zero(row: int, flag: int, relation: str) -> None:
    """Left out although its weight is one unit, taken in or multiplied although it is zero; everything behind adapted."""
    case = expert(1)
    witness = case.witness()
    assert witness["routed_flag"][row] == (GATES[row, 1] > 0)
    witness["routed_flag"][row] = flag
    witness["routed"][row] = flag * witness["x"][row]
    gated = witness["routed"] * witness["gates"][:, 1, None]
    witness["gated"] = (gated + (1 << 11)) >> 12
    witness["gated_remainder"] = (gated + (1 << 11)) & 0xFFF
    witness["gated_high"] = (witness["gated"] + (1 << 27)) >> 16
    found = {v.relation for v in check(case.program, witness, case.parameters, {}, 0)}
    assert found == {f"routed_flag_{relation}"}


def test_a_sum_grows_where_rows_are_routed() -> None:
    weights = {"w": np.arange(10).reshape(5, 2)}
    context = RunContext(
        {"x": X, "gates": GATES, "before": np.full((4, 2), 100)},
        {"expert": 2},
        lambda name, x: x @ weights[name],
        np.arange(40, 44),
    )
    RoutedRows("x", GATE, "routed", ("row", "channel")).run(context)
    assert context.positions.tolist() == [40, 42] and not context.idle
    PartialSum("routed", "w", "before", "after", ("row", "channel"), ("channel",)).run(context)
    expected = np.full((4, 2), 100)
    expected[[0, 2]] += X[[0, 2]] @ weights["w"]
    assert np.array_equal(context.tensors["after"], expected)
    assert (context.tensors["before"] == 100).all()


def test_an_expert_without_rows_is_idle() -> None:
    context = RunContext({"x": X, "gates": GATES * [1, 0, 1]}, {"expert": 2}, lambda name, x: x, np.arange(4))
    assert not context.idle
    RoutedRows("x", GATE, "routed", ("row", "channel")).run(context)
    assert context.idle
