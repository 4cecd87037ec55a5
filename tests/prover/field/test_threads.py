"""Small work stays on the calling thread, and the mask is restored whatever happens."""

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
