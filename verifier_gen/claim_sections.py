"""Steps 5 and 6: the claims' combined value, and the coefficient of every commitment."""

from __future__ import annotations

from prover.claims import class_source
from prover.plan import Evaluation, Plan, PointPart, Slice
from prover.program import Kind
from prover.relations import Bits, PublicBits
from prover.statement import VerifyingKey

from .final_value import slice_start
from .function import Function
from .layout import Region, StepLayout, chunk_variables, describe, width, words_after


def chunk_count(entries: int, variables: Bits, chunk_bits: int) -> str:
    """Yul for ceil(entries * 2^variables / 2^chunk_bits)."""
    if variables.context == 0:
        return str(-(-(entries << variables.fixed) >> chunk_bits))
    return f"shr({chunk_bits}, add(shl({width(variables)}, {entries}), {hex((1 << chunk_bits) - 1)}))"


class ClaimSections:
    """Emits combine_values, combine_class_claims, combine_single_claims and combine_commitments."""

    def __init__(self, key: VerifyingKey, layout: StepLayout) -> None:
        self.key, self.layout = key, layout
        self.plan: Plan = key.plan
        self.mu = key.chunk_bits
        self.has_context = self.plan.program.has_context
        self.windows = "add(mload(PUBLIC_WINDOW), 1)"

    def chunks(self, phase: int) -> list[tuple[str, str]]:
        """(Yul for the number of commitments, tensors) of every class of a phase."""
        return [
            (chunk_count(len(c.tensors), c.width, self.mu), ", ".join(c.tensors))
            for c in self.plan.classes
            if c.phase == phase
        ]

    def _eta(self, claim: int) -> str:
        return f"mload({words_after(self.layout.eta_powers.name, Bits(claim))})"

    def values(self) -> Function:
        """sum_k eta^k v_k."""
        function = Function("combine_values() -> sum", "sum_k eta^k v_k over all claims.")
        lines = function.lines
        lines.append("front_products(sub(SLOTS_END, shl(5, MU)), MU, SLOT_FRONT)")
        position = 0
        for index, c in enumerate(self.plan.classes):
            lines.append(f"// {', '.join(c.tensors)}")
            first = self.layout.evaluation_regions[position].name
            value = f"class_value({first}, {len(c.tensors)}, {c.slot_bits}, {width(c.width)})"
            lines.append(f"sum := addmod(sum, mulmod({self._eta(index)}, {value}, r), r)")
            position += len(c.tensors)
        singles = len(self.plan.single_evaluations)
        if singles:
            first = self.layout.evaluation_regions[position].name
            factors = words_after(self.layout.eta_powers.name, Bits(len(self.plan.classes)))
            lines.append("// evaluations that are claimed one by one")
            lines.append(f"sum := addmod(sum, dot({factors}, {first}, {singles}), r)")
        return function

    def class_claims(self) -> Function:
        """Coefficients from the stacks."""
        head = "combine_class_claims()"
        function = Function(head, "Coefficients of the classes' commitments: each stack at its slots and r.")
        # memory behind the free memory pointer need not be zero
        size = "sub(COEFFICIENTS_END, COEFFICIENTS)"
        function.lines.append(f"calldatacopy(COEFFICIENTS, calldatasize(), {size}) // zeros")
        for index, c in enumerate(self.plan.classes):
            region, count = self._class_commitments(index)
            function.lines.append(f"// {', '.join(c.tensors)}")
            function.lines.append(
                f"class_claim({self._eta(index)}, {c.slot_bits}, {width(c.width)}, {count}, {region.name})"
            )
        return function

    def _class_commitments(self, index: int) -> tuple[Region, str]:
        """(coefficients, Yul for the number of commitments) of a class."""
        tensor_class = self.plan.classes[index]
        if tensor_class.phase == 0:
            return self.layout.input_coefficients[str(class_source(self.plan, tensor_class))], "1"
        count = chunk_count(len(tensor_class.tensors), tensor_class.width, self.mu)
        return self.layout.class_coefficients[index], count

    def _commitments(self, evaluation: Evaluation) -> tuple[Region, str]:
        """The same for the tensor of a single evaluation."""
        tensor = self.plan.tensors[evaluation.tensor]
        tensor_class = self.plan.class_of(tensor.name)
        if tensor_class is not None:
            return self._class_commitments(self.plan.classes.index(tensor_class))
        if tensor.kind is Kind.WEIGHT:
            return self.layout.weight_coefficients[tensor.name], str(self.plan.weight_chunks(tensor, self.mu))
        if tensor.kind is Kind.CONSTANT:
            return self.layout.constant_coefficients[tensor.name], "1"
        return self.layout.input_coefficients[tensor.name], self.windows if "context" in tensor.axes else "1"

    def single_claims(self) -> Function:
        """Coefficients from single evaluations; those at the same point share their eq."""
        function = Function(
            "combine_single_claims()", "Coefficients from the evaluations that are claimed one by one."
        )
        lines = function.lines
        lines += ["let end", "let weight", "let top"]
        known: dict[tuple[tuple[int, int], tuple[PointPart, ...], int], list[tuple[int, Evaluation]]] = {}
        for index, evaluation in enumerate(self.plan.single_evaluations):
            tensor_class = self.plan.class_of(evaluation.tensor)
            slot = (
                (tensor_class.tensors.index(evaluation.tensor), tensor_class.slot_bits)
                if tensor_class
                else (0, 0)
            )
            place = (slot, evaluation.parts, chunk_variables(self.key, evaluation))
            known.setdefault(place, []).append((len(self.plan.classes) + index, evaluation))
        for (slot, _, limit), members in known.items():
            first = members[0][1]
            names = ", ".join(evaluation.tensor for _, evaluation in members)
            lines.append(f"// {names} {describe(first.parts)}")
            lines += self._point(slot, first)
            variables = "MU" if limit == self.mu else limit
            lines.append(f"weight, top := claim_eq(end, {variables}, {width(self._shared(first))})")
            for claim, evaluation in members:
                region, count = self._commitments(evaluation)
                lines.append(f"spread(mulmod(weight, {self._eta(claim)}, r), top, {count}, {region.name})")
        return function

    def _point(self, slot: tuple[int, int], evaluation: Evaluation) -> list[str]:
        """Statements that write the coordinates of a claim."""
        lines, place = [], "CLAIM_POINT"
        if slot[1]:
            lines.append(f"end := append_bits({place}, {slot[0]}, {slot[1]}) // its slot")
            place = "end"
        for part in _merged(evaluation):
            count = width(part.width)
            if isinstance(part, Slice):
                lines.append(f"end := append({place}, {slice_start(part)}, {count})")
                if part.flip:
                    lines.append("flip_last(end)")
            else:
                number = (
                    f"mload({self.layout.publics[part.name].name})"
                    if isinstance(part, PublicBits)
                    else part.value
                )
                lines.append(f"end := append_bits({place}, {number}, {count})")
            place = "end"
        return lines or ["end := CLAIM_POINT"]

    @staticmethod
    def _shared(evaluation: Evaluation) -> Bits:
        """How many coordinates at the end are the last ones of r."""
        shared = Bits()
        for part in reversed(evaluation.parts):
            if (
                not isinstance(part, Slice)
                or part.vector != "r"
                or part.flip
                or part.start != shared + part.width
            ):
                break
            shared = shared + part.width
        return shared

    def commitments(self) -> Function:
        """The combination itself."""
        function = Function("combine_commitments()", "SUM = sum of all commitments times their coefficients.")
        lines = function.lines
        program = self.plan.program
        lines += ["mstore(SUM, 0)", "mstore(add(SUM, 0x20), 0)"]
        lines.append("// public inputs")
        lines.append(f"let data := add(mload(INPUT_DATA), {hex(32 * len(program.public_scalars))})")
        for tensor in program.inputs:
            count = self.windows if "context" in tensor.axes else "1"
            lines.append(
                f"data := accumulate(data, {self.layout.input_coefficients[tensor.name].name}, {count}) // {tensor.name}"
            )
        if program.weights:
            lines.append("// step key")
            lines.append(f"data := add(mload(KEY_DATA), {hex(32 * len(program.parameters))})")
            for tensor in program.weights:
                count = str(self.plan.weight_chunks(tensor, self.mu))
                lines.append(
                    f"data := accumulate(data, {self.layout.weight_coefficients[tensor.name].name}, {count}) // {tensor.name}"
                )
        lines.append("// the prover's commitments, in the order of the proof")
        lines.append("data := mload(PROOF_DATA)")
        for index, c in enumerate(self.plan.classes):
            if c.phase:
                region, count = self._class_commitments(index)
                lines.append(f"data := accumulate(data, {region.name}, {count}) // {', '.join(c.tensors)}")
        if self.key.constants:
            lines.append("// public tables")
        for name, (x, y) in self.key.constants:
            coefficient = f"mload({self.layout.constant_coefficients[name].name})"
            lines.append(f"accumulate_point({x:#066x}, {y:#066x}, {coefficient}) // {name}")
        return function


def _merged(evaluation: Evaluation) -> list[PointPart]:
    """Parts, with neighbouring slices of one vector joined."""
    merged: list[PointPart] = []
    for part in evaluation.parts:
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
