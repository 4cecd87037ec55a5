"""Symbolic evaluations of a plan at concrete challenges, and the claims that they become.

Used alike by prover and verifier, so that the two cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce

from .argument.points import eq_value, index_bits
from .argument.reduction import AnyClaim, Claim
from .argument.sparse_claims import VectorClaim
from .evaluations import Evaluation, Slice
from .field.reference import SCALAR_MODULUS as MODULUS
from .masks import MASK_CHUNKS, MASK_COORDINATES, mask_layout
from .plan import Group, Plan
from .program import Kind
from .quads import QUAD_BITS, powers_at
from .relations import (
    Challenge,
    Constant,
    Expression,
    Parameter,
    PowerOfTwo,
    Product,
    Public,
    Ref,
    Sum,
    selected,
)
from .statement import BLOCKS, Statement, VerifyingKey


@dataclass
class Challenges:
    """Everything that the transcript yields before the claim reduction."""

    beta: int
    gamma: int
    alpha: int
    rho: list[int]
    r: list[int]


@dataclass
class Point:
    """Resolves symbolic parts for one statement."""

    plan: Plan
    statement: Statement
    context_bits: int
    challenges: Challenges

    def slice(self, part: Slice) -> list[int]:
        """The coordinates of a slice."""
        vector = self.challenges.r if part.vector == "r" else self.challenges.rho
        start = len(vector) - part.start.resolve(self.context_bits)
        coordinates = list(vector[start : start + part.width.resolve(self.context_bits)])
        if part.flip:
            coordinates[-1] = (1 - coordinates[-1]) % MODULUS
        return coordinates

    def resolve(self, evaluation: Evaluation) -> list[int]:
        """The whole point of an evaluation."""
        coordinates: list[int] = []
        integers = self.statement.integers(self.plan)
        for part in evaluation.parts:
            if isinstance(part, Slice):
                coordinates += self.slice(part)
            else:
                coordinates += index_bits(selected(part, integers), part.width.resolve(self.context_bits))
        return coordinates

    def padding(self, variables: int) -> int:
        """prod (1 - r_j) over the coordinates in front of the last `variables`."""
        front = self.challenges.r[: len(self.challenges.r) - variables]
        return reduce(lambda a, x: a * (1 - x) % MODULUS, front, 1)

    def group_eq(self, group: Group) -> int:
        """eq(rho, r) over the domain of a group, or what quads have in its place."""
        variables = group.width.resolve(self.context_bits)
        start, end = len(self.challenges.r) - variables, len(self.challenges.r)
        if not group.quads:
            return eq_value(self.challenges.rho[start:], self.challenges.r[start:])
        end -= QUAD_BITS
        front = eq_value(self.challenges.rho[start:end], self.challenges.r[start:end])
        return front * powers_at(self.challenges.r[end:]) % MODULUS

    def closed_form(self, evaluation: Evaluation) -> int:
        """A public tensor at the evaluation's point."""
        tensor = self.plan.tensors[evaluation.tensor]
        assert tensor.closed_form is not None
        coordinates, points = self.resolve(evaluation), []
        for axis in tensor.axes:
            width = self.plan.axes[axis].resolve(self.context_bits)
            points.append(coordinates[:width])
            coordinates = coordinates[width:]
        return tensor.closed_form.evaluate(points, dict(self.statement.publics), MODULUS)


def scalar_in_field(
    expression: Expression, statement: Statement, plan: Plan, challenges: Challenges
) -> int | None:
    """The field element of a scalar leaf, or of a product of such; None for anything else."""
    parameters = dict(zip(plan.program.parameters, statement.key.parameters, strict=True))
    match expression:
        case Constant(value):
            return value % MODULUS
        case Parameter(name):
            return parameters[name]
        case PowerOfTwo(parameter, offset):
            return 1 << (parameters[parameter] + offset)
        case Public(name):
            return statement.publics[name]
        case Challenge("beta"):
            return challenges.beta
        case Challenge("gamma"):
            return challenges.gamma
        case Product(factors):
            result = 1
            for factor in factors:
                scalar = scalar_in_field(factor, statement, plan, challenges)
                if scalar is None:
                    return None
                result = result * scalar % MODULUS
            return result
    return None


@dataclass(frozen=True)
class LinearForm:
    """constant + sum_e coefficients[e] * e over evaluations e that nobody sends."""

    constant: int
    coefficients: Mapping[Evaluation, int]


def final_form(point: Point, sent: Mapping[Evaluation, int]) -> LinearForm:
    """What the batched sumcheck's final claim must be, given the sent evaluations: linear in the opened ones."""
    plan, challenges = point.plan, point.challenges
    powers = [1]
    for _ in range(plan.powers - 1):
        powers.append(powers[-1] * challenges.alpha % MODULUS)
    constant = 0
    coefficients = dict.fromkeys(plan.opened, 0)

    def add(scale: int, expression: Expression, evaluate: Callable[[Ref], Evaluation]) -> None:
        nonlocal constant
        known, linear = plan.affine(expression, evaluate)
        constant = (constant + scale * value(known, evaluate)) % MODULUS
        for evaluation, factor in linear.items():
            total = coefficients[evaluation] + scale * value(factor, evaluate)
            coefficients[evaluation] = total % MODULUS

    def value(expression: Expression, evaluate: Callable[[Ref], Evaluation]) -> int:
        match expression:
            case Sum(terms):
                return sum(value(t, evaluate) for t in terms) % MODULUS
            case Product(factors):
                return reduce(lambda a, f: a * value(f, evaluate) % MODULUS, factors, 1)
            case Ref():
                evaluation = evaluate(expression)
                if plan.tensors[evaluation.tensor].kind is Kind.CLOSED_FORM:
                    return point.closed_form(evaluation)
                return sent[evaluation]
        scalar = scalar_in_field(expression, point.statement, plan, challenges)
        assert scalar is not None
        return scalar

    for group in plan.groups:
        variables = group.width.resolve(point.context_bits)
        evaluate = partial(plan.group_evaluation, group)
        padding = point.padding(variables)
        equal = padding * point.group_eq(group) % MODULUS
        for power, expression in group.expressions:
            add(equal * powers[power] % MODULUS, expression, evaluate)
        for sign, name in group.inverses:
            add(sign * padding * powers[plan.sum_power] % MODULUS, Ref(name), evaluate)
    for product in plan.products:
        variables = plan.width(product.domain).resolve(point.context_bits)
        scale = -point.padding(variables) * powers[product.power] % MODULUS
        for rho, r in plan.batch_slices(product):
            scale = scale * eq_value(point.slice(rho), point.slice(r)) % MODULUS
        expression = Product((product.coefficient, *product.factors))
        add(scale, expression, partial(plan.factor_evaluation, product))
    return LinearForm(constant, coefficients)


# --- claims ---------------------------------------------------------------------------------------------


def combine_claims(
    verifying_key: VerifyingKey, point: Point, final: int, sent: Mapping[Evaluation, int], eta: int
) -> tuple[list[AnyClaim], int]:
    """Claims about committed chunks with their coefficients, and the value of their sum.

        final - constant = sum_e coefficient_e * e                  the final check itself, over opened evaluations
        eta^(k+1) v_k = eta^(k+1) * e_k                             every sent evaluation
        0 = eta^(s+1+i) (F_i(f, r) - eq(place, f) F_i(place, r))    the chunk F_i of output i is zero outside its place

    f are the first coordinates of rho, which nobody could predict when the outputs were committed. An output that fills
    its chunk has no such claim: it is among the sent evaluations. Either way a power of eta multiplies the output's chunk
    alone, which makes its commitment unique (docs/uniqueness.md).

    In a private plan v_k = e_k + r_N (1 - r_N) m_k, the final check has alpha^P g(r), and both are one vector claim about
    M; 0 = eta^(last) (A(2, .., 2) + A'(3, .., 3)) is one claim more (masks.py).
    """
    plan, mu = point.plan, verifying_key.chunk_bits
    form = final_form(point, sent)
    value = final - form.constant
    claims: list[AnyClaim] = []
    power, etas = 1, []
    for evaluation in plan.sent:
        power = power * eta % MODULUS
        etas.append(power)
        value += power * sent[evaluation]
        claims += _claims(verifying_key, point, evaluation, power)
    for evaluation in plan.opened:
        claims += _claims(verifying_key, point, evaluation, form.coefficients[evaluation])
    for output in plan.short_outputs(mu):
        power = power * eta % MODULUS
        inside = _claim(verifying_key, point, output, power)
        count = mu - plan.output_bits(output)
        front, place, own = point.challenges.rho[:count], inside.point[:count], inside.point[count:]
        claims.append(Claim(power, (*front, *own), inside.weights))
        claims.append(Claim(-power * eq_value(place, front) % MODULUS, inside.point, inside.weights))
    layout = mask_layout(plan)
    if layout is not None:
        alpha_power = pow(point.challenges.alpha, plan.mask_power, MODULUS)
        weights = layout.weights(etas, alpha_power, point.challenges.r)
        claims.append(VectorClaim(tuple(weights), MASK_CHUNKS[0]))
        power = power * eta % MODULUS
        for chunk, coordinate in zip(MASK_CHUNKS, MASK_COORDINATES, strict=True):
            claims.append(Claim(power, (coordinate,) * mu, ((chunk, 1),)))
    return claims, value % MODULUS


def _claims(
    verifying_key: VerifyingKey, point: Point, evaluation: Evaluation, coefficient: int
) -> Iterator[Claim]:
    """One tensor at one point: a claim, or one for every block of a weight, each at its own point (block_layout.py)."""
    plan, mu = point.plan, verifying_key.chunk_bits
    kind = plan.tensors[evaluation.tensor].kind
    if kind not in BLOCKS:
        yield _claim(verifying_key, point, evaluation, coefficient)
        return
    for block in plan.layout(kind, mu).by_tensor[evaluation.tensor]:
        factors, parts = plan.in_block(evaluation, block)
        scale = coefficient
        for front, bits in factors:
            coordinates = point.slice(front)
            scale = scale * eq_value(index_bits(bits, len(coordinates)), coordinates) % MODULUS
        coordinates = [*index_bits(*block.slot(mu)), *point.resolve(Evaluation(evaluation.tensor, parts))]
        yield _at(mu, scale, coordinates, BLOCKS[kind], block.chunks or 1, block.place >> mu)


def _claim(verifying_key: VerifyingKey, point: Point, evaluation: Evaluation, coefficient: int) -> Claim:
    """One tensor that has no blocks at one point."""
    plan, mu, t = point.plan, verifying_key.chunk_bits, point.context_bits
    tensor = plan.tensors[evaluation.tensor]
    coordinates = point.resolve(evaluation)
    source: Hashable = tensor.name
    number = plan.zone_of(evaluation.tensor)
    if number is not None:
        zone = plan.zones[number]
        coordinates = [*index_bits(*zone.slot(evaluation.tensor)), *coordinates]
        claim = _at(mu, coefficient, coordinates, number, zone.chunks(t, mu))
        committed = {(number, index) for index in zone.committed(t, mu)}  # the others are zero
        return Claim(claim.coefficient, claim.point, tuple(w for w in claim.weights if w[0] in committed))
    if tensor.kind is Kind.BOUNDARY:
        publics = point.statement.publics
        count = plan.input_points(tensor, publics, mu)
        if "context" not in tensor.axes:
            place, bits = plan.place(tensor, publics, mu), plan.place_bits(tensor, mu)
            coordinates = [*index_bits(place, bits), *coordinates]
    else:
        count = 1
    return _at(mu, coefficient, coordinates, source, count)


def _at(
    mu: int, coefficient: int, coordinates: Sequence[int], source: Hashable, count: int, first: int = 0
) -> Claim:
    """What lies in `count` chunks from the first one on, as their combination at a point of mu coordinates, zeros in front."""
    split = max(0, len(coordinates) - mu)
    top, low = coordinates[:split], coordinates[split:]
    return Claim(coefficient, (*[0] * (mu - len(low)), *low), _weights(source, top, count, first))


def _weights(
    source: Hashable, coordinates: Sequence[int], count: int, begin: int = 0
) -> tuple[tuple[Hashable, int], ...]:
    """(chunk key, eq weight) of the existing chunks that coordinates select with a weight that is not zero."""
    known = len(coordinates)
    for index, coordinate in enumerate(coordinates):
        if coordinate not in (0, 1):
            known = index
            break
    first = reduce(lambda number, bit: 2 * number + bit, coordinates[:known], 0) << (len(coordinates) - known)
    table = [1]  # in plain integers: it is short, and a verifier that starts has no kernel to load
    for coordinate in coordinates[known:]:
        table = [w * factor % MODULUS for w in table for factor in (1 - coordinate, coordinate)]
    table = table[: max(0, count - first)]
    return tuple(((source, begin + first + index), weight) for index, weight in enumerate(table))
