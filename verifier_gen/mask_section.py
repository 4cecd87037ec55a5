"""What a private plan adds to a verifier: coefficients of its two mask chunks, and the blinding of what is opened.

The extension of the weights of M (prover.masks.MaskLayout.weights) at q, block by block: entries of a block are consecutive
powers, so that a block costs a Horner scheme over eq of the last two coordinates of q.
"""

from __future__ import annotations

from prover.hiding import blinding_base
from prover.masks import MASK_COORDINATES, MaskLayout, mask_layout
from prover.relations import Bits
from prover.statement import VerifyingKey

from .errors import GeneratorError
from .function import Function
from .layout import MOST_WORDS, WORD, StepLayout, eta_count, words_after

_BLOCK_BITS = 2
_BLOCK = 1 << _BLOCK_BITS
"""Entries of M that the templates weigh at once: the coefficients of a round of degree 4."""
_C_MASKS = "C_MASKS"


class MaskSection:
    """Emits combine_mask_claims, and the parts of other functions that only private plans have."""

    def __init__(self, key: VerifyingKey, layout: StepLayout) -> None:
        self.key, self.layout = key, layout
        self.masks: MaskLayout | None = mask_layout(key.plan)
        if self.masks is not None and self.masks.block_bits != _BLOCK_BITS:
            raise GeneratorError(
                f"masks of rounds of degree {self.masks.degree} have no verifier; take degree 4"
            )

        if self.masks is not None and self.masks.last_degree > MOST_WORDS:
            raise GeneratorError(
                f"a last round of degree {self.masks.last_degree} does not fit the {MOST_WORDS} words of a message"
            )

    @property
    def proof_layout(self) -> str:
        """The parts of a proof, for the contract's documentation."""
        blinding = "" if self.masks is None else "blinding, "
        return f"commitments, rounds, evaluations, reduction rounds, {blinding}opening (prover/proof.py)"

    def values(self) -> dict[str, object]:
        """For the templates: texts that are empty, or as they were, for a public plan."""
        if self.masks is None:
            return {
                "plain_rounds_end": "POINT_END",
                "masked_round": "",
                "combine_mask_claims": "",
                "masks": "",
                "h_message": "opening",
                "h_bytes": "0x40",
            }
        return {
            "plain_rounds_end": "sub(POINT_END, 0x20)",
            "masked_round": "\n    claim := masked_round(claim, data, label)",
            "combine_mask_claims": "\n            combine_mask_claims()",
            "h_message": "sub(opening, 0x20)",
            "h_bytes": "0x60",
            "last_degree": self.masks.last_degree,
            "last_bytes": hex(WORD * self.masks.last_degree),
            "block_bits": _BLOCK_BITS,
            "mask_place": hex(WORD * self.masks.bits),
        }

    def claims(self) -> list[Function]:
        """The coefficients of A and A'."""
        masks = self.masks
        if masks is None:
            return []
        combine = Function(
            "combine_mask_claims()", "Coefficients of the mask chunks: the weights of M, and two evaluations."
        )
        alpha = f"mload({words_after('ALPHA_POWERS', Bits(self.key.plan.mask_power))})"
        eta = f"mload({words_after('ETA_POWERS', Bits(eta_count(self.key) - 1))})"
        first, second = (_equal(c) for c in MASK_COORDINATES)
        place = _C_MASKS
        combine.lines += [
            "expand_mask_blocks()",
            f"let sum := mulmod(masks_of_rounds(), {alpha}, r)",
            "sum := addmod(sum, masks_of_evaluations(), r)",
            "// A at (2, .., 2) plus A' at (3, .., 3) is zero",
            f"let eta := {eta}",
            f"mstore({place}, addmod(sum, mulmod(eta, {first}, r), r))",
            f"mstore({words_after(place, Bits(1))}, mulmod(eta, {second}, r))",
        ]
        return [self._evaluations(masks), self._rounds(masks), combine]

    def _evaluations(self, masks: MaskLayout) -> Function:
        """Horner in eta^4 over blocks, from the last one."""
        function = Function(
            "masks_of_evaluations() -> sum",
            "x (1 - x) sum_k eta^(k+1) eq_k over the m_k, x the last coordinate of r.",
        )
        full, rest = divmod(masks.evaluations, _BLOCK)
        lines = function.lines
        lines += [
            "let x := mload(sub(POINT_END, 0x20))",
            f"let eta := mload({words_after('ETA_POWERS', Bits(1))})",
        ]
        if rest:
            lines += _horner(rest, "eta", "sum")
            lines.append(f"sum := mulmod(sum, mload({words_after('SCRATCH', Bits(full))}), r)")
        if full:
            lines += [
                "let inner := block_at(eta)",
                f"let step := mload({words_after('ETA_POWERS', Bits(_BLOCK))})",
                f"for {{ let place := {words_after('SCRATCH', Bits(full))} }} gt(place, SCRATCH) {{}} {{",
                "    place := sub(place, 0x20)",
                "    sum := addmod(mulmod(sum, step, r), mulmod(inner, mload(place), r), r)",
                "}",
            ]
        lines.append("sum := mulmod(sum, mulmod(x, sub(add(r, 1), x), r), r)")
        return function

    def _rounds(self, masks: MaskLayout) -> Function:
        """The last round's blocks as they are, then a loop over all rounds before, from the second to last on."""
        function = Function(
            "masks_of_rounds() -> sum",
            "sum_i sum_d (r_i^d - 1/2) eq_(i,d) over the coefficients of g, the last round first.",
        )
        lines = function.lines
        lines += ["let x := mload(sub(POINT_END, 0x20))", "let value"]
        first, left, scaled = masks.last_round >> _BLOCK_BITS, masks.last_degree, False
        while left > 0:
            size = min(left, _BLOCK)
            lines += ["value := block_at(x)"] if size == _BLOCK else _horner(size, "x", "value")
            if scaled:
                lines.append("value := mulmod(value, scale, r)")
            lines.append(f"value := addmod(value, sub(r, {'HALF' if size == _BLOCK else _half(size)}), r)")
            eq = f"mload({words_after('SCRATCH', Bits(first))})"
            lines.append(f"sum := addmod(sum, mulmod(value, {eq}, r), r)")
            left, first = left - size, first + 1
            if left > 0:
                fourth = "mulmod(mulmod(x, x, r), mulmod(x, x, r), r)"
                lines.append(f"scale := mulmod(scale, {fourth}, r)" if scaled else f"let scale := {fourth}")
                scaled = True
        weight = words_after("SCRATCH", Bits(masks.other_rounds >> _BLOCK_BITS))
        lines.append(f"sum := addmod(sum, masks_of_other_rounds({weight}), r)")
        return function

    def commitments(self) -> list[str]:
        """Behind the commitments of phase 1, which the two chunks end."""
        if self.masks is None:
            return []
        return [f"data := accumulate(data, {_C_MASKS}, 2) // masks"]

    def blinding(self) -> list[str]:
        """- b* H: what is opened is not hidden."""
        if self.masks is None:
            return []
        x, y = blinding_base(self.key.srs_digest)
        return [
            "// - b* H",
            "let blinding := calldataload(sub(mload(OPENING_DATA), 0x20))",
            "if iszero(lt(blinding, r)) { reject(NOT_CANONICAL) }",
            f"accumulate_point({x:#066x}, {y:#066x}, sub(r, blinding))",
        ]


def _place(index: int) -> str:
    """Yul for eq of a place in a block."""
    return f"mload({words_after('MASK_EQ', Bits(index))})"


def _horner(count: int, x: str, target: str) -> list[str]:
    """target = block_at(x), of the first `count` places only."""
    lines = [f"{target} := {_place(count - 1)}"]
    for index in range(count - 2, -1, -1):
        lines.append(f"{target} := addmod(mulmod({target}, {x}, r), {_place(index)}, r)")
    return [*lines, f"{target} := mulmod({target}, {x}, r)"]


def _half(count: int) -> str:
    """Half the sum of the first `count` places."""
    value = _place(0)
    for index in range(1, count):
        value = f"addmod({value}, {_place(index)}, r)"
    return f"mulmod(HALF, {value}, r)"


def _equal(coordinate: int) -> str:
    """eq of q and (c, .., c): prod ((2 c - 1) q_j + 1 - c)."""
    return f"eq_of_equal({2 * coordinate - 1}, sub(r, {coordinate - 1}))"
