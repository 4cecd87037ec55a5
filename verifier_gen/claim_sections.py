"""Steps 5 and 6: the claims' combined value, and the coefficient of every commitment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from prover.evaluations import Evaluation, PointPart, Slice
from prover.masks import MASK_CHUNKS
from prover.plan import Plan
from prover.program import Kind, Tensor
from prover.relations import Bits, FixedBits, ParameterBits, PublicBits
from prover.statement import VerifyingKey

from .claim_products import ClaimProducts, Number, SlotProducts, WholePoint, whole_point
from .final_value import slice_start
from .function import Function
from .layout import Region, StepLayout, describe, width, words_after, words_before
from .mask_section import MaskSection


def chunk_count(entries: int, variables: Bits, chunk_bits: int) -> str:
    """Yul for ceil(entries * 2^variables / 2^chunk_bits)."""
    if variables.context == 0:
        return str(-(-(entries << variables.fixed) >> chunk_bits))
    return f"shr({chunk_bits}, add(shl({width(variables)}, {entries}), {hex((1 << chunk_bits) - 1)}))"


@dataclass(frozen=True)
class _SingleClaim:
    """What lies at a point of its own: the leading bits that select it, its parts behind them, what multiplies it beside the
    evaluation's coefficient, and Yul for the place of the first of its chunks' coefficients and for their number."""

    evaluation: Evaluation
    slot: tuple[int, int]
    place_bits: int
    parts: tuple[PointPart, ...]
    factors: tuple[tuple[Slice, int], ...]
    place: str
    count: str
    is_block: bool


@dataclass(frozen=True)
class _Group:
    """Claims at one point; None where it has to be composed at run time."""

    members: list[_SingleClaim]
    point: WholePoint | None


_NESTED = 6
"""Factors of one expression: all of them lie on the compiler's stack, which is short, before the first two are multiplied."""
_CLAIM_LOCALS = ("let end", "let weight", "let top")


class ClaimSections:
    """Emits combined_value, combine_packed_claims, combine_single_claims, one function for the blocks of each weight and table, and
    combine_commitments."""

    def __init__(self, key: VerifyingKey, layout: StepLayout) -> None:
        self.key, self.layout = key, layout
        self.plan: Plan = key.plan
        self.masks = MaskSection(key, layout)
        self.mu = key.chunk_bits
        self.slots = SlotProducts(layout, self.mu)
        self.products = ClaimProducts(layout, self.slots, self.mu)
        self._block_eqs: dict[tuple[Slice, int], str] = {}

    def input_points(self, tensor: Tensor) -> str:
        """Yul for the number of commitments of an input."""
        if "context" not in tensor.axes:
            return "1"
        bits = self.plan.place_bits(tensor, self.mu)
        return f"add(shr({bits}, mload(PUBLIC_WINDOW)), 1)"

    def chunks(self, phase: int) -> list[tuple[str, str]]:
        """(Yul for the number of commitments, its zone) of every zone of a phase."""
        found = [
            (self._zone_commitments(index), f"zone {index}")
            for index, zone in enumerate(self.plan.zones)
            if zone.phase == phase
        ]
        if phase == 1 and self.masks.masks is not None:
            found.append((str(len(MASK_CHUNKS)), "masks"))
        return found

    def _zone_chunks(self, index: int) -> str:
        zone = self.plan.zones[index]
        return chunk_count(zone.units, Bits(0, 1) if zone.moving else Bits(), self.mu)

    def _zone_commitments(self, index: int) -> str:
        """Yul for how many of a zone's chunks the proof commits to."""
        gaps = self.plan.zones[index].gaps
        if gaps is None:
            return self._zone_chunks(index)
        return f"count_filled({gaps.filled:#x}, {gaps.run_bits})"

    def _accumulate_zone(self, index: int) -> str:
        """Yul that adds a zone's commitments; the coefficients of chunks that are zero are of no account."""
        place, gaps = self.layout.zone_coefficients[index].name, self.plan.zones[index].gaps
        if gaps is None:
            return f"accumulate(data, {place}, {self._zone_chunks(index)})"
        return f"accumulate_filled(data, {place}, {gaps.filled:#x}, {gaps.run_bits})"

    def _factor(self, evaluation: Evaluation) -> str:
        """The coefficient of a claim."""
        if evaluation in self.plan.sent:
            index = self.plan.sent.index(evaluation) + 1
            return f"mload({words_after(self.layout.eta_powers.name, Bits(index))})"
        return f"mload({words_after(self.layout.opened.name, Bits(self.plan.opened.index(evaluation)))})"

    def _packed(self) -> list[Evaluation]:
        """Witness tensors at the last coordinates of r, each within a chunk or of a moving size."""
        result = []
        for evaluation in self.plan.evaluations:
            zone = self.plan.zone_of(evaluation.tensor)
            if zone is None or evaluation != self.plan.natural(evaluation.tensor):
                continue
            variables = self.plan.width(self.plan.tensors[evaluation.tensor].axes)
            if self.plan.zones[zone].moving or variables.fixed <= self.mu:
                result.append(evaluation)
        return result

    def value(self) -> Function:
        """The value of the combined claim."""
        function = Function(
            "combined_value(claim) -> value", "final claim - its constant part + sum_k eta^(k+1) v_k."
        )
        first = words_after(self.layout.eta_powers.name, Bits(1))
        function.lines += [
            "value := addmod(claim, sub(r, final_value()), r)",
            f"value := addmod(value, dot({first}, EVALUATIONS, {len(self.plan.sent)}), r)",
        ]
        return function

    def packed_claims(self) -> Function:
        """Coefficients of the witness commitments, from tensors at the last coordinates of r."""
        function = Function(
            "combine_packed_claims()", "Coefficients of the witness: its tensors at r, in their places."
        )
        lines = function.lines
        # memory behind the free memory pointer need not be zero
        size = "sub(COEFFICIENTS_END, COEFFICIENTS)"
        lines.append(f"calldatacopy(COEFFICIENTS, calldatasize(), {size}) // zeros")
        fixed: dict[tuple[int, int], dict[int, list[tuple[int, Evaluation]]]] = {}
        for evaluation in self._packed():
            number = self.plan.zone_of(evaluation.tensor)
            assert number is not None
            zone = self.plan.zones[number]
            first, own = next((f, b) for name, f, b in zone.places if name == evaluation.tensor)
            if zone.moving:
                region = self.layout.zone_coefficients[number].name
                lines.append(
                    f"place_moving({self._factor(evaluation)}, {own}, {first}, {region}) // {evaluation.tensor}"
                )
                continue
            chunk, slot = first >> self.mu, (first & ((1 << self.mu) - 1)) >> own
            fixed.setdefault((number, chunk), {}).setdefault(own, []).append((slot, evaluation))
        if fixed:
            lines.append("let sum, inner")
        for (number, chunk), by_size in fixed.items():
            lines.append(f"// zone {number}, chunk {chunk}")
            lines.append("sum := 0")
            for own, members in by_size.items():
                lines.append("inner := 0")
                for slot, evaluation in members:
                    product = f"mulmod({self._factor(evaluation)}, {self.slots.at(slot, self.mu - own)}, r)"
                    lines.append(f"inner := addmod(inner, {product}, r) // {evaluation.tensor}")
                behind = words_after(self.layout.eq_point.name, Bits(own))
                lines.append(f"sum := addmod(sum, mulmod(inner, mload({behind}), r), r)")
            place = words_after(self.layout.zone_coefficients[number].name, Bits(chunk))
            lines.append(f"mstore({place}, sum)")
        return function

    def _number(self, claim: _SingleClaim) -> Number:
        """The leading coordinates of a claim that are bits: its slot, its place, and what its point begins with."""
        number = Number(*claim.slot)
        if claim.place_bits:
            number = number.followed_by("mload(PUBLIC_WINDOW)", claim.place_bits)
        for part in claim.parts:
            if isinstance(part, Slice):
                break
            number = number.followed_by(self._index(part), part.width.fixed)
        return number

    def _single_claims(self) -> Iterator[_SingleClaim]:
        """Of every evaluation that is not packed; of a weight one for each block."""
        packed = set(self._packed())
        regions = {
            Kind.WEIGHT: self.layout.weight_coefficients,
            Kind.CONSTANT: self.layout.table_coefficients,
        }
        for evaluation in self.plan.evaluations:
            if evaluation in packed:
                continue
            kind = self.plan.tensors[evaluation.tensor].kind
            if kind in regions:
                for block in self.plan.layout(kind, self.mu).by_tensor[evaluation.tensor]:
                    factors, parts = self.plan.in_block(evaluation, block)
                    place = words_after(regions[kind].name, Bits(block.place >> self.mu))
                    chunks = str(block.chunks or 1)
                    yield _SingleClaim(
                        evaluation, block.slot(self.mu), 0, parts, factors, place, chunks, True
                    )
                continue
            zone = self.plan.zone_of(evaluation.tensor)
            slot = (0, 0) if zone is None else self.plan.zones[zone].slot(evaluation.tensor)
            region, count = self._commitments(evaluation)
            place_bits = self._place_bits(evaluation)
            yield _SingleClaim(evaluation, slot, place_bits, evaluation.parts, (), region.name, count, False)

    def _commitments(self, evaluation: Evaluation) -> tuple[Region, str]:
        """(coefficients, Yul for the number of commitments) of a tensor that has no blocks."""
        tensor = self.plan.tensors[evaluation.tensor]
        zone = self.plan.zone_of(tensor.name)
        if zone is not None:
            return self.layout.zone_coefficients[zone], self._zone_chunks(zone)
        return self.layout.input_coefficients[tensor.name], self.input_points(tensor)

    def single_claims(self) -> Function:
        """Coefficients from the other evaluations; those at the same point share their eq."""
        function = Function(
            "combine_single_claims()",
            "Coefficients from the evaluations at points of their own, and of the outputs.",
        )
        lines = function.lines
        lines += _CLAIM_LOCALS
        for group in self._groups:
            if not group.members[0].is_block:
                lines += self._group_lines(group)
        for index, output in enumerate(self.plan.short_outputs(self.mu)):
            lines += self._output_is_alone(output, len(self.plan.sent) + 1 + index)
        return function

    def block_claims(self) -> list[Function]:
        """Coefficients from weights and tables, after `single_claims`. A function each: the compiler's stack is short."""
        by_tensor: dict[str, list[_Group]] = {}
        for group in self._groups:
            if group.members[0].is_block:
                by_tensor.setdefault(group.members[0].evaluation.tensor, []).append(group)
        functions = []
        for tensor, groups in by_tensor.items():
            function = Function(f"combine_blocks_of_{tensor}()", f"Coefficients of {tensor}.")
            function.lines += _CLAIM_LOCALS
            for group in groups:
                function.lines += self._group_lines(group)
            functions.append(function)
        return functions

    @cached_property
    def _groups(self) -> list[_Group]:
        """The single claims by their points."""
        known: dict[object, list[_SingleClaim]] = {}
        for claim in self._single_claims():
            key = (claim.is_block, claim.slot, claim.place_bits, claim.parts)
            known.setdefault(key, []).append(claim)
        groups = [
            _Group(members, whole_point(self._number(members[0]), _merged(members[0].parts), self.mu))
            for members in known.values()
        ]
        self.products.share([group.point for group in groups if group.point is not None])
        return groups

    def _group_lines(self, group: _Group) -> list[str]:
        """Statements that add to the coefficients of what lies at one point."""
        first, point = group.members[0], group.point
        names = ", ".join(dict.fromkeys(claim.evaluation.tensor for claim in group.members))
        lines = [f"// {names} {describe(first.parts)}"]
        if point is None:
            lines += self._point(first)
            lines.append(f"weight, top := claim_eq(end, {width(_shared(first.parts))})")
        else:
            lines += self.products.weight(point)
        if point is not None and point.top:
            lines.append("fill_eq_table(weight, CLAIM_POINT, end)")
        for claim in group.members:
            factor = self._factor(claim.evaluation)
            for front, bits in claim.factors:
                factor = f"mulmod({factor}, {self._block_eq(front, bits, lines)}, r)"
            if point is None:
                lines.append(f"spread(mulmod(weight, {factor}, r), top, {claim.count}, {claim.place})")
            elif point.top:
                lines.append(f"spread_table({factor}, {claim.count}, {claim.place})")
            elif point.chunk < int(claim.count):
                # a tensor is zero behind its last chunk
                place = f"add({claim.place}, {32 * point.chunk:#x})" if point.chunk else claim.place
                term = f"mulmod(weight, {factor}, r)"
                lines.append(f"mstore({place}, addmod(mload({place}), {term}, r))")
        return lines

    def _output_is_alone(self, output: Evaluation, power: int) -> list[str]:
        """eta^power (eq(f, q_front) - eq(place, f) eq(place, q_front)) eq(r, q): what the output's chunk holds outside its
        place is zero; f are the first coordinates of rho."""
        own, place = self.plan.output_bits(output), self.layout.input_coefficients[output.tensor].name
        front = self.mu - own
        factor = f"mload({words_after(self.layout.eta_powers.name, Bits(power))})"
        behind = f"mload({words_after(self.layout.eq_point.name, Bits(own))})"
        if self._place_bits(output):
            first = f"eq_bits(end, mload(PUBLIC_WINDOW), {front})"
            second = f"eq_bits(REDUCED, mload(PUBLIC_WINDOW), {front})"
        else:
            first = f"product_of_complements(end, {front})"
            second = f"mload({words_after(self.layout.eq_zero.name, Bits(own))})"
        return [
            f"// {output.tensor} is zero outside its place",
            "end := sub(RHO_END, shl(5, mload(ROUNDS)))",
            f"weight := mulmod({first}, {second}, r)",
            f"weight := addmod(eq_slices(end, REDUCED, {front}), sub(r, weight), r)",
            f"weight := mulmod(mulmod(weight, {behind}, r), {factor}, r)",
            f"mstore({place}, addmod(mload({place}), weight, r))",
        ]

    def _place_bits(self, evaluation: Evaluation) -> int:
        """Bits of the place of the statement's own window, where the tensor is one."""
        tensor = self.plan.tensors[evaluation.tensor]
        return 0 if "context" in tensor.axes else self.plan.place_bits(tensor, self.mu)

    def _block_eq(self, front: Slice, bits: int, lines: list[str]) -> str:
        """Yul for eq of the first coordinates of an axis and where a block begins there, computed before `lines` go on."""
        if (front, bits) not in self._block_eqs:
            place = self._block_eqs[front, bits] = self.layout.memory.temporary()
            first, *factors = _factors_of_eq(front, bits)
            product = first
            for number, factor in enumerate(factors, 1):
                if number % _NESTED == 0:
                    lines.append(f"mstore({place}, {product})")
                    product = f"mload({place})"
                product = f"mulmod({product}, {factor}, r)"
            lines.append(f"mstore({place}, {product})")
        return f"mload({self._block_eqs[front, bits]})"

    def _point(self, claim: _SingleClaim) -> list[str]:
        """Statements that write the coordinates of a claim."""
        lines, place = [], "CLAIM_POINT"
        value, bits = claim.slot
        if bits:
            lines.append(f"end := append_bits({place}, {value}, {bits}) // its slot")
            place = "end"
        if claim.place_bits:
            lines.append(
                f"end := append_bits({place}, mload(PUBLIC_WINDOW), {claim.place_bits}) // its place"
            )
            place = "end"
        for part in _merged(claim.parts):
            count = width(part.width)
            if isinstance(part, Slice):
                lines.append(f"end := append({place}, {slice_start(part)}, {count})")
                if part.flip:
                    lines.append("flip_last(end)")
            else:
                number = self._index(part)
                lines.append(f"end := append_bits({place}, {number}, {count})")
            place = "end"
        return lines or ["end := CLAIM_POINT"]

    def _index(self, part: PublicBits | ParameterBits | FixedBits) -> str:
        """Yul for the index that a part selects."""
        match part:
            case PublicBits(name):
                return f"mload({self.layout.publics[name].name})"
            case ParameterBits(name):
                return f"sub(mload({self.layout.parameters[name].name}), 1)"
        return str(part.value)

    def commitments(self) -> Function:
        """The combination itself."""
        function = Function("combine_commitments()", "SUM = sum of all commitments times their coefficients.")
        lines = function.lines
        program = self.plan.program
        first = self.layout.input_coefficients[program.inputs[0].name].name
        lines.append("// public inputs; the first point, of which there is always one, begins the sum")
        lines.append(f"let data := add(mload(INPUT_DATA), {hex(32 * len(program.public_scalars))})")
        lines.append(f"data := begin_sum(data, mload({first}))")
        for index, tensor in enumerate(program.inputs):
            place, count = self.layout.input_coefficients[tensor.name].name, self.input_points(tensor)
            if index == 0:
                place, count = f"add({place}, 0x20)", "0" if count == "1" else f"sub({count}, 1)"
            if count != "0":
                lines.append(f"data := accumulate(data, {place}, {count}) // {tensor.name}")
        if program.weights:
            lines.append("// step key")
            lines.append(f"data := add(mload(KEY_DATA), {hex(32 * len(program.parameters))})")
            chunks = self.plan.key_layout(self.mu).chunks
            lines.append(f"data := accumulate(data, {self.layout.weight_coefficients.name}, {chunks})")
        lines.append("// the prover's commitments, in the order of the proof")
        lines.append("data := mload(PROOF_DATA)")
        phases = {1: self.masks.commitments(), 2: []}  # the masks end phase 1
        for phase, behind in phases.items():
            for index, zone in enumerate(self.plan.zones):
                if zone.phase == phase:
                    lines.append(f"data := {self._accumulate_zone(index)}")
            lines += behind
        if self.key.constants:
            lines.append("// public tables")
        names: dict[int, list[str]] = {}
        several: dict[int, bool] = {}
        first = self.layout.table_coefficients.name
        for block in self.plan.table_layout(self.mu).blocks:
            for index in range(block.place >> self.mu, (block.place >> self.mu) + (block.chunks or 1)):
                names.setdefault(index, []).append(block.tensor)
                several.setdefault(index, block.chunks > 1)
        for index, (x, y) in enumerate(self.key.constants):
            place = words_after(first, Bits(index))
            text = f"accumulate_point({x:#066x}, {y:#066x}, mload({place}))"
            # of a table of positions one chunk takes part; that these points are valid, nobody doubts
            text = f"if mload({place}) {{ {text} }}" if several[index] else text
            lines.append(f"{text} // {', '.join(names[index])}")
        lines += self.masks.blinding()
        return function


def _factors_of_eq(part: Slice, bits: int) -> Iterator[str]:
    """Yul for eq of every coordinate and its known bit."""
    for place in range(part.width.fixed):
        x = f"mload({words_before('POINT_END' if part.vector == 'r' else 'RHO_END', part.start - Bits(place))})"
        yield x if bits >> (part.width.fixed - 1 - place) & 1 else f"sub(add(r, 1), {x})"


def _shared(parts: Sequence[PointPart]) -> Bits:
    """How many coordinates at the end are the last ones of r."""
    shared = Bits()
    for part in reversed(parts):
        if (
            not isinstance(part, Slice)
            or part.vector != "r"
            or part.flip
            or part.start != shared + part.width
        ):
            break
        shared = shared + part.width
    return shared


def _merged(parts: Sequence[PointPart]) -> list[PointPart]:
    """Parts, with neighbouring slices of one vector joined."""
    merged: list[PointPart] = []
    for part in parts:
        last = merged[-1] if merged else None
        if (
            isinstance(part, Slice)
            and isinstance(last, Slice)
            and last.vector == part.vector
            and not last.flip
            and last.start - last.width == part.start
        ):
            merged[-1] = Slice(part.vector, last.start, last.width + part.width, part.flip)
        else:
            merged.append(part)
    return merged
