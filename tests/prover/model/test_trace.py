"""All boundaries of a sequence, padded to whole windows."""

from __future__ import annotations

import numpy as np
import pytest

from prover.model.errors import SequenceTooLongError, TokenError
from prover.model.execute import Executor
from prover.model.trace import Trace

IDS = list(b"Traces are causal, so padding cannot reach real rows.")


def test_boundaries_have_the_shape_of_whole_windows(executor: Executor) -> None:
    trace = Trace(executor.model, IDS)
    assert (trace.length, trace.steps, trace.windows) == (53, 4, 2)
    assert trace.boundary(0).shape == (64, 64)
    assert trace.boundary(4).dtype == np.int64
    np.testing.assert_array_equal(trace.window(3, 1), trace.boundary(3)[32:])


def test_the_first_boundary_is_the_embedding_and_zero_beyond(executor: Executor) -> None:
    first = Trace(executor, IDS).boundary(0)
    np.testing.assert_array_equal(first[:53], executor.model.embedding[IDS])
    assert not first[53:].any()


def test_real_rows_are_those_of_decoding(executor: Executor) -> None:
    decoding = executor.start()
    rows = np.concatenate([executor.feed([index], decoding) for index in IDS])
    np.testing.assert_array_equal(Trace(executor, IDS).boundary(4)[:53], rows)


def test_padded_rows_are_ordinary_deterministic_rows(executor: Executor) -> None:
    last = Trace(executor, IDS).boundary(4)
    assert last[53:].any()
    np.testing.assert_array_equal(last, Trace(executor, IDS).boundary(4))


def test_a_longer_sequence_agrees_on_the_windows_they_share(executor: Executor) -> None:
    short, long = Trace(executor, IDS[:32]), Trace(executor, IDS)
    for index in range(5):
        np.testing.assert_array_equal(short.boundary(index), long.boundary(index)[:32])


def test_empty_and_overlong_sequences_are_refused(executor: Executor) -> None:
    with pytest.raises(TokenError):
        Trace(executor, [])
    with pytest.raises(SequenceTooLongError):
        Trace(executor, [1] * 257)
