"""One measured call in a process of its own, with a limit on memory and time.

The peak is that of a process that has done nothing else, and a call that does not fit ends without taking the
machine or the measurement with it: the process is the first that a system short of memory kills, it is killed
when its peak passes the limit, and it dies with whoever started it.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.bindings.npm_packages import PROJECT_ROOT

from ..errors import DevnetError

_POLL_S = 0.1
_CLEARLY = 1.2
_QUOTED_CHARACTERS = 400
_OUT_OF_MEMORY = ("MemoryError", "memory allocation of", "Cannot allocate memory", "DefaultCPUAllocator")
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class DidNotFit(DevnetError):
    """A call passed its memory or its time; `reason` is what to write in a table."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class CallFailed(DevnetError):
    """A call in a process of its own ended with an error; the message quotes the end of its output."""


@dataclass(frozen=True)
class Limits:
    """Largest peak resident memory and longest run of one call."""

    memory_mb: int
    seconds: float


@dataclass(frozen=True)
class Finished:
    """What a call returned, its process's peak resident memory, and its whole life, imports included."""

    result: dict[str, Any]
    peak_rss_mb: int
    seconds: float


def default_limits(memory_gb: float, seconds: float) -> Limits:
    """At most `memory_gb`, and nine tenths of what is free now."""
    free_mb = _available_mb()
    wanted = round(memory_gb * 1024)
    return Limits(wanted if free_mb is None else min(wanted, free_mb * 9 // 10), seconds)


def unfit(reason: str, limits: Limits) -> dict[str, Any]:
    """What is kept of a call that did not fit."""
    return {"did_not_fit": reason, "memory_mb": limits.memory_mb, "seconds": limits.seconds}


def may_fit_now(result: Mapping[str, Any], limits: Limits) -> bool:
    """Whether a kept call did not fit, but under limits that were clearly tighter than these."""
    return "did_not_fit" in result and (
        limits.memory_mb > _CLEARLY * result["memory_mb"] or limits.seconds > _CLEARLY * result["seconds"]
    )


def call_in_process(target: str, argument: Mapping[str, Any], limits: Limits) -> Finished:
    """`module:function`(argument) in a fresh interpreter; argument and result are JSON objects.

    Raises DidNotFit, or CallFailed for any other end than a result.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, answer, log = (Path(folder) / name for name in ("given.json", "answer.json", "log"))
        given.write_text(json.dumps(argument), encoding="utf-8")
        command = [sys.executable, "-m", __name__, target, str(given), str(answer)]
        paths = [str(PROJECT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        started = time.monotonic()
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
            )
        try:
            peak_mb = _watch(process, limits, started)
        finally:
            if process.poll() is None:  # whatever ended the watch, the process does not outlive it
                process.kill()
                process.wait()
        if process.returncode == 0:
            body = json.loads(answer.read_text(encoding="utf-8"))
            return Finished(body["result"], body["peak_rss_mb"], time.monotonic() - started)
        text = log.read_text(encoding="utf-8", errors="replace").strip()
        if process.returncode == -signal.SIGKILL or any(words in text for words in _OUT_OF_MEMORY):
            raise DidNotFit(f"ran out of memory after {peak_mb / 1024:.1f} GB")
        raise CallFailed(
            f"{target} ended with status {process.returncode}: {text[-_QUOTED_CHARACTERS:] or 'no output'}"
        )


def _watch(process: subprocess.Popen[bytes], limits: Limits, started: float) -> int:
    """Wait for a child's end and enforce the limits; the highest peak resident MB that was seen."""
    seen_mb = 0
    while process.poll() is None:
        seen_mb = max(seen_mb, _peak_mb(process.pid) or 0)
        if seen_mb > limits.memory_mb:
            raise DidNotFit(f"needs more than {limits.memory_mb / 1024:.1f} GB")
        if time.monotonic() - started > limits.seconds:
            raise DidNotFit(f"needs more than {limits.seconds:.0f} s")
        time.sleep(_POLL_S)
    return seen_mb


def _peak_mb(pid: int | str) -> int | None:
    """Peak resident MB so far; None where the system does not tell."""
    return _proc_mb(Path(f"/proc/{pid}/status"), "VmHWM:")


def _own_peak_mb() -> int:
    """Of this program alone: on Linux the usage record also counts the process that it was forked from."""
    peak_mb = _peak_mb("self")
    if peak_mb is None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak_mb = peak // (2**20 if sys.platform == "darwin" else 1024)
    return peak_mb


def _available_mb() -> int | None:
    return _proc_mb(Path("/proc/meminfo"), "MemAvailable:")


def _proc_mb(path: Path, name: str) -> int | None:
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(name):
                return int(line.split()[1]) // 1024
    return None


def _serve(target: str, given: Path, answer: Path) -> None:
    """The child: dies with its parent, and before anything else on a machine without memory."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    result = function(json.loads(given.read_text(encoding="utf-8")))
    answer.write_text(json.dumps({"result": result, "peak_rss_mb": _own_peak_mb()}), encoding="utf-8")


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
