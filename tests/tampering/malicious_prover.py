"""A prover that follows the protocol on a false statement and never stops by itself.

It commits to whatever witness it is given, counts the lookups that some table row matches, sends the true round
polynomials of a sum that is not zero, and then repairs what it still can:

    truthful   sends the evaluations as they are: the final check, which the opening decides, must notice
    adjusted   changes one evaluation so that the final check passes: its own claim must notice
    bent       also changes one scalar of the opening so that its linear equation holds: the pairing must notice

With `balance_inverses` it spoils one logUp inverse so that the sum of all inverses is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
import pytest

import prover.prove
import prover.verify
from prover.argument.mercury import MercuryOpening
from prover.argument.mercury_prover import open_mercury
from prover.argument.multilinear import eq_table, evaluate, to_field
from prover.argument.reduction import Claim
from prover.argument.round_masks import RoundMasks
from prover.argument.sumcheck import evaluate_coefficients
from prover.argument.sumcheck_prover import SumcheckResult, Term, prove_sumcheck
from prover.argument.transcript import Transcript
from prover.claims import Point as SymbolicPoint
from prover.claims import combine_claims, final_form
from prover.curve.srs import SRS
from prover.evaluations import Evaluation
from prover.field import arrays
from prover.field.arrays import MODULUS
from prover.hiding import Blindings
from prover.lookups import RowView
from prover.plan import ProductSum
from prover.program import broadcast
from prover.proof import Proof
from prover.prove import _Prover
from prover.relations import Lookup, LookupTable, Ref
from prover.statement import Statement, VerifyingKey

Tensors = Mapping[str, np.ndarray]
_LARGE = 1 << 40
"""Beyond every entry of a table."""


class MaliciousProver(_Prover):
    """See the module. `spoil` may change the multiplicities after they were counted."""

    def __init__(
        self,
        verifying_key: VerifyingKey,
        srs: SRS,
        statement: Statement,
        tensors: Tensors,
        *,
        balance_inverses: bool = False,
        spoil: Callable[[dict[str, np.ndarray]], None] | None = None,
        blindings: Blindings | None = None,
    ) -> None:
        super().__init__(verifying_key, srs, statement, tensors, lambda _: None, blindings)
        self._of_statement = blindings
        self._balance_inverses, self._spoil = balance_inverses, spoil
        self._arguments = (verifying_key, srs, statement, tensors)
        self._adjusts = True
        self._claim = 0  # the verifier's running claim after the rounds, without its masks
        self._final = 0  # with them
        self._opened: tuple[Any, ...] = ()
        self._state = b""

    def cheat(self) -> dict[str, Proof]:
        """The adjusted and the truthful proof (they share everything before the evaluations)."""
        return {"truthful": self.tell_the_truth(), "adjusted": self.adjust()}

    def adjust(self) -> Proof:
        """The adjusted proof: the stronger one."""
        return self._complete()

    def tell_the_truth(self) -> Proof:
        """The truthful proof."""
        other = self._again()
        other._adjusts = False
        return other._complete()

    def _again(self) -> MaliciousProver:
        """A prover of the same lie that has not begun."""
        return type(self)(
            *self._arguments,
            balance_inverses=self._balance_inverses,
            spoil=self._spoil,
            blindings=self._of_statement,
        )

    def _complete(self) -> Proof:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(prover.prove, "prove_sumcheck", self._true_rounds)
            patch.setattr(prover.prove, "combine_claims", self._true_claims)
            patch.setattr(prover.prove, "open_mercury", self._opening)
            return self.prove()

    def bend(self, adjusted: Proof) -> Proof:
        """The adjusted proof with an opening whose S(zeta) makes up for the wrong value."""
        wanted = self._value_at_the_verifier(adjusted)
        bases, combination, point, value = self._opened
        transcript = _BendingTranscript(self._state, (wanted - value) % MODULUS)
        opening: MercuryOpening = open_mercury(bases, combination, point, value, transcript)
        return replace(adjusted, opening=replace(opening, s_zeta=transcript.s_zeta))

    # --- where the honest prover would stop ---------------------------------------------------------------

    def _read_lookups(self) -> None:
        super()._read_lookups()
        self.row_numbers.clear()  # inverse columns are committed as they are
        if self._spoil is not None:
            self._spoil(self.integers)

    def _numbers(self, inverse: str, lookup: Lookup) -> np.ndarray:
        """Leaves out what no table row matches; the honest prover refuses it."""
        view = self._row_view(inverse, lookup)
        parts = (
            [v if -_LARGE < v < _LARGE else -1 for v in p.tolist()]
            for p in (view.tag, view.first, view.second)
        )
        numbers = self.universe.numbers(RowView(*(np.array(part, dtype=np.int64) for part in parts)))
        return numbers[(numbers >= 0) & self._reads(lookup)]

    def _invert(self, beta: int, gamma: int) -> None:
        for name, source in self.plan.inverse_of.items():
            rows = [source] if isinstance(source, LookupTable) else source
            self.fields[name] = reduce(arrays.add, (self._inverted(name, row, beta, gamma) for row in rows))
            if isinstance(source, LookupTable):
                multiplicity = to_field(self.integers[f"{source.name}_multiplicity"])
                self.fields[name] = arrays.mul(self.fields[name], multiplicity)
        if not self._balance_inverses:
            return
        total, column = 0, ""
        for name, source in self.plan.inverse_of.items():
            table = isinstance(source, LookupTable)
            column = column if table or column else name
            total += (-1 if table else 1) * _sum(self.fields[name])
        first = (arrays.to_int(self.fields[column][0]) - total) % MODULUS
        self.fields[column][0] = arrays.scalar(first)

    def _inverted(self, inverse: str, row: Lookup | LookupTable, beta: int, gamma: int) -> np.ndarray:
        """1 / (gamma + row) where it is read."""
        inverted = arrays.batch_inverse(self._row_view(inverse, row).folded(beta, gamma))
        if isinstance(row, Lookup) and row.where is not None:
            inverted[~self._reads(row)] = 0
        return inverted

    def _true_rounds(
        self,
        terms: Sequence[Term],
        variables: int,
        degree: int,
        _: int,
        transcript: Transcript,
        label: str,
        masks: RoundMasks | None,
    ) -> SumcheckResult:
        """The rounds of the sum that there really is; the verifier starts from zero."""
        result = prove_sumcheck(terms, variables, degree, _AnySum(), transcript, label, masks)
        claim = 0
        for sent, challenge in zip(result.rounds, result.point, strict=True):
            linear = (claim - 2 * sent[0] - sum(sent[1:])) % MODULUS
            claim = evaluate_coefficients([sent[0], linear, *sent[1:]], challenge)
        self._final = claim
        self._claim = (claim - (masks.scale * masks.bound if masks else 0)) % MODULUS  # without g(r)
        return result

    def _evaluations(self, point: SymbolicPoint, values: Sequence[Sequence[int]]) -> dict[Evaluation, int]:
        """The true evaluations, but for one that makes the final check pass."""
        truth = super()._evaluations(point, values)
        said = self._say(truth)
        if not self._adjusts:
            return said
        for changed in self.plan.sent:
            low, middle, high = (_final_value(point, {**said, changed: x}) for x in (0, 1, 2))
            slope = (middle - low) % MODULUS
            if slope and (high - middle - slope) % MODULUS == 0:
                solution = (self._claim - low) * pow(slope, -1, MODULUS) % MODULUS
                return {**said, changed: solution}
        raise AssertionError("no evaluation enters the final check linearly")

    def _say(self, truth: dict[Evaluation, int]) -> dict[Evaluation, int]:
        """What is said before one of them is adjusted."""
        return truth

    def _true_claims(self, *arguments: Any) -> tuple[list[Claim], int]:
        """The reduction runs on what was committed, whatever was said about it."""
        claims, _ = combine_claims(*arguments)
        return claims, _AnyValue()

    def _opening(
        self,
        bases: Any,
        combination: np.ndarray,
        point: Sequence[int],
        value: int,
        transcript: Transcript,
        *,
        blinding: Sequence[int],
    ) -> MercuryOpening:
        self._opened, self._state = (bases, combination, point, value), transcript.state
        return open_mercury(bases, combination, point, value, transcript, blinding=blinding)

    # --- field elements where the honest prover has integers ----------------------------------------------

    def _bound_factor(
        self, product: ProductSum, factor: Ref, point: SymbolicPoint, shape: tuple[int, ...]
    ) -> np.ndarray:
        """Forged field elements are bound in plain integers."""
        array, axes = self._gathered(factor)
        if array.dtype != object:
            return super()._bound_factor(product, factor, point, shape)
        kept = [axis for axis in product.domain if axis in axes]
        bound = [axis for axis in axes if axis not in kept]
        slices = [self.plan.slice("rho", product.output, axis) for axis in bound]
        weights = (
            arrays.to_ints(eq_table([c for part in slices for c in point.slice(part)])) if bound else [1]
        )
        ordered = np.transpose(array, [axes.index(axis) for axis in (*bound, *kept)])
        sizes = ordered.shape[len(bound) :]
        summed = (np.array(weights, dtype=object)[:, None] * ordered.reshape(len(weights), -1)).sum(axis=0)
        over = broadcast(summed.reshape(sizes), kept, product.domain)
        return to_field(np.broadcast_to(over, shape) % MODULUS)

    # --- the bent opening -----------------------------------------------------------------------------------

    def _value_at_the_verifier(self, adjusted: Proof) -> int:
        """The value that the verifier expects the opening to have."""
        seen: list[int] = []

        def listen(commitment: object, point: object, value: int, *rest: object) -> None:
            seen.append(value)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(prover.verify, "verify_mercury", listen)
            prover.verify.verify(self.verifying_key, self.statement, adjusted.encode())
        return seen[0]


class _AnySum(int):
    """Equal to whatever the sum is, so that the honest rounds start."""

    def __mod__(self, modulus: int) -> _AnySum:
        return self

    def __ne__(self, other: object) -> bool:
        return False


class _AnyValue(int):
    """No different from what the claims add up to, so that the honest reduction starts."""

    def __rsub__(self, other: int) -> int:
        return 0


def _final_value(point: SymbolicPoint, values: Mapping[Evaluation, int]) -> int:
    """The final check's value when the opened evaluations are known too."""
    form = final_form(point, values)
    return (form.constant + sum(c * values[e] for e, c in form.coefficients.items())) % MODULUS


class _BendingTranscript(Transcript):
    """Absorbs a changed S(zeta): h(alpha) is derived from line 3, so 2 gamma (v' - v) / zeta less repairs it."""

    def __init__(self, state: bytes, excess: int) -> None:
        super().__init__("")
        self.state, self.excess, self.s_zeta = state, excess, 0
        self.known: dict[str, int] = {}

    def challenge(self, label: str, words: Iterable[int] = (), index: int = 0) -> int:
        listed = list(words)
        if label == "mercury.beta":  # g, h, S at zeta and 1/zeta, then [H]
            repair = (
                2 * self.known["mercury.gamma"] * self.excess * pow(self.known["mercury.zeta"], -1, MODULUS)
            )
            self.s_zeta = listed[4] = (listed[4] - repair) % MODULUS
        self.known[label] = super().challenge(label, listed, index)
        return self.known[label]


def _sum(column: np.ndarray) -> int:
    """Sum of a column of 2^n entries: 2^n times its extension at (1/2, ..., 1/2)."""
    variables = len(column).bit_length() - 1
    return len(column) * evaluate(column, [pow(2, -1, MODULUS)] * variables) % MODULUS
