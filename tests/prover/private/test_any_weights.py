"""Private weights are any field elements: nobody recomputes their commitments, so no bound on them may be needed.

What is needed is that a step has at most one output whatever its weights are. Nearly all values follow one after the other from
relations in which weights and what is read multiply nothing that is still open; the exceptions are listed, and each is
shown over a small field, with all elements of it as weights, by trying everything.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from prover.errors import BadInputError
from prover.evaluations import monomials
from prover.field.arrays import MODULUS
from prover.operators.inverse_root import ROOT_LIMBS, SLACK_LIMBS
from prover.program import Kind, Program
from prover.relations import Contraction, Lookup, references
from prover.statement import check_parameters
from prover.tables import RANGE_BITS
from tests.prover.architectures.random_models import FAMILIES

PROGRAMS = [(name, kind) for name, config in FAMILIES.items() for kind in config.programs]

EXPLAINED = {
    ("RmsNorm", "root"): "test_a_norm_has_one_root",
    ("LayerNorm", "root"): "test_a_norm_has_one_root",
    ("Attend", "weight"): "test_a_score_has_one_distance",
    ("TopK", "picked"): "test_one_choice_has_the_largest_keys",
    ("TopK", "picked_groups"): "test_one_choice_has_the_largest_keys",
    ("TopK", "best"): "test_one_choice_has_the_largest_keys",
    ("TopK", "last"): "test_one_choice_has_the_largest_keys",
    ("RoutedRows", "flag"): "a lookup of a gate that is read: one row of its table",
}
"""Values of an operator that some relation of it multiplies with a weight or with what is read, and why they are determined without it."""


def _open_products(program: Program) -> Iterator[tuple[str, str]]:
    """(operator, tensor) of every witness that its own operator multiplies with something that may be any field element."""
    written = {tensor.name for tensor in program.written}
    anything = {tensor.name for tensor in program.weights}
    anything |= {tensor.name for tensor in program.inputs if tensor.name not in written}
    ranged = {
        ref.tensor
        for relation in program.relations
        if isinstance(relation, Lookup)
        for ref in references(relation.first)
    }
    for operator in program.operators:
        own = {tensor.name for tensor in operator.tensors() if tensor.kind is Kind.WITNESS} | (
            written & set(getattr(operator, "limits", dict)())
        )
        for relation in operator.relations(program):
            products = [] if isinstance(relation, Lookup) else list(monomials(relation.expression))
            if isinstance(relation, Contraction):
                products += [term.factors for term in relation.terms]
            for product in products:
                names = {ref.tensor for ref in product}
                if names & anything:
                    yield from ((type(operator).__name__, name) for name in names & own)
        anything |= own - ranged  # determined, but as large as weights make it


@pytest.mark.parametrize("family", FAMILIES)
def test_no_open_value_is_multiplied_by_a_weight(family: str) -> None:
    """Otherwise a weight could make two values of the prover exchangeable."""
    for program in FAMILIES[family].programs.values():
        for operator, tensor in _open_products(program):
            known = [
                why for (name, end), why in EXPLAINED.items() if name == operator and tensor.endswith(end)
            ]
            assert len(known) == 1, (operator, tensor)


def test_every_exception_occurs_and_is_shown() -> None:
    found = {
        (operator, end)
        for config in FAMILIES.values()
        for program in config.programs.values()
        for operator, tensor in _open_products(program)
        for name, end in EXPLAINED
        if name == operator and tensor.endswith(end)
    }
    assert found == EXPLAINED.keys()
    assert {why for why in EXPLAINED.values() if why.startswith("test_")} <= globals().keys()


@pytest.mark.parametrize(("family", "kind"), PROGRAMS)
def test_a_sum_rounds_to_one_value(family: str, kind: str) -> None:
    """2^s y + remainder = v, s <= 16, has at most one solution in range for any field element v: two differ by less than r."""
    program = FAMILIES[family].programs[kind]
    for name in program.parameters:
        if name.endswith("_shift"):
            assert program.parameter_limit(name) == 16, name
    largest = max(program.limits.values(), default=0)
    assert 2 * ((largest << 17) + (1 << 16)) < MODULUS


@pytest.mark.parametrize("family", [name for name, c in FAMILIES.items() if getattr(c, "layer_kinds", ())])
def test_a_layer_is_of_one_of_two_kinds(family: str) -> None:
    """The reach that applies is a step-key integer: 1 or 2, for the reference verifier and, from the same limit, in generated code."""
    config = FAMILIES[family]
    programs = [p for p in config.programs.values() if "layer_kind" in p.parameters]
    assert programs
    for program in programs:
        index = program.parameters.index("layer_kind")
        others = [1] * len(program.parameters)
        for kind, allowed in ((0, False), (1, True), (2, True), (3, False), (16, False)):
            others[index] = kind
            if allowed:
                check_parameters(program, others)
            else:
                with pytest.raises(BadInputError, match=r"layer_kind = \d+; it must be in 1\.\.2"):
                    check_parameters(program, others)


# --- the exceptions, over small fields ----------------------------------------------------------------------


def test_a_norm_has_one_root() -> None:
    """N - y^2 m = A, (y + 1)^2 m - 1 - N = B with small y, A, B and any m: y^2 (B + 1 + N) = (y + 1)^2 (N - A) has no room to wrap, so m is the
    integer (B + 1 + N) / (y + 1)^2 and y its only root."""
    order, largest, slack, numerator = 10_007, 8, 64, 50
    assert (largest + 1) ** 2 * (slack + numerator) < order
    real = (1 << RANGE_BITS * ROOT_LIMBS) ** 2 * ((1 << RANGE_BITS * SLACK_LIMBS) + (1 << 98))
    assert real < MODULUS
    provable = 0
    for m in range(order):
        roots = [
            y
            for y in range(largest)
            if (numerator - y * y * m) % order < slack and ((y + 1) ** 2 * m - 1 - numerator) % order < slack
        ]
        assert len(roots) <= 1
        if roots:
            provable += 1
            assert roots[0] ** 2 * m <= numerator < (roots[0] + 1) ** 2 * m  # m is small, as an integer
    assert provable > 20


def test_a_score_has_one_distance() -> None:
    """distance = max - score in [0, B) everywhere and zero somewhere visible: the maximum is one field element, whatever scores are."""
    order, bound = 17, 6
    assert 2 * bound < order
    for scores in itertools.product(range(order), repeat=3):
        fitting = [
            largest
            for largest in range(order)
            if all((largest - score) % order < bound for score in scores) and largest in scores
        ]
        assert len(fitting) <= 1


def test_one_choice_has_the_largest_keys() -> None:
    """picked and unpicked entries on their sides of a threshold that is the key of a picked one. Keys are any field elements, since a
    bias is: two may even be equal, and then the pointer may be one or the other, which nothing reads; what is picked is one set."""
    order, bound, count = 17, 4, 2
    assert 4 * bound < order
    for keys in itertools.product(range(order), repeat=4):
        choices = {
            picked
            for picked in itertools.combinations(range(4), count)
            for last in picked
            if all(
                ((keys[e] - keys[last]) if e in picked else (keys[last] - keys[e] - 1)) % order < bound
                for e in range(4)
            )
        }
        assert len(choices) <= 1


def test_one_token_beats_all_others() -> None:
    """A logit's difference, less one where a tie is lost, in [0, B): for any three field elements as logits at most one token has that for both others."""
    order, bound = 17, 8
    assert 2 * bound - 1 < order
    for logits in itertools.product(range(order), repeat=3):
        winners = [
            token
            for token in range(3)
            if all(
                (logits[token] - logits[rival] - int(rival < token)) % order < bound
                for rival in range(3)
                if rival != token
            )
        ]
        assert len(winners) <= 1
    assert MODULUS > 2 * (1 << 64) - 1
