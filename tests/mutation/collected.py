"""Runs tests that are collected once: python -m tests.mutation.collected TEST..., inside the copy.

Importing everything and collecting the tests takes longer than most tests that fail. So it happens once, in a process
that then forks for every mutant; the fork gives each live function of the mutated file the code it has in the mutated
source, and runs the tests. That is the same as importing the mutated file if

- nothing differs outside functions: no constant of a module or a class, no default value, no decorator;
- the changed functions did not run while modules were imported and tests collected (a profiler watches);
- every changed function is found alive, with as many free variables as before, and Numba does not compile it.

A mutant of another file, a template, is written to it; that is the same if nobody opened it before. For a mutant that
fails this test the answer is "unknown", and `worker` has to import it afresh.

The protocol is that of `worker`; "tests" and "pins" are not read.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest
from numba.core.dispatcher import Dispatcher

from .worker import PRELOADED, FirstFailure, Fork

UNKNOWN = {"outcome": "unknown", "by": ""}
FUNCTION_FLAGS = 0x3
"""CO_OPTIMIZED and CO_NEWLOCALS: set in the code of functions, not in that of modules and class bodies."""


class CannotReplace(ValueError):
    """The mutant has to be imported afresh."""


class Watch:
    """What happened while it was on: the code of every Python function that was called, every file that was opened."""

    def __init__(self) -> None:
        self.called: set[CodeType] = set()
        self.opened: set[str] = set()
        self._on = False
        sys.addaudithook(self._audited)  # for good: hooks cannot be removed

    def start(self) -> None:
        self._on = True
        sys.setprofile(self._profiled)

    def stop(self) -> None:
        self._on = False
        sys.setprofile(None)

    def _profiled(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            self.called.add(frame.f_code)

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._on and event == "open" and isinstance(arguments[0], str | os.PathLike):
            self.opened.add(str(Path(arguments[0]).resolve()))


def is_function(code: CodeType) -> bool:
    """Whether this is the code of a function, and not of a module or of the body of a class."""
    return code.co_flags & FUNCTION_FLAGS == FUNCTION_FLAGS


def changed_functions(before: CodeType, after: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """(before, after) of the outermost functions that differ. Raises CannotReplace if anything else does."""
    if before == after:
        return
    if is_function(before) and is_function(after):
        yield before, after
        return
    if _without_inner(before) != _without_inner(after):
        raise CannotReplace(f"{before.co_name} differs outside functions")
    for old, new in zip(_inner(before), _inner(after), strict=True):
        yield from changed_functions(old, new)


def _inner(code: CodeType) -> list[CodeType]:
    return [value for value in code.co_consts if isinstance(value, CodeType)]


def _without_inner(code: CodeType) -> tuple[object, ...]:
    constants = [
        ("code", value.co_name) if isinstance(value, CodeType) else (type(value), repr(value))
        for value in code.co_consts
    ]
    return (code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_flags)


def replace(path: str, original: str, mutated: str, ran: set[CodeType]) -> None:
    """Give the functions of a file the code that they have in the mutated text. Raises CannotReplace."""
    file = str(Path(path).resolve())
    try:
        codes = [compile(text, file, "exec", dont_inherit=True) for text in (original, mutated)]
    except SyntaxError as error:
        raise CannotReplace("it does not compile") from error
    pairs = list(changed_functions(*codes))
    if not pairs:
        raise CannotReplace("nothing differs")
    alive: dict[tuple[str, int], list[FunctionType]] = {}
    compiled: set[tuple[str, int]] = set()
    for thing in gc.get_objects():
        kind = type(thing)  # isinstance would ask objects that answer with warnings
        if kind is FunctionType and thing.__code__.co_filename == file:
            alive.setdefault(_place(thing.__code__), []).append(thing)
        if issubclass(kind, Dispatcher):
            compiled.add(_place(thing.py_func.__code__))
    called = {_place(code) for code in ran if code.co_filename == file}
    for old, new in pairs:
        if called & {_place(code) for code in _with_all_inside(old)}:
            raise CannotReplace(f"{old.co_qualname} ran while the tests were collected")
        if _place(old) in compiled:
            raise CannotReplace(f"{old.co_qualname} is compiled")
        functions = alive.get(_place(old), [])
        if not functions or any(function.__code__.co_freevars != new.co_freevars for function in functions):
            raise CannotReplace(f"{old.co_qualname} is not found, or is another closure")
        for function in functions:
            function.__code__ = new


def _place(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


def _with_all_inside(code: CodeType) -> Iterator[CodeType]:
    yield code
    for inner in _inner(code):
        yield from _with_all_inside(inner)


class Server:
    """A pytest plugin: once the tests are collected it answers jobs, each in a fork that goes on to run the tests."""

    def __init__(self, watch: Watch, answers: int, log: Path) -> None:
        self.watch, self.answers, self.log = watch, answers, log

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Around pytest's own loop, which runs in forks only. They end here: to tidy up would take longer."""
        self.watch.stop()
        self._say({"ready": sys.modules["prover"].__file__, "tests": len(session.items)})
        for line in sys.stdin:
            job = json.loads(line)
            fork = Fork(job["limit_s"], self.log)
            if fork.result is not None:
                self._say(fork.result)
                continue
            if not self._is_mutated(job):
                fork.finish(partial(dict, UNKNOWN))
            failure = FirstFailure(job["first"])
            failure.pytest_collection_modifyitems(session.items)
            session.config.pluginmanager.register(failure)
            try:
                yield
            except BaseException as error:
                fork.finish(partial(failure.answer, type(error).__name__, "caught"))
            fork.finish(partial(failure.answer, 0, "caught"))
        session.items.clear()
        return (yield)

    def _is_mutated(self, job: dict[str, Any]) -> bool:
        """Whether the tests now see the mutant, if there is one."""
        if not job["module"]:
            return str(Path(job["path"]).resolve()) not in self.watch.opened
        try:
            replace(
                job["path"],
                Path(job["path"]).read_text(encoding="utf-8"),
                job["text"],
                self.watch.called,
            )
        except CannotReplace:
            return False
        return True

    def _say(self, answer: dict[str, Any]) -> None:
        os.write(self.answers, (json.dumps(answer) + "\n").encode())


def main(tests: list[str]) -> None:
    """Collect, and serve jobs until the input ends."""
    answers, log = os.dup(1), Path.cwd() / "collected.log"
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
    for name in PRELOADED:
        __import__(name)
    watch = Watch()
    watch.start()
    pytest.main(["-x", "-q", "-s", "-p", "no:cacheprovider", *tests], plugins=[Server(watch, answers, log)])


if __name__ == "__main__":
    main(sys.argv[1:])
