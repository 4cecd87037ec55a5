"""Runs the tests against mutants, one at a time, in a scratch copy."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from .chain import warm_chain
from .mutants import Mutant
from .solc import warm_compiler
from .targets import Target

SHORTEST_LIMIT_S = 20.0
LIMIT_FACTOR = 2
"""The run without a mutation compiles everything, or runs the tests in both ways: twice is four times the usual."""
UNOPTIMISED = {"optimizer": {"enabled": False}}
"""Generated verifiers mean the same without the optimiser, which takes most of the time of a compilation."""
FIRST_TESTS = 25
"""So many tests that failed on neighbours of a mutant run before all others."""
FORGE = ("node", "contracts/solc/forge.js")
FORGE_SETTINGS = {"FOUNDRY_DYNAMIC_TEST_LINKING": "true"}
"""With it, Forge compiles the mutated contract and what imports it, but not the tests that deploy it."""

FORKABLE = {"NUMBA_THREADING_LAYER": "workqueue"}
"""GNU OpenMP, Numba's choice otherwise, ends a process that is forked after a parallel kernel has run."""


class BrokenSetup(RuntimeError):
    """The tests fail without any mutation, or something else makes the outcomes worthless."""


@dataclass(frozen=True)
class Outcome:
    """by: the first test that failed.

    outcome: caught; timeout; pinned (only a pin noticed: a test that compares with what was there before);
    survived; invalid (does not compile).
    """

    outcome: str
    by: str
    seconds: float

    def facts(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


class Runner(Protocol):
    """Something that runs a target's tests on one mutant, or on none."""

    def run(self, mutant: Mutant | None, limit_s: float) -> Outcome: ...


def checked_baseline(runner: Runner) -> tuple[Outcome, float]:
    """What the tests say without a mutation, and the time limit that follows. Raises BrokenSetup if they fail."""
    baseline = runner.run(None, 3600)
    if baseline.outcome != "survived":
        raise BrokenSetup(f"the tests do not pass without a mutation: {baseline.by}")
    return baseline, max(SHORTEST_LIMIT_S, LIMIT_FACTOR * baseline.seconds)


class Worker(AbstractContextManager["Worker"]):
    """A process in the copy that answers a line of JSON with another."""

    def __init__(self, copy: Path, environment: Mapping[str, str], module: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"tests.mutation.{module}", *arguments],
            cwd=copy,
            env={**os.environ, **environment, **FORKABLE, "PYTHONPATH": str(copy), "PYTHONHASHSEED": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        ready = self._answer()
        if not Path(str(ready["ready"])).is_relative_to(copy):
            raise BrokenSetup(f"the worker imports {ready['ready']}, which is not in {copy}")

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise BrokenSetup("the worker ended; its standard error says why")
        return dict(json.loads(line))

    def ask(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """The answer. Raises BrokenSetup when the worker ends, or cannot say anything."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        if answer["outcome"] == "broken":
            raise BrokenSetup(str(answer["by"]))
        return answer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:  # it is busy with a mutant that does not end
            self.process.kill()
            self.process.wait()


class PytestRunner(AbstractContextManager["PytestRunner"]):
    """Talks to workers in the copy; a mutated template is written there for the time of its run.

    `collected` answers first, in a fraction of the time; `worker` runs what cannot be told there.
    """

    def __init__(self, copy: Path, tests: tuple[str, ...], pins: tuple[str, ...] = ()) -> None:
        self.copy, self.tests, self.pins = copy, tests, pins
        self.stack = ExitStack()
        self.environment = {
            **self.stack.enter_context(warm_compiler(copy, UNOPTIMISED)),
            **self.stack.enter_context(warm_chain(copy)),
        }
        self.worker = self.stack.enter_context(Worker(copy, self.environment, "worker"))
        self.collected: dict[tuple[str, ...], Worker] = {}
        self.failed: dict[str, list[str]] = {}

    def run(self, mutant: Mutant | None, limit_s: float) -> Outcome:
        """Raises BrokenSetup when the tests cannot say anything about the mutant."""
        job: dict[str, Any] = {"tests": self.tests, "pins": self.pins, "limit_s": limit_s}
        job |= {"module": None, "path": "", "text": "", "first": []}
        if mutant is None:
            return self._outcome(job)
        places = (f"{mutant.path}:{mutant.function}", mutant.path)
        job["first"] = [test for place in places for test in self.failed.get(place, [])]
        if mutant.path.endswith(".py"):
            text = (self.copy / mutant.path).read_text(encoding="utf-8")
            module = mutant.path.removesuffix(".py").replace("/", ".")
            outcome = self._outcome(job | {"module": module, "path": mutant.path, "text": mutant.apply(text)})
        else:
            with mutated_file(self.copy, mutant):
                outcome = self._outcome(job | {"path": mutant.path})
        if outcome.outcome == "caught":
            for place in places:
                others = [test for test in self.failed.get(place, []) if test != outcome.by]
                self.failed[place] = [outcome.by, *others][:FIRST_TESTS]
        return outcome

    def _outcome(self, job: dict[str, Any]) -> Outcome:
        answer = self._collected(self.tests).ask(job)
        seconds = float(answer["seconds"])
        if answer["outcome"] == "survived" and self.pins:
            answer = self._collected(self.pins).ask(job)
            seconds += float(answer["seconds"])
            if answer["outcome"] == "caught":
                answer["outcome"] = "pinned"
        if answer["outcome"] == "unknown" or not job["path"]:
            answer = self.worker.ask(job)
            seconds += float(answer["seconds"])
        return Outcome(str(answer["outcome"]), str(answer["by"]), round(seconds, 2))

    def _collected(self, tests: tuple[str, ...]) -> Worker:
        if tests not in self.collected:
            worker = Worker(self.copy, self.environment, "collected", *tests)
            self.collected[tests] = self.stack.enter_context(worker)
        return self.collected[tests]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.close()


class ForgeRunner(AbstractContextManager["ForgeRunner"]):
    """Runs Forge in the copy. Every mutant starts with what was compiled without a mutation.

    nearest: path of a mutated file -> a test file that runs before all others, where those take long to compile.
    """

    def __init__(
        self, copy: Path, commands: tuple[tuple[str, ...], ...], nearest: Mapping[str, str] | None = None
    ) -> None:
        self.copy, self.commands, self.nearest = copy, commands, nearest or {}
        self.stack = ExitStack()
        self.compiler = self.stack.enter_context(warm_compiler(copy))

    def run(self, mutant: Mutant | None, limit_s: float) -> Outcome:
        """One Forge run after the other, up to the first that fails."""
        started = time.monotonic()
        outcome, by = "survived", ""
        commands = self.commands
        if mutant is not None and mutant.path in self.nearest:
            commands = (("test", "--fail-fast", "--match-path", self.nearest[mutant.path]), *commands)
        with self._compiled_before(mutant), mutated_file(self.copy, mutant):
            for command in commands:
                left = limit_s - (time.monotonic() - started)
                outcome, by = self._forge(command, max(1.0, left))
                if outcome != "survived":
                    break
        return Outcome(outcome, by, round(time.monotonic() - started, 2))

    @contextmanager
    def _compiled_before(self, mutant: Mutant | None) -> Iterator[None]:
        """Without a mutant, what Forge compiles is kept; with one, it is put back afterwards."""
        yield
        for name in ("out", "cache"):
            made, kept = self.copy / name, self.copy / f"{name}-kept"
            source, goal = (made, kept) if mutant is None else (kept, made)
            if source.exists():
                shutil.rmtree(goal, ignore_errors=True)
                shutil.copytree(source, goal)

    def _forge(self, command: tuple[str, ...], limit_s: float) -> tuple[str, str]:
        process = subprocess.Popen(
            [*FORGE, *command],
            cwd=self.copy,
            env={**os.environ, **FORGE_SETTINGS, **self.compiler, "NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            return "timeout", f"more than {limit_s:.0f} s"
        if process.returncode == 0:
            return "survived", ""
        if "Compiler run failed" in output or "Compiler error" in output:
            return "invalid", "it does not compile"
        failed = re.search(r"\[FAIL[^\n]*\] (\w+)\(", output)
        suite = re.search(r"failing tests? in (\S+?):", output)
        return (
            "caught",
            f"{suite.group(1) if suite else 'forge'}::{failed.group(1) if failed else output[-200:]}",
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.close()


@contextmanager
def mutated_file(copy: Path, mutant: Mutant | None) -> Iterator[None]:
    """The mutant's file in the copy, mutated for a while."""
    if mutant is None:
        yield
        return
    path = copy / mutant.path
    original = path.read_text(encoding="utf-8")
    try:
        path.write_text(mutant.apply(original), encoding="utf-8")
        yield
    finally:
        path.write_text(original, encoding="utf-8")


def runner_of(target: Target, copy: Path) -> PytestRunner | ForgeRunner:
    """The runner of a target's tests."""
    if target.tests:
        return PytestRunner(copy, target.tests, target.pins)
    return ForgeRunner(copy, target.commands, target.nearest)
