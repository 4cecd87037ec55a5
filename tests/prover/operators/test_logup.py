"""Multiplicities and inverses: no change survives, whatever inverses are chosen after beta and gamma are known."""

from __future__ import annotations

import numpy as np
import pytest

from prover.constraint_table import CHALLENGES, lookup_constraints, sample
from prover.field.arrays import MODULUS
from prover.hunt.logup import SUM_OF_INVERSES
from prover.hunt.noticing import Changes, Hunt, Part
from prover.hunt.repairs import Forger, Survivor
from prover.plan import Plan
from prover.relations import Pointwise, references

from .hunts import once
from .random_layers import KINDS


@pytest.fixture(scope="module")
def head() -> tuple[Plan, Hunt]:
    case = sample("head")
    return Plan(case.program), case.argument_hunt()


def _survives(hunt: Hunt, plan: Plan, changes: Changes) -> bool:
    """Whether the forger, who chooses inverses only, makes everything hold."""
    forger = Forger(hunt, frozenset(plan.inverse_of), np.random.default_rng(5))
    return any(isinstance(end, Survivor) for end in forger.repairs(changes))


def _forged(name: str, entries: list[int], values: list[int]) -> Changes:
    part = Part(np.array(entries), np.array(values, dtype=object), np.zeros(len(entries), dtype=np.int64))
    return Changes(1, {name: part})


@pytest.mark.parametrize("kind", [once(kind) for kind in KINDS])
def test_no_column_of_the_lookups_is_free(kind: str) -> None:
    """Every multiplicity and inverse, alone and with other inverses adjusted, zero and negative counts included."""
    case = sample(kind)
    plan = Plan(case.program)
    rows = lookup_constraints(case)  # raises when something survives
    assert {row.tensor for row in rows} == plan.tensors.keys() - case.program.tensors.keys()
    assert all(row.always and row.in_the_end for row in rows)


def test_without_the_sum_multiplicities_are_free(head: tuple[Plan, Hunt]) -> None:
    plan, hunt = head
    free = hunt.only([r for r in hunt.relations if r.name != SUM_OF_INVERSES])
    assert _survives(free, plan, _forged("range_multiplicity", [70_000], [1]))
    assert not _survives(hunt, plan, _forged("range_multiplicity", [70_000], [1]))


@pytest.mark.parametrize("wrap", [0, 1, -1])
def test_counts_moved_between_rows_are_noticed(head: tuple[Plan, Hunt], wrap: int) -> None:
    """One row counts once less (below zero, or around r), another one once more: the total stays right."""
    plan, hunt = head
    count = [int(v) for v in hunt.value("range_multiplicity")]
    used = next(index for index, value in enumerate(count) if value)
    values = [count[used] + 1, -1 + wrap * MODULUS]
    assert not _survives(hunt, plan, _forged("range_multiplicity", [used, 70_000], values))


def test_only_equal_rows_may_share_their_count(head: tuple[Plan, Hunt]) -> None:
    """Rows 0 and 1 of the range table are the same row, (0, 0): which of them is counted makes no difference."""
    plan, hunt = head
    tags, firsts = (hunt.value(f"range_{column}") for column in ("tag", "value"))
    rows = list(zip(tags, firsts, strict=True))
    assert rows[0] == rows[1] == (0, 0)
    assert len(set(rows)) == len(rows) - 1
    assert _survives(hunt, plan, _forged("range_multiplicity", [0, 1], [-1, 1]))
    assert not _survives(hunt, plan, _forged("range_multiplicity", [1, 2], [-1, 1]))


def test_multiplicities_cannot_serve_a_value_that_no_table_has(head: tuple[Plan, Hunt]) -> None:
    """Once gamma is known they can: so it matters that they are committed before. For another gamma they are wrong."""
    plan, hunt = head
    limb, outside = 3, 1 << 20
    beta, gamma = CHALLENGES["beta"], CHALLENGES["gamma"]
    tag = beta * beta * 16
    old = int(hunt.value("margin_limbs")[limb])
    rise = pow(gamma + outside + tag, -1, MODULUS) - pow(gamma + old + tag, -1, MODULUS)
    row = (1 << 16) + 12_345
    assert hunt.value("range_multiplicity")[row] == 0

    def forged(adapted_to: int) -> Changes:
        multiplicity = rise * (adapted_to + 12_345 + tag) % MODULUS
        parts = {
            **_forged("margin_limbs", [limb], [outside]).parts,
            **_forged("range_multiplicity", [row], [multiplicity]).parts,
        }
        return Changes(1, parts)

    lookups_only = hunt.only([r for r in hunt.relations if r.name != "margin"])
    assert _survives(lookups_only, plan, forged(gamma))
    assert not _survives(lookups_only, plan, forged(gamma + 1))


def test_a_pole_leaves_no_inverse() -> None:
    """Should gamma hit -row of a single lookup, its relation H * 0 = 1 has no solution: a proof fails, no lie passes.

    Only two lookups of one inverse at the same pole would leave H free; `prover/soundness.py` counts that in gamma.
    """
    case = sample("head")
    plan = Plan(case.program)
    hunt = case.argument_hunt()
    value = int(hunt.value("margin_limbs")[0])
    beta = CHALLENGES["beta"]
    case_at_pole = Hunt(
        plan,
        [r for r in hunt.relations if isinstance(r, Pointwise) and r.name == "inverse_margin_limb_0"],
        (),
        {name: hunt.value(name).reshape(hunt.shape(hunt.axes_of(name))) for name in plan.tensors},
        case.parameters,
        case.publics,
        case.context_bits,
        {"beta": beta, "gamma": -(value + beta * beta * 16) % MODULUS},
    )
    (relation,) = case_at_pole.relations
    assert isinstance(relation, Pointwise)
    for guess in (0, 1, MODULUS - 1, 12_345):
        columns = {
            ref: np.array([guess if ref.tensor.startswith("inverse") else value], dtype=object)
            for ref in references(relation.expression)
        }
        assert case_at_pole.column(relation.expression, columns, 1)[0] != 0
