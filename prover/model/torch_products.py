"""Exact products of int16 and int32 weights with wider integers by torch: int8 digits with int32 sums, or float64.

Weights and rows become balanced digits, x = sum_a 2^(8 a) x_a and w = sum_b 2^(8 b) w_b with -128 <= digit < 128, so that

    x . w  =  sum_(a, b) 2^(8 (a + b))  x_a . w_b

An int16 weight below 2^15 - 128 has two digits; larger ones have a third, which is 1, and only the outputs that have such a
weight take part in its product. A row of n inputs gives

    |x_a . w_b|  <=  2^14 n  <=  2^30            for n <= 2^16, so int32 sums are exact in any order

and they stay so where a kernel adds 128 to one side to make it unsigned, as oneDNN's do: 255 * 128 * 2^16 < 2^31. Digits are put
together in int64 modulo 2^64; the product fits it, as every product of a model is below 2^53.

Float64 sums are exact because every partial sum of a model's product stays below 2^53 (checked when it is imported).

Digits are taken on CUDA, whose tensor cores multiply them and whose memory they fill no more than int16 does, and on CPUs
that multiply bytes into 32-bit sums, once a few products have come out right there. Others put pairs of products into 16 bits, which saturate: there it is float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

MOST_INPUTS = 1 << 16
DIGIT_BITS = 8
_HALF = 1 << (DIGIT_BITS - 1)
BY = 32
"""On CUDA `torch._int_mm` takes no fewer than 17 rows, inputs and outputs by eights, and was wrong, silently, in shapes whose rows lie
off the alignment that cuBLAS asks for (pytorch issue 107671): whole multiples of 32 are none of these."""
_WIDENED_ENTRIES = 1 << 24


@dataclass(frozen=True)
class Digits:
    """Weights (outputs, inputs) as int8 digits, one behind the other along the outputs.

    digits: (outputs of all digits, inputs), padded with zeros to multiples of 32. places: of every digit beyond the first
    the outputs that have it, None for all. rows_by: rows are padded to a multiple of it. at_once: int32 sums of
    one product, at most, unless a single row has more.
    """

    digits: Tensor
    outputs: int
    inputs: int
    places: tuple[Tensor | None, ...]
    rows_by: int
    at_once: int

    @classmethod
    def of(
        cls, weights: np.ndarray, device: torch.device, rows_by: int = 1, at_once: int = 1 << 18
    ) -> Digits:
        """Looks at every weight once. Raises ValueError for more inputs than sums have room for."""
        outputs, inputs = weights.shape
        if inputs > MOST_INPUTS:
            raise ValueError(f"{inputs} inputs do not fit 32-bit sums of digits; at most {MOST_INPUTS}")
        parts, places, rest = [], [], weights.astype(np.int32)
        while True:
            digit = ((rest + _HALF) & (2 * _HALF - 1)) - _HALF
            rest = (rest - digit) >> DIGIT_BITS
            parts.append(digit.astype(np.int8))
            if not rest.any():
                break
            having = np.flatnonzero(rest.any(axis=1))
            places.append(None if 2 * len(having) > outputs else having)
        chosen = [parts[0], *(p if at is None else p[at] for p, at in zip(parts[1:], places, strict=True))]
        stacked = np.concatenate(chosen)
        padded = np.zeros((_rounded_up(len(stacked), BY), _rounded_up(inputs, BY)), dtype=np.int8)
        padded[: len(stacked), :inputs] = stacked
        return cls(
            torch.from_numpy(padded).to(device),
            outputs,
            inputs,
            tuple(None if at is None else torch.from_numpy(at).to(device) for at in places),
            rows_by,
            at_once,
        )

    def multiply(self, x: Tensor) -> Tensor:
        """x · weightsᵀ, (rows, outputs) int64; x (rows, inputs) int64. Raises ValueError for an x of another width."""
        if x.ndim != 2 or x.shape[1] != self.inputs:
            raise ValueError(f"x of shape {tuple(x.shape)} meets weights of {self.inputs} inputs")
        if x.numel() == 0:
            return x.new_zeros((x.shape[0], self.outputs))
        count = _digits_needed(int(x.abs().max()))
        at_once = max(1, self.at_once // (count * len(self.digits)))
        parts = [self._multiply(x[row : row + at_once], count) for row in range(0, len(x), at_once)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _multiply(self, x: Tensor, count: int) -> Tensor:
        rows = len(x)
        cut = x.new_zeros((_rounded_up(count * rows, self.rows_by), self.digits.shape[1]), dtype=torch.int8)
        for number in range(count):
            digit = ((x + _HALF) & (2 * _HALF - 1)) - _HALF
            cut[number * rows : (number + 1) * rows, : self.inputs] = digit
            x = (x - digit) >> DIGIT_BITS
        sums = torch._int_mm(cut, self.digits.T)[: count * rows].view(count, rows, -1)
        of_digits = sums[0].long()
        for number in range(1, count):
            of_digits.add_(sums[number], alpha=1 << (DIGIT_BITS * number))
        result, first = of_digits[:, : self.outputs], self.outputs
        for number, at in enumerate(self.places, 1):
            end = first + (self.outputs if at is None else len(at))
            more = of_digits[:, first:end]
            if at is None:
                result = torch.add(result, more, alpha=1 << (DIGIT_BITS * number))
            else:
                result[:, at] += more << (DIGIT_BITS * number)
            first = end
        return result.contiguous()


@dataclass(frozen=True)
class Floats:
    """Weights (outputs, inputs) as they are, widened to float64 some outputs at a time."""

    weights: Tensor

    @classmethod
    def of(cls, weights: np.ndarray, device: torch.device) -> Floats:
        return cls(torch.tensor(weights, device=device))

    def multiply(self, x: Tensor) -> Tensor:
        """x · weightsᵀ, (rows, outputs) int64; x (rows, inputs) int64."""
        wide, at_once = x.double(), max(1, _WIDENED_ENTRIES // max(1, self.weights.shape[1]))
        parts = [
            (wide @ self.weights[start : start + at_once].double().T).long()
            for start in range(0, len(self.weights), at_once)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def _digits_needed(largest: int) -> int:
    """The least count of balanced digits that every |x| <= largest has."""
    count, most = 1, _HALF - 1
    while most < largest:
        count, most = count + 1, (most << DIGIT_BITS) + _HALF - 1
    return count


def digits_are_exact(device: torch.device, rows_by: int) -> bool:
    """Whether this torch multiplies digits as integers on this device, or at all: tried on a few shapes, which takes milliseconds."""
    generator = np.random.default_rng(0)
    for rows, inputs, outputs in ((1, 8, 8), (17, 16, 16), (33, 300, 200)):
        weights = generator.integers(-(2**15), 2**15, (outputs, inputs)).astype(np.int16)
        x = generator.integers(-(2**15), 2**15, (rows, inputs))
        weights[0], x[0] = -(2**15), -(2**15)
        try:
            found = Digits.of(weights, device, rows_by).multiply(torch.tensor(x, device=device))
        except RuntimeError:
            return False
        if not np.array_equal(found.cpu().numpy(), x @ weights.T.astype(np.int64)):
            return False
    return True


def _rounded_up(size: int, by: int) -> int:
    return -(-size // by) * by
