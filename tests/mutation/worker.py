"""Runs tests against one mutated module after the other: python -m tests.mutation.worker, inside the copy.

Reads one JSON job per line and answers with one JSON result per line. What no mutant touches (pytest, NumPy, Numba,
the field kernels) is imported once; each job then runs in a fork of its own, with the mutated source in place of the
module's. The file of the module stays as it is, so that compiled kernels and bytecode are found in their caches.

    job     {"module": name or null, "path": file, "text": source, "tests": [...], "pins": [...], "first": [...],
             "limit_s": seconds}
    result  {"outcome": "survived" | "caught" | "pinned" | "invalid" | "timeout" | "broken", "by": test, "seconds": ...}
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NoReturn

PRELOADED = (
    "pytest",
    "hypothesis",
    "numpy",
    "numba",
    "eth_hash.auto",
    "eth_abi",
    "httpcore",
    "httpx",
    "solcx",
    "prover.curve.tower_kernels",
    "prover.field.arrays",
    "prover.field.ifma",
    "prover.field.inversion",
    "prover.field.threads",
)
LARGEST_DATA = 3 << 30
"""Bytes that a mutant may ask for: a loop that never ends must not take the machine with it."""
DOES_NOT_COMPILE = "CompilationFailed"


class MutatedModule(importlib.machinery.SourceFileLoader):
    """Loads a module from another text than its file's."""

    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self.text, self.loaded = text, False

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.text, self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        self.loaded = True
        super().exec_module(module)


class MutationFinder(importlib.abc.MetaPathFinder):
    """Finds the mutated module before anybody else does."""

    def __init__(self, name: str, path: str, text: str) -> None:
        self.name, self.loader = name, MutatedModule(name, path, text)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.loader.path, loader=self.loader)


class FirstFailure:
    """A pytest plugin that keeps the first failure. first: names of tests that run before the others."""

    def __init__(self, first: Sequence[str] = ()) -> None:
        self.by, self.text, self.passed = "", "", 0
        self._rank = {test: index for index, test in reversed(list(enumerate(first)))}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items.sort(key=lambda item: self._rank.get(item.nodeid, len(self._rank)))

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and not self.by:
            self.by, self.text = f"import of {report.nodeid}", str(report.longrepr)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.by:
            self.by, self.text = report.nodeid, str(report.longrepr)
        if report.passed and report.when == "call":
            self.passed += 1

    def answer(self, code: int | str, outcome: str) -> dict[str, Any]:
        """What pytest's exit status and the reports say. outcome: what a failure means."""
        if self.by:
            return {"outcome": "invalid" if DOES_NOT_COMPILE in self.text else outcome, "by": self.by}
        if code != 0 or not self.passed:
            return {"outcome": "broken", "by": f"pytest left with {code}, {self.passed} tests passed"}
        return {"outcome": "survived", "by": ""}


def run_tests(job: dict[str, Any]) -> dict[str, Any]:
    """In the fork: pytest on the mutated module."""
    import pytest

    finder = None
    if job["module"]:
        if job["module"] in sys.modules:
            return {"outcome": "broken", "by": f"{job['module']} was imported before it could be mutated"}
        finder = MutationFinder(job["module"], str(Path(job["path"]).resolve()), job["text"])
        sys.meta_path.insert(0, finder)
    for outcome, tests in (("caught", job["tests"]), ("pinned", job["pins"])):
        if not tests:
            continue
        plugin = FirstFailure(job["first"])
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests], plugins=[plugin])
        answer = plugin.answer(int(code), outcome)
        if answer["outcome"] != "survived":
            return answer
    unseen = finder is not None and not finder.loader.loaded
    return {"outcome": "survived", "by": f"no test imports {job['module']}" if unseen else ""}


def _descendants(pid: int) -> list[int]:
    """Every process below one, while they still have their parents."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(folder.name))
    found, waiting = [], [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


class Fork:
    """A job in a process of its own, killed with all that it started when its time is over.

    After `Fork(...)` there are two processes. In the parent `result` is the answer; in the child it is None, and the
    child has to `finish`.
    """

    def __init__(self, limit_s: float, log: Path) -> None:
        self.result: dict[str, Any] | None = None
        started = time.monotonic()
        reader, self._writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(output, 1)
            os.dup2(output, 2)
            resource.setrlimit(resource.RLIMIT_DATA, (LARGEST_DATA, LARGEST_DATA))
            return
        os.close(self._writer)
        late = not _ends_before(pid, started + limit_s)
        with os.fdopen(reader) as pipe:
            text = "" if late else pipe.read()
        if late:
            answer = {"outcome": "timeout", "by": f"more than {limit_s:.0f} s"}
        else:
            # a mutant that takes the whole process with it has been noticed as well
            answer = json.loads(text) if text else {"outcome": "caught", "by": "the process ended"}
        self.result = {**answer, "seconds": round(time.monotonic() - started, 2)}

    def finish(self, make_answer: Callable[[], dict[str, Any]]) -> NoReturn:
        """In the child: send the answer and end."""
        status = 1
        try:
            try:
                answer = make_answer()
            except Exception as error:
                answer = {"outcome": "broken", "by": f"{type(error).__name__}: {error}"}
            os.write(self._writer, json.dumps(answer).encode())
            status = 0
        finally:
            os._exit(status)


def _ends_before(pid: int, deadline: float) -> bool:
    """Waits for a child; kills it and all below it at the deadline."""
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        if time.monotonic() > deadline:
            for process in (*_descendants(pid), pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            os.waitpid(pid, 0)
            return False
        time.sleep(0.01)
    return True


def main() -> None:
    """Serve jobs until the input ends."""
    here = Path.cwd().resolve()
    import prover

    if not Path(str(prover.__file__)).resolve().is_relative_to(here):
        raise SystemExit(f"prover was imported from {prover.__file__}, not from the copy in {here}")
    for name in PRELOADED:
        importlib.import_module(name)
    print(json.dumps({"ready": str(prover.__file__)}), flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        fork = Fork(job["limit_s"], here / "mutation.log")
        if fork.result is None:
            fork.finish(partial(run_tests, job))
        print(json.dumps(fork.result), flush=True)


if __name__ == "__main__":
    main()
