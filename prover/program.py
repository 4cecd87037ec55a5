"""A layer program: named tensors, operators, and the relations that the operators state.

One program is one kind of statement (attention step, MLP step, head pair). It is the single
source of what is run, checked, proven and verified; nothing about an architecture is written elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from .arrays import Arrays, Places, Rows
from .errors import OutOfRangeError
from .relations import (
    Along,
    Bits,
    Contraction,
    Expression,
    Lookup,
    LookupTable,
    Pointwise,
    Ref,
    Relation,
    references,
    selected,
)
from .tables import WINDOW_BITS, WINDOW_ROWS, ClosedForm

ROW_BITS = Bits(WINDOW_BITS)
LARGEST_SHIFT = 16
CONTEXT_BITS = Bits(0, 1)


class OutOfRange(OutOfRangeError):
    """A value left its declared range; an honest provider refuses the request before committing."""

    def __init__(self, tensor: str, position: int, value: int, bound: str, layer: int | None = None) -> None:
        self.tensor, self.position, self.value, self.bound, self.layer = tensor, position, value, bound, layer
        self.rows: tuple[
            int, ...
        ] = ()  # all rows of the pass that left it in this place, where that is known
        self.is_told = True  # whether tensor, layer, position and value may be said to whoever asked
        where = "" if layer is None else f" of layer {layer}"
        super().__init__(
            f"tensor {tensor}{where} at position {position} has value {value}, outside {bound};"
            " this model cannot answer this request provably: change the prompt"
        )

    def without_value(self) -> OutOfRange:
        """What a private model's provider may tell: neither the value nor where it was."""
        told = OutOfRange("hidden", 0, 0, "hidden")
        told.is_told = False
        told.args = (
            "a value leaves its range; this model cannot answer this request provably: change the prompt",
        )
        return told


class Kind(Enum):
    """Where a tensor's values come from."""

    WITNESS = "witness"  # committed by the prover of this statement
    BOUNDARY = "boundary"  # windows of a stream, whose commitments are public inputs
    ROW = "row"  # one-chunk commitment that is a public input (an embedding or head row)
    WEIGHT = "weight"  # committed in the step key
    CONSTANT = "constant"  # committed once per architecture, baked into the verifier
    CLOSED_FORM = "closed_form"  # evaluated by the verifier itself


@dataclass(frozen=True)
class Tensor:
    """A multilinear polynomial over the product of its axes.

    inside: of a WITNESS, a closed form over the first axes, 0 or 1: relations make the tensor zero wherever that is 0, and chunks
    that lie there as a whole are not committed to (zones.py).
    placed: of a BOUNDARY, whether window w lies in its chunk at place w mod 2^(mu - n), where a window has 2^n entries; otherwise
    every window starts a chunk of its own. With the axis "context" it holds windows 0..w, with "row" window w.
    """

    name: str
    axes: tuple[str, ...]
    kind: Kind
    closed_form: ClosedForm | None = None
    values: Callable[[], np.ndarray] | None = None  # CONSTANT: the integers, in the shape of the axes
    placed: bool = False
    inside: str | None = None


@dataclass(frozen=True)
class Span:
    """Rows of one sequence among those of a pass: first <= row < end, the first of them at position `start`.

    blocks: numbers of the blocks that keep the sequence's earlier rows, WINDOW_ROWS positions each; empty where nothing is kept.
    """

    first: int
    end: int
    start: int
    blocks: np.ndarray

    @property
    def rows(self) -> int:
        """How many."""
        return self.end - self.first


class BlockRows(Protocol):
    """What attention needs of earlier positions of many sequences, in blocks of WINDOW_ROWS positions."""

    def extend(self, name: str, rows: Rows) -> Rows:
        """Keep the rows of a pass, (rows, groups, size); returns all blocks, (blocks, groups, WINDOW_ROWS, size) int32."""

    @property
    def few(self) -> Places | None:
        """Where the rows of sequences are that have few in the pass; None: no sequence has few."""


@dataclass
class RunContext:
    """What the run reader works on: unpadded tensors by name, rows first, where `arrays` says (None: NumPy's).

    `matmul(weight, x)` returns the exact int64 accumulator of x @ weight; `matmul(weight, x, inputs)` that of x @ weight[inputs], a
    slice. `rounded(weight, x, bias, shift, limit)` is `arrays.round_rows` of it, in one pass (None: in two). `weights` are the step's other weights
    (biases, gains, learned positions), unpadded int64. `cache` keeps what attention needs of earlier positions;
    `positions` are the absolute positions of the rows at hand. `rows`: their numbers among all rows, where an operator went
    on with some of them only. `spans`: of a pass over several sequences, which rows are whose; `blocks` then takes the place of
    `cache`, and without it every sequence begins in this pass.
    """

    tensors: dict[str, Rows]
    parameters: Mapping[str, int]
    matmul: Callable[..., Rows]
    positions: np.ndarray
    cache: dict[str, Rows] = field(default_factory=dict)
    layer: int | None = None
    weights: Mapping[str, Rows] = field(default_factory=dict)
    rows: np.ndarray | None = None
    spans: Sequence[Span] = ()
    blocks: BlockRows | None = None
    arrays: Arrays | None = None
    rounded: Callable[..., tuple[Rows, bool]] | None = None

    @property
    def idle(self) -> bool:
        """Whether no row is left: what the step writes is what it read."""
        return self.rows is not None and len(self.rows) == 0

    def check_range(self, name: str, values: Rows, low: int, high: int) -> None:
        """Raise OutOfRange unless low <= values < high."""
        values = values if self.arrays is None else self.arrays.host(values)
        if values.size and (values.min() < low or values.max() >= high):
            flat = values.reshape(values.shape[0], -1)
            places = np.argwhere((flat < low) | (flat >= high))
            row, column = places[0]
            error = OutOfRange(
                name, int(self.positions[row]), int(flat[row, column]), f"[{low}, {high})", self.layer
            )
            rows = np.unique(places[:, 0])
            error.rows = tuple(int(r) for r in (rows if self.rows is None else self.rows[rows]))
            raise error

    def store(self, name: str, values: Rows, limit: int, *, fits: bool) -> None:
        """Keep a tensor whose values are known to be in [-limit, limit), or not to be. Raises OutOfRange."""
        if not fits:
            self.check_range(name, values, -limit, limit)
        self.tensors[name] = values


@dataclass
class WitnessContext:
    """What the witness reader works on: padded int64 tensors, 2^bits per axis."""

    program: Program
    tensors: dict[str, np.ndarray]
    parameters: Mapping[str, int]
    publics: Mapping[str, int]
    context_bits: int = WINDOW_BITS

    def gather(self, ref: Ref) -> np.ndarray:
        """The tensor with fixed and public index bits applied; remaining axes in the tensor's order."""
        return gather(self.tensors[ref.tensor], self.program, ref, self._integers, self.context_bits)[0]

    @property
    def _integers(self) -> Mapping[str, int]:
        return {**self.publics, **self.parameters}

    def over(self, ref: Ref, domain: Sequence[str]) -> np.ndarray:
        """The tensor as a view over a domain: axes that it lacks have size one."""
        array, axes = gather(self.tensors[ref.tensor], self.program, ref, self._integers, self.context_bits)
        return broadcast(array, axes, domain)


class Operator(Protocol):
    """One operator of a program: MEANING (run), BOUNDS (declared in run), RELATIONS."""

    def tensors(self) -> Sequence[Tensor]:
        """Tensors that the operator creates."""

    def parameters(self) -> Sequence[str]:
        """Names of the step-key integers that it reads."""

    def tables(self) -> Sequence[LookupTable]:
        """Lookup tables that its lookups go into, beside the range table."""

    def definitions(self) -> Mapping[str, Expression]:
        """Virtual tensors: never committed, equal to an expression of others."""

    def run(self, context: RunContext) -> None:
        """Compute the outputs on unpadded integers."""

    def keep(self, context: RunContext) -> object:
        """Keep in the cache what later rows read of these, without computing anything from them; `run` does both."""

    def witness(self, context: WitnessContext) -> None:
        """Compute every committed tensor of the operator on padded integers."""

    def relations(self, program: Program) -> Sequence[Relation]:
        """What pins each of its tensors down."""

    def limits(self) -> Mapping[str, int]:
        """Exclusive bound on the absolute value of every tensor whose range it declares."""

    def bounded(self) -> Sequence[str]:
        """Those of them that cannot leave their range, whatever the input."""


class OperatorBase:
    """Defaults for operators that need only some of the readers."""

    def tensors(self) -> Sequence[Tensor]:
        return ()

    def parameters(self) -> Sequence[str]:
        return ()

    def tables(self) -> Sequence[LookupTable]:
        return ()

    def definitions(self) -> Mapping[str, Expression]:
        return {}

    def keep(self, context: RunContext) -> object:
        return None

    def limits(self) -> Mapping[str, int]:
        return {}

    def bounded(self) -> Sequence[str]:
        return ()


@dataclass(frozen=True)
class Program:
    """One kind of statement.

    own_axes: widths. public_scalars: names of public integers (window, row, factor, offset) with their exclusive upper
    bounds, in the order in which a statement lists them. real_sizes: unpadded sizes of the axes of weights; chunks beyond
    them are zero and left out of the step key. inputs: boundary and row tensors, in the order in which their commitments
    appear in the public inputs: what is read, then what is written. reads, writes: stream -> the input that holds its rows;
    resets: streams that are zero afterwards, which no relation speaks of.
    """

    name: str
    own_axes: Mapping[str, Bits]
    inputs: tuple[Tensor, ...]
    operators: tuple[Any, ...]
    public_scalars: Mapping[str, int] = field(default_factory=dict)
    weights: tuple[Tensor, ...] = ()
    real_sizes: Mapping[str, int] = field(default_factory=dict)
    reads: Mapping[str, str] = field(default_factory=dict)
    writes: Mapping[str, str] = field(default_factory=dict)
    resets: tuple[str, ...] = ()
    parameter_limits: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def tables(self) -> tuple[LookupTable, ...]:
        """Every lookup table once, in order of first use."""
        found = {table.name: table for operator in self.operators for table in operator.tables()}
        return tuple(found.values())

    @cached_property
    def axes(self) -> dict[str, Bits]:
        """Width of every axis, the tables' own included."""
        return {**self.own_axes, **{table.axis: table.width for table in self.tables}}

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Step-key integers, in the order in which the step key lists them."""
        return tuple(dict.fromkeys(name for operator in self.operators for name in operator.parameters()))

    def parameter_limit(self, name: str) -> int:
        """Largest value of a step-key integer, whose least is 1: a requantisation shift's, unless the program says another."""
        return self.parameter_limits.get(name, LARGEST_SHIFT)

    @cached_property
    def limits(self) -> dict[str, int]:
        """Exclusive bound on the absolute value of every tensor with a declared range."""
        return {name: bound for operator in self.operators for name, bound in operator.limits().items()}

    @cached_property
    def bounded(self) -> frozenset[str]:
        """Tensors that stay in their range whatever the input."""
        return frozenset(name for operator in self.operators for name in operator.bounded())

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by name."""
        result: dict[str, Tensor] = {}
        created = [tensor for operator in self.operators for tensor in operator.tensors()]
        for tensor in (*self.inputs, *self.weights, *created):
            if tensor.name in result and result[tensor.name] != tensor:
                raise ValueError(f"program {self.name}: tensor {tensor.name} is declared twice")
            result[tensor.name] = tensor
        return result

    @cached_property
    def definitions(self) -> dict[str, Expression]:
        """Virtual tensors."""
        return {name: e for operator in self.operators for name, e in operator.definitions().items()}

    @cached_property
    def relations(self) -> tuple[Relation, ...]:
        """All relations, in program order; names are unique and every reference is declared."""
        relations = tuple(relation for operator in self.operators for relation in operator.relations(self))
        names = [relation.name for relation in relations]
        duplicates = {name for name in names if names.count(name) > 1}
        if duplicates:
            raise ValueError(f"program {self.name}: relations declared twice: {sorted(duplicates)}")
        return relations

    @property
    def written(self) -> tuple[Tensor, ...]:
        """The inputs that the statement claims to follow from the others."""
        return tuple(tensor for tensor in self.inputs if tensor.name in self.writes.values())

    @property
    def has_context(self) -> bool:
        """Whether the statement grows with the number of windows before it."""
        return "context" in self.axes

    def value(self, name: str) -> Expression:
        """The expression that stands for a tensor: itself, or the definition of a virtual one."""
        return self.definitions.get(name) or Ref(name)

    def shape(self, axes: Sequence[str], context_bits: int) -> tuple[int, ...]:
        """Padded shape of a product of axes."""
        return tuple(1 << self.axes[axis].resolve(context_bits) for axis in axes)

    def witness(
        self,
        tensors: Mapping[str, np.ndarray],
        parameters: Mapping[str, int],
        publics: Mapping[str, int],
        context_bits: int = WINDOW_BITS,
    ) -> dict[str, np.ndarray]:
        """Every committed or public tensor of one statement as padded integers.

        `tensors` holds the inputs and weights, already padded.
        """
        values = dict(tensors)
        for tensor in self.tensors.values():
            if tensor.kind is Kind.CLOSED_FORM:
                assert tensor.closed_form is not None
                widths = [self.axes[axis].resolve(context_bits) for axis in tensor.axes]
                values[tensor.name] = tensor.closed_form.values(widths, dict(publics))
            elif tensor.kind is Kind.CONSTANT:
                assert tensor.values is not None
                values[tensor.name] = tensor.values()
        context = WitnessContext(self, values, parameters, publics, context_bits)
        for operator in self.operators:
            operator.witness(context)
        return context.tensors


def gather(
    array: np.ndarray, program: Program, ref: Ref, integers: Mapping[str, int], context_bits: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Apply a reference's index to a padded array; returns the array and the axes that it runs along.

    integers: the statement's public and step-key integers by name.

    An axis that is indexed by several segments is split into one dimension per segment first.
    """
    axes: list[str] = []
    dimensions: list[int] = []
    selections: list[Any] = []
    for axis in program.tensors[ref.tensor].axes:
        for segment in ref.segments(axis):
            if isinstance(segment, Along):
                dimensions.append(1 << program.axes[segment.axis].resolve(context_bits))
                axes.append(segment.axis)
                index = np.arange(dimensions[-1])
                selections.append(index ^ 1 if segment.flip else slice(None))
            else:
                dimensions.append(1 << segment.width.resolve(context_bits))
                selections.append(selected(segment, integers))
    result = array.reshape(dimensions)
    # one axis at a time, from the last, so that integer and list selections never broadcast together
    for dimension in range(len(dimensions) - 1, -1, -1):
        selection = selections[dimension]
        if isinstance(selection, slice):
            continue
        result = np.take(result, selection, axis=dimension)
    return result, tuple(axes)


def broadcast(array: np.ndarray, axes: Sequence[str], domain: Sequence[str]) -> np.ndarray:
    """View an array over `axes` as one over `domain` (a superset): transpose, then insert unit dimensions."""
    order = [axes.index(axis) for axis in domain if axis in axes]
    if len(order) != len(axes):
        raise ValueError(f"axes {tuple(axes)} do not fit into the domain {tuple(domain)}")
    transposed = np.transpose(array, order)
    shape = iter(transposed.shape)
    return transposed.reshape([next(shape) if axis in axes else 1 for axis in domain])


def unknown_references(program: Program) -> set[str]:
    """Names that relations refer to but nobody declares (a programming error in an architecture)."""
    missing: set[str] = set()
    for relation in program.relations:
        for expression in relation_expressions(relation):
            missing |= {ref.tensor for ref in references(expression)} - set(program.tensors)
    return missing


def relation_expressions(relation: Relation) -> tuple[Expression, ...]:
    """The expressions of a relation, whatever its kind."""
    match relation:
        case Pointwise():
            return (relation.expression,)
        case Contraction():
            factors = tuple(factor for term in relation.terms for factor in term.factors)
            return (relation.expression, *factors)
        case Lookup():
            where = () if relation.where is None else (relation.where,)
            return (relation.tag, relation.first, relation.second, *where)


__all__ = [
    "CONTEXT_BITS",
    "ROW_BITS",
    "WINDOW_BITS",
    "WINDOW_ROWS",
    "BlockRows",
    "Kind",
    "Operator",
    "OperatorBase",
    "OutOfRange",
    "Program",
    "RunContext",
    "Span",
    "Tensor",
    "WitnessContext",
    "broadcast",
    "gather",
    "relation_expressions",
    "unknown_references",
]
