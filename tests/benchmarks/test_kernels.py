"""Kernels under pytest-benchmark; run with `pytest -m long tests/benchmarks`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from prover.argument.multilinear import bind_integers, combine_tables, eq_table
from prover.argument.sumcheck_prover import RunningTerm, Term
from prover.argument.tape import TapeBuilder
from prover.curve.msm import msm_field, msm_int
from prover.curve.srs import SRS
from prover.field import arrays

pytestmark = pytest.mark.long

SIZE = 1 << 16


@pytest.fixture(scope="module")
def srs() -> SRS:
    return SRS.devnet(18)


@pytest.fixture(scope="module")
def elements() -> np.ndarray:
    return eq_table(list(range(3, 19)))


@pytest.fixture(scope="module")
def integers() -> np.ndarray:
    return np.random.default_rng(1).integers(-(1 << 15), 1 << 15, SIZE)


def test_field_products(benchmark: Any, elements: np.ndarray) -> None:
    benchmark(arrays.mul, elements, elements)


def test_batch_inversion(benchmark: Any, elements: np.ndarray) -> None:
    benchmark(arrays.batch_inverse, elements)


def test_msm_of_field_elements(benchmark: Any, srs: SRS, elements: np.ndarray) -> None:
    benchmark(msm_field, srs.g1[:SIZE], elements)


def test_msm_of_small_integers(benchmark: Any, srs: SRS, integers: np.ndarray) -> None:
    benchmark(msm_int, srs.g1[:SIZE], integers)


def test_sumcheck_of_a_cubic(benchmark: Any, elements: np.ndarray, integers: np.ndarray) -> None:
    builder = TapeBuilder(3)
    product = builder.multiply(builder.multiply(builder.column(0), builder.column(1)), builder.column(2))
    tape = builder.finish(product)

    def run() -> list[int]:
        running = RunningTerm(Term([elements, integers, elements], tape))
        for challenge in range(2, 18):
            running.bind(challenge)
        return running.values()

    assert benchmark(run)[0] == running_value(elements)


def running_value(table: np.ndarray) -> int:
    from prover.argument.multilinear import evaluate

    return evaluate(table, list(range(2, 18)))


def test_binding_a_weight_matrix(benchmark: Any, integers: np.ndarray) -> None:
    matrix = np.ascontiguousarray(np.tile(integers, 16).reshape(1024, 1024))
    benchmark(bind_integers, matrix, eq_table(list(range(5, 15))), 1)


def test_combining_weight_chunks(benchmark: Any, integers: np.ndarray) -> None:
    benchmark(combine_tables, [integers] * 8, list(range(1, 9)), SIZE)
