"""How the rounds of the batched sumcheck (sumcheck.py) are made: tables, folded as challenges arrive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numba import get_num_threads, njit, prange

from ..field import arrays, ifma
from ..field.arrays import MODULUS
from ..field.scalar_kernels import FR_ZERO, fr_add, fr_load, fr_mul, fr_store, fr_sub
from ..field.threads import threads_for
from .columns import Column, whole
from .lane_sources import SHORTEST_SOURCE, LaneSources
from .lanes import SHORTEST, LaneStack
from .multilinear import as_tuple
from .round_masks import RoundMasks, quadratics, tape_value
from .sumcheck import evaluate_coefficients
from .tape import ADD, MULTIPLY, Tape
from .transcript import Transcript

_PARALLEL_FROM = 1 << 15
"""Field multiplications below which waking another thread costs more than it saves."""

_LANES_FROM = SHORTEST_SOURCE
"""Entries from which eight lanes beat one, conversion included."""


class SumcheckError(ValueError):
    """The prover's own claim does not hold (a false statement or an invalid witness)."""


@dataclass
class Term:
    """One summand: tables of equal length 2^n (columns.py) and the tape that combines them.

    masks: of each table m, for m x (1 - x) in the last variable of the sumcheck; none at all if every m is zero.
    """

    tables: list[Column]
    tape: Tape
    masks: tuple[int, ...] = ()

    @property
    def variables(self) -> int:
        """n."""
        return len(self.tables[0]).bit_length() - 1


@njit(cache=True, nogil=True, parallel=True)
def _round_sums(
    stack: np.ndarray, constants: np.ndarray, code: np.ndarray, points: int, parts: int
) -> np.ndarray:
    """For X = 0 .. points-1: sum over pairs of the tape's value on columns low + X * (high - low).

    stack: (columns, 2^n, 4). Returns (parts, points, 4) partial sums.
    """
    columns = stack.shape[0]
    half = stack.shape[1] // 2
    fixed = columns + constants.shape[0]
    registers = fixed + code.shape[0]
    sums = np.zeros((parts, points, 4), dtype=np.uint64)
    share = (half + parts - 1) // parts
    for part in prange(parts):
        register = np.zeros((registers, 4), dtype=np.uint64)
        step = np.zeros((columns, 4), dtype=np.uint64)
        total = np.zeros((points, 4), dtype=np.uint64)
        for k in range(constants.shape[0]):
            fr_store(register, columns + k, fr_load(constants, k))
        for pair in range(part * share, min(half, (part + 1) * share)):
            for c in range(columns):
                table = stack[c]
                low = fr_load(table, pair)
                fr_store(register, c, low)
                fr_store(step, c, fr_sub(fr_load(table, pair + half), low))
            for x in range(points):
                if x > 0:
                    for c in range(columns):
                        fr_store(register, c, fr_add(fr_load(register, c), fr_load(step, c)))
                for i in range(code.shape[0]):
                    left = fr_load(register, code[i, 1])
                    right = fr_load(register, code[i, 2])
                    if code[i, 0] == MULTIPLY:
                        fr_store(register, fixed + i, fr_mul(left, right))
                    elif code[i, 0] == ADD:
                        fr_store(register, fixed + i, fr_add(left, right))
                    else:
                        fr_store(register, fixed + i, fr_sub(left, right))
                fr_store(total, x, fr_add(fr_load(total, x), fr_load(register, registers - 1)))
        for x in range(points):
            sums[part, x] = total[x]
    return sums


@njit(cache=True, nogil=True)
def _combine_parts(sums: np.ndarray) -> np.ndarray:
    result = np.zeros((sums.shape[1], 4), dtype=np.uint64)
    for x in range(sums.shape[1]):
        total = FR_ZERO
        for part in range(sums.shape[0]):
            total = fr_add(total, fr_load(sums[part], x))
        fr_store(result, x, total)
    return result


@njit(cache=True, nogil=True, parallel=True)
def _fold_stack(stack: np.ndarray, challenge: tuple[int, ...], result: np.ndarray) -> None:
    half = result.shape[1]
    for c in prange(stack.shape[0]):
        source, target = stack[c], result[c]
        for i in range(half):
            low = fr_load(source, i)
            fr_store(target, i, fr_add(low, fr_mul(challenge, fr_sub(fr_load(source, i + half), low))))


class RunningTerm:
    """A term while the sumcheck runs: its tables, folded as challenges arrive.

    The running claim gives the value at X = 1 in every round but the first, whose values give the claim.
    """

    def __init__(self, term: Term) -> None:
        self.tape = term.tape
        self.variables = term.variables
        self.masks = term.masks or (0,) * len(term.tables)
        self.lanes: LaneSources | LaneStack | None = None
        if ifma.AVAILABLE and len(term.tables[0]) >= _LANES_FROM:
            self.lanes = LaneSources(term.tables, term.tape)
            self.stack = np.empty((len(term.tables), 0, 4), dtype=np.uint64)
        else:
            self.stack = np.stack([whole(table) for table in term.tables])
        self._values = self._sums(None) if self.variables else None
        self._running_claim: int | None = None
        self.claim = self._initial_claim()
        self.front = 1  # prod (1 - r_j) over the padding rounds, once they are over

    def _sums(self, claim: int | None) -> list[int]:
        """Values at X = 0 .. degree; the one at 1 comes from the claim if that is known."""
        points = max(2, self.tape.degree + 1)
        skip_one = claim is not None
        if self.lanes is not None:
            sums = self.lanes.sums(points, skip_one)
        else:
            pairs = self.stack.shape[1] // 2
            with threads_for(pairs * len(self.tape.code) * points, _PARALLEL_FROM):
                parts = 4 * get_num_threads() if get_num_threads() > 1 else 1
                sums = _round_sums(self.stack, self.tape.constants, self.tape.code, points, parts)
        values = arrays.to_ints(_combine_parts(sums))
        if claim is not None:
            values[1] = (claim - values[0]) % MODULUS
        return values

    def _initial_claim(self) -> int:
        if self._values is not None:
            return (self._values[0] + self._values[1]) % MODULUS
        # no variables: the tape's value itself, read off a doubled table
        doubled = np.ascontiguousarray(np.concatenate([self.stack, self.stack], axis=1))
        return arrays.to_ints(
            _combine_parts(_round_sums(doubled, self.tape.constants, self.tape.code, 1, 1))
        )[0]

    def round(self) -> list[int]:
        """Evaluations at 0 .. degree of this round's polynomial, not counting front padding."""
        if self._values is None:
            self._values = self._sums(self._running_claim)
        return self._values

    def bind(self, challenge: int) -> None:
        self._running_claim = evaluate_coefficients(interpolate(self.round()), challenge)
        self._values = None
        if self.lanes is not None:
            self.lanes = self.lanes.fold(challenge)
            if isinstance(self.lanes, LaneStack) and self.lanes.length < SHORTEST:
                self.stack, self.lanes = self.lanes.packed(), None
            return
        result = np.empty((self.stack.shape[0], self.stack.shape[1] // 2, 4), dtype=np.uint64)
        element = arrays.scalar(challenge)
        with threads_for(result.shape[0] * result.shape[1], _PARALLEL_FROM):
            _fold_stack(self.stack, as_tuple(element), result)
        self.stack = result

    def values(self) -> list[int]:
        return [arrays.to_int(self.stack[c, 0]) for c in range(self.stack.shape[0])]

    def masked_round(self, degree: int, padding: int) -> list[int]:
        """Coefficients of the last round, front padding included: columns with masks are quadratics in it.

        padding: prod (1 - r_j) over all rounds before. A term without variables is still being padded.
        """
        lows = self.values()
        highs = [arrays.to_int(column[-1]) for column in self.stack]
        at = quadratics(lows, highs, self.masks)
        values = []
        for x in range(degree + 1):
            front = self.front if self.variables else padding * (1 - x)
            values.append(front * tape_value(self.tape, at(x)) % MODULUS)
        return interpolate(values)

    def masked_values(self, challenge: int) -> list[int]:
        """values(), with the masks at the last challenge."""
        bump = challenge * (1 - challenge) % MODULUS
        return [(v + m * bump) % MODULUS for v, m in zip(self.values(), self.masks, strict=True)]


@dataclass(frozen=True)
class SumcheckResult:
    """point: r; rounds: sent coefficients per round; claim: final value; values: every term's table values at r."""

    point: list[int]
    rounds: list[list[int]]
    claim: int
    values: list[list[int]]


def prove_sumcheck(
    terms: Iterable[Term],
    variables: int,
    degree: int,
    claim: int,
    transcript: Transcript,
    label: str,
    masks: RoundMasks | None = None,
) -> SumcheckResult:
    """Run the prover; raises SumcheckError when the terms do not sum to `claim`.

    With masks, the rounds are those of the masked sum, and the last one has their degree.
    """
    running = [RunningTerm(term) for term in terms]
    total = sum(term.claim for term in running) % MODULUS
    if total != claim % MODULUS:
        raise SumcheckError("the relations do not hold for this witness: the statement is false")
    point: list[int] = []
    rounds: list[list[int]] = []
    padding = 1
    for index in range(variables):
        last = masks is not None and index == variables - 1
        if masks is not None and last:
            degree = masks.last_degree
        coefficients = masks.coefficients(index) if masks else []
        coefficients += [0] * (degree + 1 - len(coefficients))
        for term in running:
            if last:
                for power, value in enumerate(term.masked_round(degree, padding)):
                    coefficients[power] += value
            elif variables - index > term.variables:
                # (1 - X) * claim, as far as the padding has come
                coefficients[0] += term.claim
                coefficients[1] -= term.claim
            else:
                for power, value in enumerate(interpolate(term.round())):
                    coefficients[power] += value * term.front
        coefficients = [c % MODULUS for c in coefficients]
        sent = [coefficients[0], *coefficients[2:]]
        challenge = transcript.challenge(label, sent, index)
        for term in running:
            if variables - index > term.variables:
                term.claim = term.claim * (1 - challenge) % MODULUS
                if variables - index - 1 == term.variables:
                    term.front = padding * (1 - challenge) % MODULUS
            else:
                term.bind(challenge)
        padding = padding * (1 - challenge) % MODULUS
        if masks is not None:
            masks.bind(index, challenge)
        claim = evaluate_coefficients(coefficients, challenge)
        point.append(challenge)
        rounds.append(sent)
    values = [term.masked_values(point[-1]) if masks else term.values() for term in running]
    return SumcheckResult(point, rounds, claim, values)


def interpolate(values: Sequence[int]) -> list[int]:
    """Coefficients of the polynomial with the given values at 0, 1, 2, ..."""
    return [
        sum(m * v for m, v in zip(row, values, strict=True)) % MODULUS
        for row in _inverse_vandermonde(len(values))
    ]


_VANDERMONDE: dict[int, list[list[int]]] = {}


def _inverse_vandermonde(size: int) -> list[list[int]]:
    """rows[power][i]: coefficient of X^power in the Lagrange polynomial of point i."""
    if size not in _VANDERMONDE:
        columns = []
        for i in range(size):
            polynomial, denominator = [1], 1
            for j in range(size):
                if j == i:
                    continue
                polynomial = [
                    (a - j * b) % MODULUS for a, b in zip([0, *polynomial], [*polynomial, 0], strict=True)
                ]
                denominator = denominator * (i - j) % MODULUS
            inverse = pow(denominator, -1, MODULUS)
            columns.append([c * inverse % MODULUS for c in polynomial])
        _VANDERMONDE[size] = [list(row) for row in zip(*columns, strict=True)]
    return _VANDERMONDE[size]
