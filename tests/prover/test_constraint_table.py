"""The page that says which relation catches which value is current and complete, and an unconstrained value would show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

import pytest

from prover.architectures import ModelConfig
from prover.architectures.audit_steps import statement_programs
from prover.architectures.shapes import CUT, OTHER_FAMILIES, SHAPE, TILED
from prover.constraint_table import (
    PAGE,
    SHAPES,
    TITLES,
    UnconstrainedError,
    chosen_by_the_prover,
    constraints,
    page,
    sample,
)
from prover.model.library import BUILT_IN, built_in_config
from prover.plan import Plan
from prover.program import Kind
from prover.relations import Lookup


@pytest.mark.long  # half a minute: every relation of every kind of step, taken out and counted
def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m prover.constraint_table"


def _section(kind: str) -> str:
    text, title = PAGE.read_text(encoding="utf-8"), TITLES[kind]
    return text.split(f"\n## {title[0].upper()}{title[1:]}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("kind", SHAPES)
def test_every_committed_column_is_listed(kind: str) -> None:
    """What the program commits, and what the argument adds for its lookups."""
    case, section = sample(kind), _section(kind)
    plan = Plan(case.program)
    assert {t.name for t in case.program.tensors.values() if t.kind is Kind.WITNESS} <= set(
        chosen_by_the_prover(case.program)
    )
    committed = {name for zone in plan.zones for name, _, _ in zone.places}
    committed |= {tensor.name for tensor in case.program.written}
    assert committed == {
        *chosen_by_the_prover(case.program),
        *(plan.tensors.keys() - case.program.tensors.keys()),
    }
    for name in committed:
        assert section.count(f"\n| `{name}` |") == 1, name
    for name, tensor in case.program.tensors.items():
        listed = f"\n| `{name}` |" in section
        assert listed or any(table.axis in tensor.axes for table in case.program.tables), name


@pytest.mark.parametrize(
    ("family", "kind"), [(family, kind) for family, shape in OTHER_FAMILIES.items() for kind in shape.steps]
)
def test_every_tensor_of_another_family_is_listed(family: str, kind: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in chosen_by_the_prover(OTHER_FAMILIES[family].programs[kind]):
        assert f"| `{name}` |" in text


@pytest.mark.parametrize("kind", SHAPES)
def test_every_relation_catches_something(kind: str) -> None:
    section = _section(kind)
    for relation in sample(kind).program.relations:
        assert f"`{relation.name}`" in section, relation.name


@pytest.mark.parametrize("kind", SHAPES)
def test_the_sample_is_valid(kind: str) -> None:
    """Before anything is changed every relation holds, those of the argument included."""
    case = sample(kind)
    for hunt in (case.hunt(), case.argument_hunt()):
        assert all(hunt.holds(relation) for relation in hunt.relations)


def test_a_program_that_forgets_its_norm_is_refused() -> None:
    """Without the operator that pins the normalised rows down, their mean square is free."""
    case = sample("head")
    chosen = chosen_by_the_prover(case.program)
    kept = [r for r in case.program.relations if not r.name.startswith("normalised")]
    with pytest.raises(UnconstrainedError, match="normalised_mean_square"):
        constraints(case.hunt().only(kept), chosen, chosen, "head")


def test_a_program_that_forgets_a_range_is_refused() -> None:
    """One more in a quotient, 2^s less in its remainder: only the range of the remainder notices."""
    case = sample("mlp")
    kept = [r for r in case.program.relations if r.name != "product_remainder_range"]
    assert isinstance(next(r for r in case.program.relations if r not in kept), Lookup)
    chosen = chosen_by_the_prover(case.program)
    with pytest.raises(UnconstrainedError, match="product"):
        constraints(case.hunt().only(kept), ["product_remainder"], chosen, "mlp")


def _variants(configs: Iterable[ModelConfig]) -> set[tuple[str, frozenset[str]]]:
    """Operators, each with the options that it goes without: a bias or a gain brings relations of its own."""
    return {
        (type(operator).__name__, frozenset(f.name for f in fields(operator) if not _given(operator, f.name)))
        for config in configs
        for program in statement_programs(config).values()
        for operator in program.operators
    }


def _given(operator: object, name: str) -> bool:
    value = getattr(operator, name)
    return value is not None and value != ()


def test_every_operator_of_every_family_is_hunted() -> None:
    """Whoever adds a family whose operators, or their options, no hunted shape has is told here."""
    everything = _variants(map(built_in_config, BUILT_IN))
    assert len(everything) > 10
    assert everything <= _variants([SHAPE, TILED, CUT, *OTHER_FAMILIES.values()])
    assert not everything <= _variants([SHAPE])
