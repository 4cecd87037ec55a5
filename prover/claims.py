"""Symbolic evaluations of a plan at concrete challenges, and the claims that they become.

Used alike by prover and verifier, so that the two cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from .argument.multilinear import eq_table, eq_value, index_bits
from .argument.reduction import Claim
from .field import arrays
from .field.arrays import MODULUS
from .plan import Evaluation, Plan, Slice, TensorClass
from .program import WINDOW_BITS, Kind
from .relations import (
    Challenge,
    Constant,
    Expression,
    Parameter,
    PowerOfTwo,
    Product,
    Public,
    PublicBits,
    Ref,
    Sum,
)
from .statement import Statement, VerifyingKey


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
        for part in evaluation.parts:
            if isinstance(part, Slice):
                coordinates += self.slice(part)
            else:
                value = self.statement.publics[part.name] if isinstance(part, PublicBits) else part.value
                coordinates += index_bits(value, part.width.resolve(self.context_bits))
        return coordinates

    def padding(self, variables: int) -> int:
        """prod (1 - r_j) over the coordinates in front of the last `variables`."""
        front = self.challenges.r[: len(self.challenges.r) - variables]
        return reduce(lambda a, x: a * (1 - x) % MODULUS, front, 1)

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
    """The field element of a scalar leaf; None for anything that is not one."""
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
    return None


def final_value(point: Point, sent: Mapping[Evaluation, int]) -> int:
    """What the batched sumcheck's final claim must be, from the sent evaluations."""
    plan, challenges = point.plan, point.challenges
    powers = [1]
    for _ in range(plan.powers - 1):
        powers.append(powers[-1] * challenges.alpha % MODULUS)

    def at(evaluation: Evaluation) -> int:
        if plan.tensors[evaluation.tensor].kind is Kind.CLOSED_FORM:
            return point.closed_form(evaluation)
        return sent[evaluation]

    def value(expression: Expression, refs: Mapping[Ref, int]) -> int:
        match expression:
            case Sum(terms):
                return sum(value(t, refs) for t in terms) % MODULUS
            case Product(factors):
                return reduce(lambda a, f: a * value(f, refs) % MODULUS, factors, 1)
            case Ref():
                return refs[expression]
        scalar = scalar_in_field(expression, point.statement, plan, challenges)
        assert scalar is not None
        return scalar

    total = 0
    for group in plan.groups:
        variables = group.width.resolve(point.context_bits)
        refs = {ref: at(plan.group_evaluation(group, ref)) for ref in group.refs}
        start = len(challenges.r) - variables
        pointwise = sum(powers[power] * value(expression, refs) for power, expression in group.expressions)
        inverses = sum(sign * refs[Ref(name)] for sign, name in group.inverses)
        summed = (
            eq_value(challenges.rho[start:], challenges.r[start:]) * pointwise
            + powers[plan.sum_power] * inverses
        )
        total += point.padding(variables) * summed
    for product in plan.products:
        variables = plan.width(product.domain).resolve(point.context_bits)
        factors = reduce(
            lambda a, f: a * at(plan.factor_evaluation(product, f)) % MODULUS, product.factors, 1
        )
        for rho, r in plan.batch_slices(product):
            factors = factors * eq_value(point.slice(rho), point.slice(r)) % MODULUS
        coefficient = value(product.coefficient, {})
        total -= point.padding(variables) * powers[product.power] * coefficient % MODULUS * factors
    return total % MODULUS


# --- claims ---------------------------------------------------------------------------------------------


def slot_challenge_count(plan: Plan, context_bits: int, chunk_bits: int) -> int:
    """mu coordinates, and more when a class has more variables than a chunk."""
    longest = max((c.slot_bits + c.width.resolve(context_bits) for c in plan.classes), default=0)
    return chunk_bits + max(0, longest - chunk_bits)


def build_claims(
    verifying_key: VerifyingKey, point: Point, sent: Mapping[Evaluation, int], slots: Sequence[int]
) -> list[Claim]:
    """One claim per class (its tensors stacked at a random slot), then one per single evaluation."""
    plan = verifying_key.plan
    claims = [_class_claim(verifying_key, point, index, sent, slots) for index in range(len(plan.classes))]
    return claims + [_single_claim(verifying_key, point, e, sent[e]) for e in plan.single_evaluations]


def _weights(source: Hashable, coordinates: Sequence[int], count: int) -> tuple[tuple[Hashable, int], ...]:
    """(chunk key, eq weight) of the existing chunks, for the coordinates that select a chunk."""
    if not coordinates:
        return (((source, 0), 1),)
    table = arrays.to_ints(eq_table(coordinates)[:count])
    return tuple(((source, index), weight) for index, weight in enumerate(table))


def _class_claim(
    verifying_key: VerifyingKey,
    point: Point,
    index: int,
    sent: Mapping[Evaluation, int],
    slots: Sequence[int],
) -> Claim:
    """The stack of a class at (slot challenges, r). Front coordinates are random, which binds short chunks.

    slots = (extra ‖ S) where S has one coordinate per variable of a chunk.
    """
    plan, mu = point.plan, verifying_key.chunk_bits
    tensor_class = plan.classes[index]
    variables = tensor_class.width.resolve(point.context_bits)
    extra = slots[: len(slots) - mu]
    inner = list(slots[len(slots) - mu : len(slots) - min(variables, mu)])
    prefix = [*extra, *inner]  # everything in front of the class's own variables, within its padded length
    slot_bits = tensor_class.slot_bits
    slot = prefix[len(prefix) - slot_bits :] if slot_bits else []
    coordinates = [*slot, *point.challenges.r[len(point.challenges.r) - variables :]] if variables else slot
    values = [sent[plan.natural(name)] for name in tensor_class.tensors]
    weights = arrays.to_ints(eq_table(slot)[: len(values)])
    value = sum(w * v for w, v in zip(weights, values, strict=True)) % MODULUS
    total = slot_bits + variables
    if total >= mu:
        top, low = coordinates[: total - mu], coordinates[total - mu :]
    else:
        front = slots[len(slots) - mu : len(slots) - total]
        value = reduce(lambda a, x: a * (1 - x) % MODULUS, front, value)
        top, low = [], [*front, *coordinates]
    count = tensor_class.chunks(point.context_bits, mu)
    return Claim(tuple(low), value, _weights(class_source(plan, tensor_class), top, count))


def class_source(plan: Plan, tensor_class: TensorClass) -> Hashable:
    """The key of a class's chunks: the tensor itself for a public output, else the class index."""
    if tensor_class.phase == 0:
        return tensor_class.tensors[0]
    return plan.classes.index(tensor_class)


def _single_claim(verifying_key: VerifyingKey, point: Point, evaluation: Evaluation, value: int) -> Claim:
    """One tensor at one point, zero-padded in front."""
    plan, mu, t = point.plan, verifying_key.chunk_bits, point.context_bits
    tensor = plan.tensors[evaluation.tensor]
    coordinates = point.resolve(evaluation)
    tensor_class = plan.class_of(evaluation.tensor)
    chunk_variables = mu
    if tensor_class is not None:
        slot = tensor_class.tensors.index(evaluation.tensor)
        coordinates = [*index_bits(slot, tensor_class.slot_bits), *coordinates]
        source, count = class_source(plan, tensor_class), tensor_class.chunks(t, mu)
    elif tensor.kind is Kind.WEIGHT:
        source, count = tensor.name, plan.weight_chunks(tensor, mu)
    elif tensor.kind is Kind.BOUNDARY and "context" in tensor.axes:
        chunk_variables = WINDOW_BITS + plan.axes["channel"].fixed
        source, count = tensor.name, point.statement.publics["window"] + 1
    else:
        source, count = tensor.name, 1
    split = max(0, len(coordinates) - chunk_variables)
    top, low = coordinates[:split], coordinates[split:]
    return Claim((*[0] * (mu - len(low)), *low), value, _weights(source, top, count))
