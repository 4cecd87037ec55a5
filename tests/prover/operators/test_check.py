"""A valid witness satisfies every relation; no single value of it can be another one."""

from __future__ import annotations

import numpy as np
import pytest

from prover.check import check
from prover.field.arrays import MODULUS
from prover.hunt.changes import carries_in_quads, single_changes, swapped_neighbours, table_aliases
from prover.hunt.noticing import Changes, Part
from prover.program import unknown_references

from .hunts import HUNTED, chosen_by_the_prover, hunted, once, whole_hunt
from .random_layers import KINDS, program_of, random_statement


@pytest.mark.parametrize("kind", KINDS)
def test_every_reference_is_declared(kind: str) -> None:
    assert unknown_references(program_of(kind)) == set()


@pytest.mark.parametrize(
    ("kind", "window"), [("attention", 0), ("attention", 2), ("attention_tile", 2), *HUNTED]
)
def test_valid_witness_has_no_violation(kind: str, window: int) -> None:
    statement = random_statement(kind, window)
    assert (
        check(
            statement.program,
            statement.witness(),
            statement.parameters,
            statement.publics,
            statement.context_bits,
        )
        == []
    )


# --- the under-constraint hunt: every entry of every tensor alone ------------------------------------------


def _tensors() -> list[tuple[str, int, str]]:
    return [
        (kind, window, name) for kind, window in HUNTED for name in chosen_by_the_prover(program_of(kind))
    ]


@pytest.mark.parametrize(("kind", "window"), HUNTED)
def test_the_hunt_starts_from_a_valid_witness(kind: str, window: int) -> None:
    hunt = whole_hunt(kind, window)
    assert all(hunt.holds(relation) for relation in hunt.relations)


@pytest.mark.parametrize(("kind", "window", "name"), _tensors())
def test_no_changed_value_survives(kind: str, window: int, name: str) -> None:
    """Every entry, padding included, changed in every way; exchanged with its neighbour along every axis; moved to
    another input of its table with the same output. Only the selector of a maximum that is attained twice may
    point at either."""
    hunt = whole_hunt(kind, window)
    tried = ties = 0
    for what, changes in (
        *single_changes(hunt, name),
        *swapped_neighbours(hunt, name),
        *carries_in_quads(hunt, name),
        *table_aliases(hunt, name),
    ):
        tried += changes.count
        survivors = hunt.unnoticed(changes)
        if name == "max_selector" and what == "swapped along context":
            _assert_ties(kind, window, survivors)
            ties += survivors.count
        else:
            assert survivors.count == 0, (what, survivors.parts[name].entries[:3])
    assert tried >= 6 * hunt.value(name).size
    # all scores are zero in a group that the last tile does not have; padded heads have no selector
    assert (ties > 0) == (name == "max_selector" and kind == "attention_tile")


def _assert_ties(kind: str, window: int, survivors: Changes) -> None:
    """Both keys of an exchanged pair attain the maximum: their distance is zero."""
    witness = hunted(kind, window).witness
    distance = sum(np.abs(witness[f"distance_{part}"]) for part in ("high", "low", "remainder"))
    assert not distance.reshape(-1)[survivors.parts["max_selector"].entries].any()


@pytest.mark.parametrize(("kind", "window"), [once(*case) for case in HUNTED])
def test_the_hunt_agrees_with_the_check_reader(kind: str, window: int) -> None:
    """The places that a change reads decide as much as the whole layer does, for changes of one and of two tensors."""
    case, hunt = hunted(kind, window), whole_hunt(kind, window)
    generator = np.random.default_rng(11)
    names = chosen_by_the_prover(case.program)
    for index in range(6):
        parts = {}
        for name in (names[index % len(names)], names[(5 * index + 3) % len(names)]):
            size = hunt.value(name).size
            entries = generator.permutation(size)[: min(2, size)]
            step = (1, -1, 1 << 16, pow(1 << 16, -1, MODULUS))[index % 4]
            parts[name] = Part(entries, hunt.value(name)[entries] + step, np.arange(len(entries)))
        count = min(len(part.entries) for part in parts.values())
        changes = Changes(2, parts).of(np.arange(count))
        noticed = hunt.noticed(changes)
        for group in range(count):
            assert [name for name, seen in noticed.items() if seen[group]] == case.check(changes, group)
