"""Step 4: closed forms and the final value of the batched sumcheck, as straight-line Yul.

sum over groups of    padding * (eq(rho, r) * sum_i alpha^i expression_i + alpha^s * sum +-inverse)
minus over products   padding * alpha^i * coefficient * eq(rho_batch, r_batch) * prod factors

It is linear in the opened evaluations: `final_value` returns the constant part and leaves their factors at OPENED.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce

from prover.evaluations import Evaluation, Slice
from prover.field.arrays import MODULUS
from prover.plan import Group, Plan, ProductSum
from prover.program import Kind
from prover.quads import FACTORS, QUAD_BITS
from prover.relations import Bits, Expression, Lookup, Product, Ref, references
from prover.tables import (
    Below,
    BeyondWindow,
    CausalMask,
    Counter,
    Inside,
    RangeTag,
    RangeValue,
    Unit,
    Weighted,
)
from prover.token_forms import TILE, ChosenIds, CountedRows, RealIds, SmallerIds

from .errors import GeneratorError
from .expressions import Graph, Node, Printer, Scalars
from .function import Function
from .layout import StepLayout, describe, width, words_after, words_before


def vector_end(part: Slice) -> str:
    """The constant behind the vector of a slice."""
    return "POINT_END" if part.vector == "r" else "RHO_END"


def slice_start(part: Slice) -> str:
    """Yul for the address of a slice's first coordinate."""
    return words_before(vector_end(part), part.start)


class FinalValue:
    """Emits the functions `compute_closed_forms` and `final_value`."""

    def __init__(self, plan: Plan, layout: StepLayout) -> None:
        self.plan, self.layout = plan, layout
        self.graph = Graph()
        self.scalars = Scalars(
            parameter=lambda name: f"mload({layout.parameters[name].name})",
            public=lambda name: f"mload({layout.publics[name].name})",
            challenge=lambda name: f"mload({name.upper()})",
        )
        self.closed: dict[Evaluation, Node] = {}
        self.closed_function = Function(
            "compute_closed_forms()", "Public tensors at the points where relations use them."
        )
        self._ranges: dict[tuple[object, ...], str] = {}
        self._texts: dict[str, str] = {}
        self._names = _power_names(plan)
        self._begun: set[Evaluation] = set()
        self._quads = self._eq_of_quads()

    # --- evaluations ------------------------------------------------------------------------------------

    def at(self, evaluation: Evaluation) -> Node:
        """The node of a tensor's evaluation: sent by the prover, or a closed form."""
        if self.plan.tensors[evaluation.tensor].kind is not Kind.CLOSED_FORM:
            index = self.plan.sent.index(evaluation)
            return self.graph.leaf(f"mload({self.layout.evaluation_regions[index].name})")
        if evaluation not in self.closed:
            self.closed[evaluation] = self._closed_form(evaluation)
        return self.closed[evaluation]

    def _slices(self, evaluation: Evaluation) -> list[Slice]:
        """One slice per axis."""
        tensor = self.plan.tensors[evaluation.tensor]
        slices = [part for part in evaluation.parts if isinstance(part, Slice) and not part.flip]
        widths = [self.plan.axes[axis] for axis in tensor.axes]
        if len(slices) != len(evaluation.parts) or [part.width for part in slices] != widths:
            raise GeneratorError(
                f"closed form {tensor.name} is evaluated {describe(evaluation.parts)}; give each of its axes one slice"
            )
        return slices

    def _closed_form(self, evaluation: Evaluation) -> Node:
        form = self.plan.tensors[evaluation.tensor].closed_form
        slices = self._slices(evaluation)
        start, count = slice_start(slices[0]), width(slices[0].width)
        lines = self.closed_function.lines
        match form:
            case Weighted(weights):
                return self._weighted([w % MODULUS for w in weights], slices[0])
            case RangeTag() | RangeValue():
                key = evaluation.parts
                if key not in self._ranges:
                    self._ranges[key] = self.layout.memory.temporary()
                    self.layout.memory.temporary()
                    lines.append(
                        f"range_extension({start}, {count}, {self._ranges[key]}) // range_tag, range_value"
                    )
                offset = 0 if isinstance(form, RangeTag) else 32
                return self.graph.leaf(f"mload({hex(int(self._ranges[key], 16) + offset)})")
            case Counter():
                node = self._stored(evaluation, f"counter({start}, {count})")
                return self.graph.add(node, self.graph.constant(form.offset))
            case CausalMask():
                second = f"{slice_start(slices[1])}, {width(slices[1].width)}"
                window = self.scalars.public("window")
                return self._stored(evaluation, f"causal_mask({start}, {count}, {second}, {window})")
            case BeyondWindow():
                second = f"{slice_start(slices[1])}, {width(slices[1].width)}"
                window, windows = self.scalars.public("window"), form.windows
                masked = f"causal_mask({start}, {count}, {second}, sub({window}, {windows}))"
                address = self.layout.memory.temporary()
                lines.append(f"mstore({address}, 0) // {evaluation.tensor}")
                lines.append(
                    f"if iszero(lt({window}, {windows})) {{ mstore({address}, addmod(1, sub(r, {masked}), r)) }}"
                )
                return self.graph.leaf(f"mload({address})")
            case Below(bound):
                return self._below(bound, slices[0])
            case Inside(bounds):
                parts = [self._below(b, part) for b, part in zip(bounds, slices, strict=True)]
                return reduce(self.graph.multiply, parts)
            case Unit(place):
                return self._unit(place, slices[0])
            case CountedRows():
                return self._stored(evaluation, f"counted_rows({start})")
            case RealIds(vocabulary):
                return self._real_ids(vocabulary, evaluation, slices[0])
            case SmallerIds() | ChosenIds():
                return self._token_form(form, evaluation, slices)
        raise GeneratorError(
            f"closed form {form!r} of {evaluation.tensor} has no Yul; add it to templates/closed_forms.yul"
        )

    def _real_ids(self, vocabulary: int, evaluation: Evaluation, part: Slice) -> Node:
        """All ids of a tile, but for those of the last one behind the vocabulary."""
        size = 1 << part.width.fixed
        last, rest = divmod(vocabulary, size)
        if not rest:
            return self.graph.constant(1)
        address = self.layout.memory.temporary()
        lines = self.closed_function.lines
        lines.append(f"mstore({address}, 1) // {evaluation.tensor}")
        below = f"below({slice_start(part)}, {part.width.fixed}, {rest})"
        lines.append(f"if eq({self.scalars.public(TILE)}, {last}) {{ mstore({address}, {below}) }}")
        return self.graph.leaf(f"mload({address})")

    def _token_form(
        self, form: SmallerIds | ChosenIds, evaluation: Evaluation, slices: Sequence[Slice]
    ) -> Node:
        """Both forms at one point are made together, in two words."""
        rows, ids = slices
        key = ("tokens", evaluation.parts)
        if key not in self._ranges:
            self._ranges[key] = self.layout.memory.temporary()
            self.layout.memory.temporary()
            self.closed_function.lines.append(
                f"token_forms({slice_start(rows)}, {slice_start(ids)}, {width(ids.width)}, {self._ranges[key]})"
                " // smaller_ids, chosen_ids"
            )
        offset = 0 if isinstance(form, SmallerIds) else 32
        return self.graph.leaf(f"mload({hex(int(self._ranges[key], 16) + offset)})")

    def _stored(self, evaluation: Evaluation, text: str) -> Node:
        if text not in self._texts:
            self._texts[text] = self.layout.memory.temporary()
            self.closed_function.lines.append(f"mstore({self._texts[text]}, {text}) // {evaluation.tensor}")
        return self.graph.leaf(f"mload({self._texts[text]})")

    def _coordinates(self, part: Slice) -> list[Node]:
        """The coordinates of a slice of fixed width."""
        if part.width.context:
            raise GeneratorError("this closed form needs an axis of fixed width")
        starts = (
            words_before(vector_end(part), part.start - Bits(index)) for index in range(part.width.fixed)
        )
        return [self.graph.leaf(f"mload({start})") for start in starts]

    def _below(self, bound: int, part: Slice) -> Node:
        """[index < bound]: compare bit by bit, most significant first."""
        graph, coordinates = self.graph, self._coordinates(part)
        one = graph.constant(1)
        if bound >> len(coordinates):
            return one
        less, equal = graph.constant(0), one
        for position, coordinate in enumerate(coordinates):
            complement = graph.subtract(one, coordinate)
            if bound >> (len(coordinates) - 1 - position) & 1:
                less = graph.add(less, graph.multiply(equal, complement))
                equal = graph.multiply(equal, coordinate)
            else:
                equal = graph.multiply(equal, complement)
        return less

    def _unit(self, place: int, part: Slice) -> Node:
        """[index = place]: a product over the bits."""
        graph, coordinates = self.graph, self._coordinates(part)
        product = graph.constant(1)
        for position, coordinate in enumerate(coordinates):
            bit = place >> (len(coordinates) - 1 - position) & 1
            factor = coordinate if bit else graph.subtract(graph.constant(1), coordinate)
            product = graph.multiply(product, factor)
        return product

    def _weighted(self, weights: list[int], part: Slice) -> Node:
        """A short constant vector: folded in the graph, the first coordinate halves it first."""
        graph, coordinates = self.graph, self._coordinates(part)
        if 1 << len(coordinates) != len(weights):
            raise GeneratorError(f"a weighted vector of {len(weights)} entries needs an axis of that size")
        layer = [graph.constant(weight) for weight in weights]
        for coordinate in coordinates:
            half = len(layer) // 2
            layer = [
                graph.add(a, graph.multiply(coordinate, graph.subtract(b, a)))
                for a, b in zip(layer[:half], layer[half:], strict=True)
            ]
        return layer[0]

    # --- the sum ----------------------------------------------------------------------------------------

    def _alpha(self, power: int) -> str:
        return f"mload({words_after(self.layout.alpha_powers.name, Bits(power))})"

    def _padding(self, variables: Bits) -> str:
        return f"mload({words_after(self.layout.padding.name, variables)})"

    def emit(self) -> tuple[str, str]:
        """(closed forms, final value) as Yul functions."""
        groups = [(group, self._group_form(group)) for group in self.plan.groups]
        products = [(product, self._product_form(product)) for product in self.plan.products]
        forms = [form for _, both in groups for form in both] + [form for _, form in products]
        roots = [node for form in forms for node in (form.constant, *form.factors.values())]
        printer = Printer(roots, self.layout.memory.temporary)
        functions = [self._emit_group(i, group, both, printer) for i, (group, both) in enumerate(groups)]
        functions.append(self._emit_products(products, printer))
        calls = [f"final_value_of_group_{i}()" for i in range(len(groups))]
        total = Function(
            "final_value() -> total", "The part of the final claim that no opened evaluation has."
        )
        total.lines.append("compute_closed_forms()")
        total.lines += [f"total := addmod(total, {call}, r)" for call in calls]
        total.lines.append("total := addmod(total, final_value_of_products(), r)")
        rendered = "\n\n".join(function.render() for function in [total, *functions])
        return self.closed_function.render(), rendered

    def _form(self, expression: Expression, evaluate: Callable[[Ref], Evaluation]) -> _Form:
        """Nodes of an expression's constant part and of its factors."""
        constant, factors = self.plan.affine(expression, evaluate)

        def translate(part: Expression) -> Node:
            refs = {ref: self.at(evaluate(ref)) for ref in references(part)}
            return self.graph.translate(part, self.scalars, refs)

        return _Form(translate(constant), {e: translate(factor) for e, factor in factors.items()})

    def _group_form(self, group: Group) -> tuple[_Form, _Form]:
        """What eq(rho, r) multiplies, and the lookups' sum."""
        graph = self.graph
        evaluate = partial(self.plan.group_evaluation, group)
        weighted = [(power, self._form(e, evaluate)) for power, e in group.expressions]
        sums = [(self.plan.sum_power, s, self._form(Ref(name), evaluate)) for s, name in group.inverses]
        related = _Form(graph.constant(0), {})
        for power, form in weighted:
            related = self._plus(related, graph.leaf(self._alpha(power)), form)
        summed = _Form(graph.constant(0), {})
        for power, sign, form in sums:
            factor = graph.multiply(graph.constant(sign), graph.leaf(self._alpha(power)))
            summed = self._plus(summed, factor, form)
        return related, summed

    def _product_form(self, product: ProductSum) -> _Form:
        evaluate = partial(self.plan.factor_evaluation, product)
        return self._form(Product((product.coefficient, *product.factors)), evaluate)

    def _plus(self, left: _Form, scale: Node, right: _Form) -> _Form:
        """left + scale * right."""
        graph = self.graph
        factors = dict(left.factors)
        for evaluation, node in right.factors.items():
            scaled = graph.multiply(scale, node)
            factors[evaluation] = graph.add(factors[evaluation], scaled) if evaluation in factors else scaled
        return _Form(graph.add(left.constant, graph.multiply(scale, right.constant)), factors)

    def _opened(self, evaluation: Evaluation, text: str) -> str:
        """Add to the factor of an opened evaluation."""
        place = words_after(self.layout.opened.name, Bits(self.plan.opened.index(evaluation)))
        if evaluation in self._begun:
            return f"mstore({place}, addmod(mload({place}), {text}, r)) // {evaluation.tensor}"
        self._begun.add(evaluation)
        return f"mstore({place}, {text}) // {evaluation.tensor}"

    def _emit_group(self, index: int, group: Group, forms: tuple[_Form, _Form], printer: Printer) -> Function:
        related, summed = forms
        function = Function(
            f"final_value_of_group_{index}() -> sum", f"Relations over ({', '.join(group.domain)})."
        )
        lines = function.lines
        names = [self._names[power] for power, _ in group.expressions]
        lines += [f"// {', '.join(names[i : i + 4])}" for i in range(0, len(names), 4)]
        eq = self._eq(group)
        lines.append(f"let padding := {self._padding(group.width)}")
        lines.append(f"let scale := mulmod(padding, {eq}, r)")
        statements, text = printer.print(related.constant)
        lines += statements
        lines.append(f"sum := mulmod(scale, {text}, r)")
        for evaluation in dict.fromkeys((*related.factors, *summed.factors)):
            parts = []
            for name, form in (("scale", related), ("padding", summed)):
                if evaluation in form.factors:
                    statements, text = printer.print(form.factors[evaluation])
                    lines += statements
                    parts.append(f"mulmod({text}, {name}, r)")
            lines.append(
                self._opened(evaluation, parts[0] if len(parts) == 1 else f"addmod({', '.join(parts)}, r)")
            )
        if not (summed.constant.kind == "constant" and summed.constant.value == 0):
            statements, text = printer.print(summed.constant)
            lines += statements
            lines.append(f"sum := addmod(sum, mulmod(padding, {text}, r), r)")
        return function

    def _eq(self, group: Group) -> str:
        """Yul for what stands for eq(rho, r) over the domain of a group."""
        if group.quads:
            return f"mload({self._quads[group.width.fixed]})"
        return f"mload({words_after(self.layout.eq_rho.name, group.width)})"

    def _eq_of_quads(self) -> dict[int, str]:
        """Where eq(rho, r) with the powers of a base for the last coordinates is kept, by the number of coordinates: made once,
        each from the next shorter one."""
        places: dict[int, str] = {}
        lines = self.closed_function.lines
        product, before = "1", QUAD_BITS
        for place, factor in enumerate(FACTORS):
            x = f"mload({words_before('POINT_END', Bits(QUAD_BITS - place))})"
            one = f"addmod(1, mulmod({x}, {factor - 1:#x}, r), r)"
            product = one if product == "1" else f"mulmod({product}, {one}, r)"
        for group in sorted((g for g in self.plan.groups if g.quads), key=lambda g: g.width.fixed):
            if group.width.context:
                raise GeneratorError(f"quads over ({', '.join(group.domain)}) need a domain of fixed width")
            count = group.width.fixed
            if count in places:
                continue
            left, right = (words_before(end, group.width) for end in ("RHO_END", "POINT_END"))
            text = f"mulmod({product}, eq_slices({left}, {right}, {count - before}), r)"
            places[count] = self.layout.memory.temporary()
            lines.append(f"mstore({places[count]}, {text}) // eq of quads, {count} coordinates")
            product, before = f"mload({places[count]})", count
        return places

    def _emit_products(self, products: list[tuple[ProductSum, _Form]], printer: Printer) -> Function:
        function = Function("final_value_of_products() -> sum", "Minus sums of products of the contractions.")
        lines = function.lines
        lines.append("let scale := 0")
        for product, form in products:
            lines.append(f"// {self._names[product.power]}: sum over ({', '.join(product.summed)})")
            padding = self._padding(self.plan.width(product.domain))
            lines.append(f"scale := mulmod(sub(r, {self._alpha(product.power)}), {padding}, r)")
            for rho, r in self.plan.batch_slices(product):
                lines.append(
                    f"scale := mulmod(scale, eq_slices({slice_start(rho)}, {slice_start(r)}, {width(r.width)}), r)"
                )
            if not (form.constant.kind == "constant" and form.constant.value == 0):
                statements, text = printer.print(form.constant)
                lines += statements
                lines.append(f"sum := addmod(sum, mulmod(scale, {text}, r), r)")
            for evaluation, node in form.factors.items():
                statements, text = printer.print(node)
                lines += statements
                value = (
                    "scale" if node.kind == "constant" and node.value == 1 else f"mulmod(scale, {text}, r)"
                )
                lines.append(self._opened(evaluation, value))
        return function


@dataclass(frozen=True)
class _Form:
    """constant + sum_e factors[e] * e."""

    constant: Node
    factors: Mapping[Evaluation, Node]


def _power_names(plan: Plan) -> dict[int, str]:
    """The relation behind every power of alpha."""
    relations = [relation.name for relation in plan.program.relations if not isinstance(relation, Lookup)]
    return dict(enumerate([*relations, *plan.inverse_of]))
