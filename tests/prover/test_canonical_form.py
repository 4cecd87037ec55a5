"""A verifying key's digest changes with every part of the statement, and with nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest

from prover import plan, program, relations, tables
from prover.canonical_form import encode, expression_form, relation_form, segment_form, step_form, tensor_form
from prover.plan import Plan
from prover.program import Kind, Tensor
from prover.relations import Constant, Expression, Lookup, Ref, Sum
from prover.zones import Gaps, Zone
from tests.prover.architectures.random_models import FAMILIES
from tests.prover.key_digests import FILE, MU, digests, form_of

PROGRAMS = [
    *((family, kind) for family in ("llama", "gpt2", "gemma3") for kind in ("mlp", "attention", "head")),
    *(("llama-tiled", kind) for kind in ("attention_tile", "mlp_close")),
]


def test_digests_are_those_that_were_kept() -> None:
    assert digests() == json.loads(FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("form", "encoded"),
    [
        (0, b"i0e"),
        (-17, b"i-17e"),
        (True, b"i1e"),
        (1 << 70, b"i1180591620717411303424e"),
        ("", b"0:"),
        ("gaté", b"5:gat\xc3\xa9"),
        ([], b"le"),
        (["a", [1, "i1e"]], b"l1:ali1e3:i1eee"),
    ],
)
def test_the_encoding_is_bencode(form: Any, encoded: bytes) -> None:
    assert encode(form) == encoded


class Unheard(Expression):
    """An expression of a new kind."""


@pytest.mark.parametrize(
    "make",
    [
        lambda: encode(1.0),
        lambda: encode(None),
        lambda: encode(b"bytes"),
        lambda: encode([1, {2}]),
        lambda: expression_form(Sum((Constant(1), Unheard()))),
        lambda: segment_form("row"),
        lambda: relation_form(Constant(1)),  # type: ignore[arg-type]
        lambda: tensor_form(Tensor("t", ("row",), Kind.CLOSED_FORM, Unheard())),  # type: ignore[arg-type]
    ],
)
def test_what_has_no_form_raises(make: Any) -> None:
    with pytest.raises(TypeError, match="has no canonical form"):
        make()


# --- what must not count --------------------------------------------------------------------------------------


def test_what_classes_and_fields_are_called_when_printed_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {case: form_of(_plan(*case)) for case in PROGRAMS}

    def unprintable(self: object) -> str:
        raise AssertionError(f"a form prints a {type(self).__name__}")

    for module in (plan, program, relations, tables):
        for thing in list(vars(module).values()):
            if (
                isinstance(thing, type)
                and thing.__module__.startswith("prover.")
                and not issubclass(thing, Enum)
            ):
                monkeypatch.setattr(thing, "__repr__", unprintable)
                monkeypatch.setattr(thing, "__str__", unprintable)
    assert {case: form_of(_plan(*case)) for case in PROGRAMS} == before


@dataclass(frozen=True)
class RenamedConstant(Constant):
    """A constant with one field more, which says the same under another name."""

    number: int = 0

    @property
    def value(self) -> int:  # type: ignore[override]
        return self.number

    def __init__(self, number: int) -> None:
        object.__setattr__(self, "number", number)


def test_names_of_fields_do_not_count() -> None:
    assert expression_form(Sum((RenamedConstant(5), Ref("x")))) == expression_form(
        Sum((Constant(5), Ref("x")))
    )


# --- what must count ------------------------------------------------------------------------------------------


def _plan(family: str, kind: str) -> Plan:
    return Plan(FAMILIES[family].programs[kind], chunk_bits=MU)


def _changes(thing: Any) -> Iterator[Any]:
    """The thing with one part changed, in every way that a part can be."""
    match thing:
        case Enum():
            yield next(member for member in type(thing) if member is not thing)
        case bool():
            yield not thing
        case int():
            yield thing + 1
            yield -thing - 1
        case str():
            yield f"{thing}2"
        case None:
            yield 1
        case tuple():
            for place, item in enumerate(thing):
                yield from ((*thing[:place], other, *thing[place + 1 :]) for other in _changes(item))
            # a list of equals, not a name with what belongs to it
            if not (thing and isinstance(thing[0], str) and len(set(map(type, thing))) > 1):
                yield from ((*thing[:place], *thing[place + 1 :]) for place in range(len(thing)))
                if len(thing) > 1 and thing[0] != thing[1]:
                    yield (thing[1], thing[0], *thing[2:])
        case Mapping():
            yield from (dict(changed) for changed in _changes(tuple(thing.items())) if _is_mapping(changed))
        case tables.BeyondWindow():
            yield replace(thing, reach=thing.reach + 32)
        case Lookup():
            for field in ("name", "domain", "tag", "first", "second"):
                yield from (replace(thing, **{field: other}) for other in _changes(getattr(thing, field)))
            yield replace(thing, where=Ref("x") if thing.where is None else None)
        case Zone():
            for field in ("phase", "moving", "places"):
                yield from (replace(thing, **{field: other}) for other in _changes(getattr(thing, field)))
            yield replace(thing, gaps=Gaps(1, 1) if thing.gaps is None else None)
            if thing.gaps is not None:
                yield from (replace(thing, gaps=other) for other in _changes(thing.gaps))
        case Tensor():
            yield replace(thing, inside="x" if thing.inside is None else None)
            for field in ("name", "axes", "kind", "placed"):
                yield from (replace(thing, **{field: other}) for other in _changes(getattr(thing, field)))
            yield replace(thing, closed_form=tables.Unit(1) if thing.closed_form is None else None)
            if thing.closed_form is not None:
                yield from (replace(thing, closed_form=other) for other in _changes(thing.closed_form))
        case _ if is_dataclass(thing):
            for field in fields(thing):
                if type(thing).__module__ != tables.__name__ or field.name != "kind":
                    for other in _changes(getattr(thing, field.name)):
                        yield replace(thing, **{field.name: other})


def _is_mapping(items: Any) -> bool:
    return all(isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) for item in items)


def _assert_every_part_counts(family: str, kind: str, stride: int = 1) -> int:
    """Every stride-th change of axes, tensors, relations, tables, zones and evaluations; returns how many were made."""
    whole = _plan(family, kind)
    of_plan = {
        name: getattr(whole, name)
        for name in ("round_degree", "lookups_per_inverse", "axes", "zones", "sent")
    }
    of_plan["tensors"] = tuple(whole.tensors.values())
    of_plan["weights"], of_plan["public_tables"] = (
        layout(MU).blocks for layout in (whole.key_layout, whole.table_layout)
    )
    of_program = {
        name: getattr(whole.program, name)
        for name in (
            *("name", "relations", "tables", "inputs", "public_scalars", "reads", "writes", "resets"),
            *("parameters", "parameter_limits", "real_sizes"),
        )
    }
    constants = ((1, 2),) * whole.table_layout(MU).chunks

    def encoded(mu: int, plan_parts: dict[str, Any], program_parts: dict[str, Any], points: Any) -> bytes:
        tensors = {str(index): tensor for index, tensor in enumerate(plan_parts["tensors"])}
        changed = SimpleNamespace(
            **{**plan_parts, "tensors": tensors, "privacy": whole.privacy},
            program=SimpleNamespace(**program_parts),
            key_layout=lambda _: SimpleNamespace(blocks=plan_parts["weights"]),
            table_layout=lambda _: SimpleNamespace(blocks=plan_parts["public_tables"]),
        )
        return encode(step_form("domain", changed, mu, points))  # type: ignore[arg-type]

    original = encoded(MU, of_plan, of_program, constants)
    assert original == encode(step_form("domain", whole, MU, constants))
    assert original != encode(step_form("domain2", whole, MU, constants))
    assert original != encoded(MU + 1, of_plan, of_program, constants)
    tried = 0
    for parts in (of_plan, of_program):
        for name, part in parts.items():
            for other in islice(_changes(part), 0, None, stride):
                if other == part or (name == "inputs" and [t.name for t in other] == [t.name for t in part]):
                    continue  # the order of a mapping; what is among the plan's tensors
                changed = [{**p, name: other} if p is parts else p for p in (of_plan, of_program)]
                assert encoded(MU, *changed, constants) != original, (name, other)
                tried += 1
    for index, (x, y) in enumerate(constants):
        for point in ([(x + 1, y)], [(x, y + 1)], []):
            points = (*constants[:index], *point, *constants[index + 1 :])
            assert encoded(MU, of_plan, of_program, points) != original
    return tried


@pytest.mark.parametrize(("family", "kind"), PROGRAMS)
def test_parts_of_a_statement_count(family: str, kind: str) -> None:
    assert _assert_every_part_counts(family, kind, stride=211 if kind == "attention" else 23) > 20


@pytest.mark.long
@pytest.mark.parametrize(("family", "kind"), PROGRAMS)
def test_every_part_of_a_statement_counts(family: str, kind: str) -> None:
    """Down to every name, number and flag; of the longest one, every seventh."""
    stride = 7 if (family, kind) == ("gemma3", "attention") else 1
    assert _assert_every_part_counts(family, kind, stride) > (300 if kind.endswith("_close") else 700)
