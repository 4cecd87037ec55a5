"""All boundaries of a sequence, padded to whole windows."""

from __future__ import annotations

import numpy as np
import pytest

from prover.model.errors import SequenceTooLongError, TokenError
from prover.model.execute import Executor
from prover.model.trace import EMBEDDING, Trace
from prover.model.weights import IntegerModel
from prover.program import OutOfRange, Program

from .leaving_model import leaving

IDS = list(b"Traces are causal, so padding cannot reach real rows.")


def test_boundaries_have_the_shape_of_whole_windows(executor: Executor) -> None:
    trace = Trace(executor.model, IDS)
    assert (trace.length, trace.steps, trace.windows) == (53, 6, 2)
    assert trace.stream(0).shape == (64, 64)
    assert trace.stream(6).dtype == np.int64
    assert trace.stream(6, "keys").shape == (64, 2, 16)
    np.testing.assert_array_equal(trace.window(3, 1), trace.stream(3)[32:])


def test_a_stream_holds_what_the_last_step_wrote(executor: Executor) -> None:
    trace = Trace(executor.model, IDS)
    number_of = executor.model.config.number_of
    assert trace.version(0, "residual") == EMBEDDING and trace.version(0, "keys") is None
    assert trace.known_windows(0, "keys") == 0
    with pytest.raises(ValueError, match="keys has no windows in front of step 0"):
        trace.stream(0, "keys")
    second = number_of("keys_values", 1)
    for stream in ("keys", "values"):
        for index in range(1, second + 1):
            assert trace.version(index, stream) == 0
            np.testing.assert_array_equal(trace.stream(index, stream), trace.stream(1, stream))
        assert trace.version(second + 1, stream) == second
        assert (trace.stream(second, stream) != trace.stream(second + 1, stream)).any()
    np.testing.assert_array_equal(trace.stream(second), trace.stream(second + 1))


def test_the_first_boundary_is_the_embedding_and_zero_beyond(executor: Executor) -> None:
    first = Trace(executor, IDS).stream(0)
    np.testing.assert_array_equal(first[:53], executor.model.embedding[IDS])
    assert not first[53:].any()


def test_real_rows_are_those_of_decoding(executor: Executor) -> None:
    decoding = executor.start()
    rows = np.concatenate([executor.feed([index], decoding) for index in IDS])
    np.testing.assert_array_equal(Trace(executor, IDS).stream(6)[:53], rows)


def test_padded_rows_are_ordinary_deterministic_rows(executor: Executor) -> None:
    last = Trace(executor, IDS).stream(6)
    assert last[53:].any()
    np.testing.assert_array_equal(last, Trace(executor, IDS).stream(6))


def test_a_longer_sequence_agrees_on_the_windows_they_share(executor: Executor) -> None:
    short, long = Trace(executor, IDS[:32]), Trace(executor, IDS)
    for index in range(7):
        np.testing.assert_array_equal(short.stream(index), long.stream(index)[:32])
        for stream in ("keys", "values") if index else ():
            np.testing.assert_array_equal(short.stream(index, stream), long.stream(index, stream)[:32])


def test_empty_and_overlong_sequences_are_refused(executor: Executor) -> None:
    with pytest.raises(TokenError):
        Trace(executor, [])
    with pytest.raises(SequenceTooLongError):
        Trace(executor, [1] * 257)


# --- values that leave their range ------------------------------------------------------------------------------

QUERY, GATE, UP, KEY, LATE_UP = 200, 201, 202, 203, 204
EXITS = {
    QUERY: (0, "w_query"),
    GATE: (0, "w_gate"),
    UP: (0, "w_up"),
    KEY: (1, "w_key"),
    LATE_UP: (1, "w_up"),
}
STEPS = {QUERY: 1, GATE: 2, UP: 2, KEY: 3, LATE_UP: 5}


@pytest.fixture(scope="module")
def leaver(model: IntegerModel) -> Executor:
    return Executor(leaving(model, EXITS))


def programs_of(executor: Executor) -> list[Program]:
    config = executor.model.config
    return [config.programs[step.kind] for step in config.schedule]


def trace_streams(executor: Executor) -> list[str]:
    return [stream.name for stream in executor.model.config.streams]


def ids_with(places: dict[int, int], length: int = 90) -> list[int]:
    """Ordinary tokens, and those of `places` (position -> token)."""
    return [places.get(position, 40 + (7 * position) % 90) for position in range(length)]


@pytest.mark.parametrize("position", [0, 31, 32, 63, 64, 89])
@pytest.mark.parametrize("token", EXITS)
def test_a_trace_ends_where_a_value_leaves_its_range(leaver: Executor, token: int, position: int) -> None:
    trace = Trace(leaver, ids_with({position: token}))
    refusal = trace.refusal
    assert refusal is not None
    step, window = STEPS[token], position // 32
    assert (refusal.step, refusal.window) == (step, window)
    assert refusal.error.position == position
    writes = [program.writes for program in programs_of(leaver)]
    for index in range(7):
        assert trace.is_known(index) == (index <= step)
        for stream in trace_streams(leaver):
            written = [number for number in range(index) if stream in writes[number]]
            last = max(written, default=EMBEDDING if stream == "residual" else None)
            expected = 0 if last is None else 3 if last < step else window if last == step else 0
            assert trace.known_windows(index, stream) == expected


@pytest.mark.parametrize("token", EXITS)
def test_what_is_known_is_what_a_run_without_the_rest_computes(leaver: Executor, token: int) -> None:
    """Every window up to the step, and the windows in front of the failing one behind it."""
    ids = ids_with({70: token})
    trace, step = Trace(leaver, ids), STEPS[token]
    before = Trace(leaver, ids[:64])
    assert before.refusal is None
    for index in range(step + 2):
        for stream in trace_streams(leaver):
            for window in range(2 if trace.version(index, stream) is not None else 0):
                np.testing.assert_array_equal(
                    trace.window(index, window, stream), before.window(index, window, stream)
                )
    for number in range(step):  # the last window, by decoding window after window
        decoding, written = leaver.start(), {}
        known = [stream for stream in trace_streams(leaver) if trace.version(number, stream) is not None]
        for window in range(3):
            state = {stream: trace.window(number, window, stream) for stream in known}
            written = leaver.run_step(number, state, decoding)
            decoding.length += 32
        for stream, rows in written.items():
            np.testing.assert_array_equal(trace.window(number + 1, 2, stream), rows)


def test_nothing_is_said_about_what_is_not_known(leaver: Executor) -> None:
    trace = Trace(leaver, ids_with({40: GATE}))
    assert trace.stream(2).shape == (96, 64)
    assert trace.window(3, 0).shape == (32, 64)
    assert trace.stream(3, "keys").shape == (96, 2, 16)
    for unknown in (
        lambda: trace.stream(3),
        lambda: trace.window(3, 1),
        lambda: trace.window(4, 0, "keys"),
        lambda: trace.stream(6),
        lambda: trace.require(3),
    ):
        with pytest.raises(OutOfRange, match="gate of layer 0 at position 40"):
            unknown()


def test_the_first_window_counts_not_the_first_operator(leaver: Executor) -> None:
    """`up` is looked at before `gate`, in all rows: the error of the whole step names a row of window 2."""
    ids = ids_with({80: UP, 5: GATE})
    with pytest.raises(OutOfRange, match="up of layer 0 at position 80"):
        leaver.feed(ids, leaver.start())
    refusal = Trace(leaver, ids).refusal
    assert refusal is not None
    assert (refusal.step, refusal.window, refusal.error.tensor) == (2, 0, "gate")


def test_the_first_step_counts_not_the_first_position(leaver: Executor) -> None:
    """Boundaries are compared layer by layer, so the step that fails first ends the trace, wherever it does."""
    trace = Trace(leaver, ids_with({3: LATE_UP, 85: QUERY}))
    assert trace.refusal is not None
    assert (trace.refusal.step, trace.refusal.window) == (1, 2)


def test_a_window_behind_the_failing_one_is_kept_apart(leaver: Executor) -> None:
    """A query that leaves its range breaks its own window only; those behind it are no part of what is known of the boundary."""
    trace = Trace(leaver, ids_with({33: QUERY}))
    assert trace.known_windows(2) == 1 and trace.provable_windows(2) == [0, 2]
    assert trace.provable_window(2, 2).shape == (32, 64)
    for unknown in (
        lambda: trace.window(2, 2),
        lambda: trace.provable_window(2, 1),
        lambda: trace.provable_windows(3),
    ):
        with pytest.raises(OutOfRange):
            unknown()
    assert trace.provable_windows(1) == [0, 1, 2] and trace.provable_windows(0, "keys") == []
    np.testing.assert_array_equal(trace.window(2, 0), Trace(leaver, ids_with({33: QUERY})[:32]).window(2, 0))
