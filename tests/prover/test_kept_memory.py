"""What is freed is not given back to the system: arrays of a pass are not mapped anew each time."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from prover.kept_memory import KEPT_BYTES

COUNT = """
import ctypes
import resource
import sys
import numpy as np
from prover.kept_memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(200_000) for _ in range(5)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

PR_SET_THP_DISABLE = 41  # a page is 4 KiB, whatever the machine is set to
ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
if sys.argv[1] == "kept":
    keep_freed_memory()
print(faults(), max(faults() for _ in range(5)))
"""
PAGES = 5 * 200_000 * 8 // 4096


def counted(*, how: str, **environment: str) -> tuple[int, int]:
    """Page faults of a pass in a fresh process: the first, and the most of five others."""
    ran = subprocess.run(
        [sys.executable, "-c", COUNT, how],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ".", **environment},
    )
    first, later = map(int, ran.stdout.split())
    return first, later


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_pages_are_mapped_once() -> None:
    first, later = counted(how="kept")
    assert first > PAGES // 2 and later < PAGES // 20
    assert counted(how="given back")[1] > PAGES // 2


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_what_an_operator_set_for_malloc_stays() -> None:
    assert counted(how="kept", MALLOC_TRIM_THRESHOLD_="131072")[1] > PAGES // 2


def test_glibc_learns_of_no_larger_block() -> None:
    assert KEPT_BYTES + 64 < 32 << 20
