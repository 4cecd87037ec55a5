"""A mutant's code is put into functions that live, or it is said that this would not be the same as importing it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.mutation.collected import CannotReplace, Watch, replace

SOURCE = """\
from numba import njit

LIMIT = 10

def is_small(x, limit=LIMIT):
    return x < limit

def doubled(x):
    return x + x

FOUR = doubled(2)

def adder(step):
    def add(x):
        return x + step
    return add

ADD_ONE = adder(1)

class Counter:
    start = 3

    def next(self):
        return [value + 1 for value in [self.start]][0]

    @property
    def last(self):
        return self.start - 1

@njit
def compiled(x):
    return x + 3

TABLE = {"negate": lambda x: -x}
"""


@pytest.fixture
def planted(tmp_path: Path) -> tuple[ModuleType, Path, Watch]:
    path = tmp_path / "planted_functions.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("planted_functions", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    watch = Watch()
    watch.start()
    try:
        spec.loader.exec_module(module)
    finally:
        watch.stop()
    return module, path, watch


@pytest.mark.parametrize(
    ("old", "new", "expression", "value"),
    [
        ("x < limit", "x <= limit", "is_small(10)", True),
        ("value + 1", "value + 2", "Counter().next()", 5),
        ("self.start - 1", "self.start - 2", "Counter().last", 1),
        ("lambda x: -x", "lambda x: +x", "TABLE['negate'](7)", 7),
    ],
)
def test_living_functions_get_the_code_of_the_mutant(
    planted: tuple[ModuleType, Path, Watch], old: str, new: str, expression: str, value: object
) -> None:
    module, path, watch = planted
    assert SOURCE.count(old) == 1
    assert eval(expression, vars(module)) != value
    replace(str(path), SOURCE, SOURCE.replace(old, new), watch.called)
    assert eval(expression, vars(module)) == value


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("LIMIT = 10", "LIMIT = 11", "outside functions"),
        ("limit=LIMIT", "limit=-LIMIT", "outside functions"),
        ("start = 3", "start = 4", "outside functions"),
        ("doubled(2)", "doubled(3)", "outside functions"),
        ("x + x", "x - x", "doubled ran"),
        ("x + step", "x - step", "adder ran"),
        ("x + 3", "x + 4", "compiled is compiled"),
        ("def next(self)", "@property\n    def next(self)", "outside functions"),
        ("x < limit", "x <", "does not compile"),
        ("x < limit", "x < limit  # or not", "nothing differs"),
    ],
)
def test_what_ran_already_or_is_no_function_is_refused(
    planted: tuple[ModuleType, Path, Watch], old: str, new: str, reason: str
) -> None:
    module, path, watch = planted
    before = module.is_small.__code__
    with pytest.raises(CannotReplace, match=reason):
        replace(str(path), SOURCE, SOURCE.replace(old, new), watch.called)
    assert module.is_small.__code__ is before


def test_a_function_that_nobody_imported_is_refused(planted: tuple[ModuleType, Path, Watch]) -> None:
    _, path, watch = planted
    with pytest.raises(CannotReplace, match="not found"):
        replace(
            str(path.with_name("other.py")), SOURCE, SOURCE.replace("x < limit", "x > limit"), watch.called
        )


def test_an_opened_file_is_remembered(tmp_path: Path) -> None:
    early, late = tmp_path / "early", tmp_path / "late"
    early.write_text("1")
    late.write_text("2")
    watch = Watch()
    watch.start()
    early.read_text()
    watch.stop()
    late.read_text()
    assert str(early.resolve()) in watch.opened
    assert str(late.resolve()) not in watch.opened
