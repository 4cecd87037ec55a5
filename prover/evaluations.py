"""Values of tensors that the final check of the sumcheck needs: at which points, and how the check is put together from them.

The check is a polynomial in them. Some are `sent` by the prover, so that it is linear in the others, which are `opened`: it
becomes one claim about committed tensors instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .relations import (
    Bits,
    Constant,
    Expression,
    FixedBits,
    ParameterBits,
    Product,
    PublicBits,
    Ref,
    Sum,
)


@dataclass(frozen=True)
class Slice:
    """Coordinates [N - start, N - start + width) of vector "r" or "rho"; `flip` complements the last one."""

    vector: str
    start: Bits
    width: Bits
    flip: bool = False


PointPart = Slice | PublicBits | ParameterBits | FixedBits


@dataclass(frozen=True)
class Evaluation:
    """A tensor's extension at a symbolic point, one or more parts per axis, most significant first."""

    tensor: str
    parts: tuple[PointPart, ...]


def monomials(expression: Expression) -> tuple[tuple[Ref, ...], ...]:
    """The products of references that an expression is a combination of, in order of appearance."""
    match expression:
        case Sum(terms):
            return tuple(dict.fromkeys(product for term in terms for product in monomials(term)))
        case Product(factors):
            result: tuple[tuple[Ref, ...], ...] = ((),)
            for factor in factors:
                result = tuple((*left, *right) for left in result for right in monomials(factor))
            return tuple(dict.fromkeys(result))
        case Ref():
            return ((expression,),)
    return ((),)


def affine(
    expression: Expression, opened: Callable[[Ref], Evaluation | None]
) -> tuple[Expression, dict[Evaluation, Expression]]:
    """The constant part, and the coefficient of every opened evaluation, of an expression linear in them."""
    match expression:
        case Sum(terms):
            parts = [affine(term, opened) for term in terms]
            coefficients: dict[Evaluation, Expression] = {}
            for _, found in parts:
                for evaluation, value in found.items():
                    known = coefficients.get(evaluation)
                    coefficients[evaluation] = value if known is None else known + value
            constants = tuple(constant for constant, _ in parts if constant != Constant(0))
            return Sum(constants) if constants else Constant(0), coefficients
        case Product(factors):
            parts = [affine(factor, opened) for factor in factors]
            moving = [i for i, (_, found) in enumerate(parts) if found]
            if len(moving) > 1:
                raise ValueError("an expression is not linear in the opened evaluations")
            constants = tuple(constant for constant, _ in parts)
            whole = Constant(0) if Constant(0) in constants else Product(constants)
            if not moving:
                return whole, {}
            others = tuple(constant for i, constant in enumerate(constants) if i != moving[0])
            return whole, {e: Product((*others, value)) for e, value in parts[moving[0]][1].items()}
        case Ref():
            own = opened(expression)
            if own is not None:
                return Constant(0), {own: Constant(1)}
    return expression, {}


def split_evaluations(
    products: Sequence[tuple[Evaluation, ...]],
) -> tuple[tuple[Evaluation, ...], tuple[Evaluation, ...]]:
    """(sent, opened): as many opened as possible, such that no product has two of them. In order of appearance.

    Opened evaluations are a largest independent set of the graph that joins two evaluations of one product.
    """
    order = list(dict.fromkeys(evaluation for product in products for evaluation in product))
    number = {evaluation: index for index, evaluation in enumerate(order)}
    neighbours: dict[int, set[int]] = {index: set() for index in range(len(order))}
    for product in products:
        indices = [number[evaluation] for evaluation in product]
        for i, left in enumerate(indices):
            for right in indices[i + 1 :]:
                neighbours[left].add(right)
                neighbours[right].add(left)
    squared = {index for index, others in neighbours.items() if index in others}
    free = {index: others - squared for index, others in neighbours.items() if index not in squared}
    chosen = independent_set(free)
    sent = tuple(evaluation for index, evaluation in enumerate(order) if index not in chosen)
    return sent, tuple(evaluation for index, evaluation in enumerate(order) if index in chosen)


def independent_set(neighbours: dict[int, set[int]]) -> set[int]:
    """A largest set of vertices without neighbours in it: branch on the busiest vertex, component by component."""
    chosen: set[int] = set()
    graph = {vertex: set(others) for vertex, others in neighbours.items()}
    while graph:
        vertex = min(graph, key=lambda v: (len(graph[v]), v))
        if len(graph[vertex]) > 1:
            break
        chosen.add(vertex)  # an isolated vertex or a leaf is in some largest set
        graph = _without(graph, {vertex, *graph[vertex]})
    if not graph:
        return chosen
    component = {min(graph)}
    while grown := set().union(*(graph[v] for v in component)) - component:
        component |= grown
    if len(component) < len(graph):
        for part in (component, set(graph) - component):
            chosen |= independent_set({v: graph[v] for v in sorted(part)})
        return chosen
    busiest = max(graph, key=lambda v: (len(graph[v]), -v))
    without = independent_set(_without(graph, {busiest}))
    with_it = {busiest} | independent_set(_without(graph, {busiest, *graph[busiest]}))
    return chosen | (with_it if len(with_it) > len(without) else without)


def _without(graph: dict[int, set[int]], removed: set[int]) -> dict[int, set[int]]:
    return {vertex: others - removed for vertex, others in graph.items() if vertex not in removed}
