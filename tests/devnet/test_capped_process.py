"""A measured call in a process of its own returns its result, or says which limit it passed."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from devnet.benchmarks.capped_process import (
    CallFailed,
    DidNotFit,
    Limits,
    call_in_process,
    default_limits,
    may_fit_now,
    unfit,
)

HERE = "tests.devnet.test_capped_process"
ROOMY = Limits(memory_mb=4000, seconds=120)


def hoard(argument: dict[str, Any]) -> dict[str, Any]:
    """Runs in the child: keep some memory for a while."""
    kept = bytearray(argument["mb"] << 20)
    kept[:: 1 << 12] = b"x" * len(kept[:: 1 << 12])
    time.sleep(argument["seconds"])
    return {"pid": os.getpid(), "bytes": len(kept)}


def fail(argument: dict[str, Any]) -> dict[str, Any]:
    """Runs in the child: end with an error, or as a system short of memory ends it."""
    if argument["killed"]:
        os.kill(os.getpid(), signal.SIGKILL)
    raise ValueError("the child says why")


def test_result_and_peak_are_those_of_another_process() -> None:
    own_load = bytearray(256 << 20)  # what this process holds is not the child's
    own_load[:: 1 << 12] = b"x" * len(own_load[:: 1 << 12])
    small = call_in_process(f"{HERE}:hoard", {"mb": 1, "seconds": 0}, ROOMY)
    large = call_in_process(f"{HERE}:hoard", {"mb": 200, "seconds": 0}, ROOMY)
    assert small.result["pid"] != os.getpid() and large.result["bytes"] == 200 << 20
    assert small.peak_rss_mb < 200 < large.peak_rss_mb < small.peak_rss_mb + 256
    assert len(own_load) == 256 << 20


def test_a_call_above_its_memory_is_ended_and_reported() -> None:
    with pytest.raises(DidNotFit, match="needs more than"):
        call_in_process(f"{HERE}:hoard", {"mb": 600, "seconds": 60}, Limits(memory_mb=300, seconds=120))


def test_a_call_above_its_time_is_ended_and_reported() -> None:
    started = time.monotonic()
    with pytest.raises(DidNotFit, match="needs more than 1 s"):
        call_in_process(f"{HERE}:hoard", {"mb": 1, "seconds": 600}, Limits(memory_mb=4000, seconds=1))
    assert time.monotonic() - started < 300


def test_an_error_is_quoted_and_a_kill_counts_as_memory() -> None:
    with pytest.raises(CallFailed, match="the child says why"):
        call_in_process(f"{HERE}:fail", {"killed": False}, ROOMY)
    with pytest.raises(DidNotFit, match="ran out of memory"):
        call_in_process(f"{HERE}:fail", {"killed": True}, ROOMY)


def test_what_did_not_fit_is_tried_again_only_with_clearly_more_room() -> None:
    kept = unfit("needs more", Limits(1000, 100))
    assert not may_fit_now(kept, Limits(1000, 100)) and not may_fit_now(kept, Limits(1100, 110))
    assert may_fit_now(kept, Limits(2000, 100)) and may_fit_now(kept, Limits(1000, 200))
    assert not may_fit_now({"prove_s": 1.0}, Limits(2000, 200))


def test_limits_never_exceed_what_is_asked_for() -> None:
    assert default_limits(0.5, 7) == Limits(512, 7)
    assert default_limits(1e6, 7).memory_mb < 1e9
