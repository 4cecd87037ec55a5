"""A forger who adjusts whatever else a relation reads finds no second witness, and would find one if there were one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from prover.hunt.changes import assorted_changes, table_aliases
from prover.hunt.noticing import Changes, Hunt
from prover.hunt.repairs import DeadEnd, Forger, Survivor
from prover.operators.partial_sum import PartialSum
from prover.program import Program, relation_expressions
from prover.relations import Relation, references

from .hunts import ALONE, HUNTED, chosen_by_the_prover, once, operators_alone, whole_hunt
from .random_layers import program_of

CASES = [
    case if isinstance(program_of(case[0]).operators[case[2]], PartialSum) else once(*case) for case in ALONE
]
EQUIVALENT = {"max_selector"}
"""Tensors with several valid values where a maximum is attained twice; no other value depends on which it is."""
DIGITS = {"distance_high", "distance_low"}
"""Of a distance that weighs nothing two pairs may fit (operators/exponential.py)."""


def _starts(hunt: Hunt, name: str, generator: np.random.Generator, rounds: int) -> Iterator[Changes]:
    for _ in range(rounds):
        yield assorted_changes(hunt, name, generator)
        for _, aliases in table_aliases(hunt, name):
            yield aliases.of(np.unique(generator.integers(0, aliases.count, 8)))


def _assert_no_forgery(hunt: Hunt, names: list[str], rounds: int, seed: int = 3) -> None:
    generator = np.random.default_rng(seed)
    forger = Forger(hunt, frozenset(names), generator)
    for name in names:
        dead_ends = 0
        for changes in _starts(hunt, name, generator, rounds):
            for end in forger.repairs(changes):
                dead_ends += isinstance(end, DeadEnd)
                if isinstance(end, Survivor):
                    _assert_equivalent(hunt, end.changes)
        assert dead_ends or name in EQUIVALENT


def _assert_equivalent(hunt: Hunt, changes: Changes) -> None:
    """Nothing else than what may differ differs, and digits only where the pair has no weight, before and after."""
    assert changes.parts.keys() <= EQUIVALENT | DIGITS, changes.of(np.array([0]))
    for name in DIGITS & changes.parts.keys():
        assert not hunt.value("weight")[changes.parts[name].entries].any()


@pytest.mark.parametrize("rounds", [2, pytest.param(60, marks=pytest.mark.long)])
@pytest.mark.parametrize(("kind", "window"), [once(*case) for case in HUNTED])
def test_no_joint_change_of_a_step_survives(kind: str, window: int, rounds: int) -> None:
    _assert_no_forgery(whole_hunt(kind, window), chosen_by_the_prover(program_of(kind)), rounds, seed=rounds)


@pytest.mark.parametrize("rounds", [2, pytest.param(60, marks=pytest.mark.long)])
@pytest.mark.parametrize(("kind", "window", "index"), CASES)
def test_every_operator_fixes_its_own_output(kind: str, window: int, index: int, rounds: int) -> None:
    """With the relations of nobody else: what comes later must not be what notices."""
    program = program_of(kind)
    unit = operators_alone(program)[index]
    hunt = whole_hunt(kind, window).only(_relations(program, unit))
    _assert_no_forgery(hunt, _own(program, unit), rounds, seed=index)


def _relations(program: Program, unit: tuple) -> list[Relation]:  # type: ignore[type-arg]
    return [relation for operator in unit for relation in operator.relations(program)]


def _own(program: Program, unit: tuple) -> list[str]:  # type: ignore[type-arg]
    """What the operators create, written streams included. An uncommitted output is the residual sum's `after`, which
    belongs to both."""
    created = {tensor.name for operator in unit for tensor in operator.tensors()}
    if len(unit) > 1 or not unit[-1].definitions():
        outputs = {getattr(unit[-1], field, "") for field in ("output", "after")}
        created |= outputs & {tensor.name for tensor in program.written}
    return [name for name in chosen_by_the_prover(program) if name in created]


def test_the_operators_cover_every_committed_tensor() -> None:
    for kind, _ in HUNTED:
        program = program_of(kind)
        covered = {name for unit in operators_alone(program) for name in _own(program, unit)}
        assert covered == set(chosen_by_the_prover(program))


NEEDED = [
    ("mlp", 0, "gate_remainder_range"),  # y + 1 with remainder - 2^s
    ("mlp", 0, "up_low_range"),
    ("mlp", 0, "up_high_range"),
    ("mlp", 0, "activated"),
    ("mlp", 0, "product_remainder_range"),
    ("mlp", 0, "summand_remainder_range"),
    ("mlp", 0, "after_low_range"),
    ("mlp", 0, "normalised_limbs_range"),  # a slack that is negative
    ("mlp", 0, "normalised_remainder_high_range"),
    ("keys_values", 1, "key_remainder_range"),
    ("keys_values", 1, "keys_remainder_range"),
    ("keys_values", 1, "keys_range"),
    ("keys_values", 1, "values_remainder_range"),
    ("keys_values", 1, "values_low_range"),
    ("keys_values", 1, "values_high_range"),
    ("attention", 1, "distance_remainder_range"),
    ("attention", 1, "distance_high_range"),
    ("attention", 1, "far"),
    ("attention", 1, "weight"),
    ("attention", 1, "weight_outside"),
    ("attention", 1, "max_selector_outside"),
    ("attention", 1, "max_selected"),
    ("attention", 1, "max_attained"),
    ("attention", 1, "attended_remainder_high_range"),
    ("attention", 1, "attended_complement_high_range"),
    ("attention", 1, "attended_low_range"),
    ("head", 0, "margin_limbs_range"),
    ("head", 0, "margin"),
]


@pytest.mark.parametrize(("kind", "window", "relation"), NEEDED)
def test_without_a_relation_the_forger_succeeds(kind: str, window: int, relation: str) -> None:
    """So that its failures mean something. Nothing but the missing relation notices what it finds."""
    whole, program = whole_hunt(kind, window), program_of(kind)
    hunt = whole.only([r for r in program.relations if r.name != relation])
    (missing,) = (r for r in program.relations if r.name == relation)
    read = {ref.tensor for expression in relation_expressions(missing) for ref in references(expression)}
    names = chosen_by_the_prover(program)
    generator = np.random.default_rng(7)
    forger = Forger(hunt, frozenset(names), generator)
    forgeries = (
        whole.noticed(end.changes)
        for _ in range(40)
        for name in names
        if name in read
        for end in forger.repairs(assorted_changes(hunt, name, generator))
        if isinstance(end, Survivor)
    )
    # a selector that points at another key of the same distance is no forgery
    noticed = next(noticed for noticed in forgeries if any(seen.any() for seen in noticed.values()))
    assert [name for name, seen in noticed.items() if seen.any()] == [relation]
