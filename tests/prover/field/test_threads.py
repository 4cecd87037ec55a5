"""Small work stays on the calling thread, and the mask is restored whatever happens."""

import os
import subprocess
import sys

import numba
import pytest

from prover.field.threads import threads_for


def test_small_work_takes_one_thread():
    before = numba.get_num_threads()
    with threads_for(10, 100):
        assert numba.get_num_threads() == 1
        with threads_for(1000, 100):
            assert numba.get_num_threads() == 1, "an inner block must not wake what an outer one put to sleep"
    assert numba.get_num_threads() == before


def test_large_work_keeps_the_threads():
    before = numba.get_num_threads()
    with threads_for(100, 100):
        assert numba.get_num_threads() == before


def test_mask_is_restored_after_an_error():
    before = numba.get_num_threads()
    with pytest.raises(RuntimeError), threads_for(1, 100):
        raise RuntimeError("kernel failed")
    assert numba.get_num_threads() == before


def layers(**environment: str) -> str:
    """Numba's, in the order in which it tries them, where the executor's products are at hand."""
    said = "import prover.model.word_gemm, numba; print(*numba.config.THREADING_LAYER_PRIORITY)"
    return subprocess.run(
        [sys.executable, "-c", said], env=os.environ | environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_openmp_comes_first_unless_another_is_asked_for():
    assert layers() == "omp tbb workqueue"
    assert layers(NUMBA_THREADING_LAYER_PRIORITY="tbb omp workqueue") == "tbb omp workqueue"
