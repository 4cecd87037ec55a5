"""Mutants of Python code, from its syntax tree.

    constant    an integer one larger, one smaller
    comparison  < and <=, > and >=, == and !=, in and not in, is and is not
    arithmetic  + and -
    logic       and and or; not is dropped
    check       a raise does nothing; a call that only checks is gone
    absorption  a challenge that absorbs nothing
    element     one element less of what is absorbed, or of an operator's relations

Left alone: messages (whatever stands in a raise or in an f-string), annotations, decorators.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

from .mutants import Mutant, Source, numbered

COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
}
CHECKING_CALL = re.compile(r"^_?(check|validate|verify|absorb)\w*$")
ELEMENTS_OF = re.compile(r"(^|\.)(relations|header|digest|challenge|words|sets|weights)(\.|$)")
"""Functions whose list and tuple displays lose an element at a time."""

Wanted = Callable[[str], bool]


def python_mutants(path: str, text: str, wanted: Wanted = lambda function: True) -> list[Mutant]:
    """All mutants of the functions that are wanted (by qualified name; `<module>` and class bodies too)."""
    source = Source(path, text)
    return numbered(_Walker(source, wanted).walk(ast.parse(text)))


class _Walker:
    def __init__(self, source: Source, wanted: Wanted) -> None:
        self.source, self.wanted = source, wanted
        self.names: list[str] = []

    @property
    def function(self) -> str:
        return ".".join(self.names) or "<module>"

    def walk(self, node: ast.AST) -> Iterator[Mutant]:
        """The mutants of a node and of everything below it."""
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            self.names.append(node.name)
            for child in node.body:
                yield from self.walk(child)
            if isinstance(node, ast.FunctionDef):
                for default in (*node.args.defaults, *(d for d in node.args.kw_defaults if d)):
                    yield from self.walk(default)
            self.names.pop()
            return
        if isinstance(node, ast.Raise):
            if self.wanted(self.function):
                yield self._replaced(node, "check", "pass", "raise does nothing")
            return
        if isinstance(node, ast.JoinedStr | ast.Assert):
            return
        if self.wanted(self.function):
            yield from self._here(node)
        for field, value in ast.iter_fields(node):
            if field == "annotation":
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from self.walk(child)

    # --- the rules --------------------------------------------------------------------------------------------

    def _here(self, node: ast.AST) -> Iterator[Mutant]:
        match node:
            case ast.Constant(value=bool()):
                pass
            case ast.Constant(value=int() as value):
                for other in (value + 1, value - 1):
                    text = str(other) if other >= 0 else f"({other})"
                    yield self._replaced(node, "constant", text, f"{value} becomes {other}")
            case ast.Compare():
                for left, operator, right in zip(
                    [node.left, *node.comparators], node.ops, node.comparators, strict=False
                ):
                    old, new = COMPARISONS[type(operator)]
                    yield from self._between(left, right, "comparison", old, new)
            case ast.BinOp(op=ast.Add()):
                yield from self._between(node.left, node.right, "arithmetic", "+", "-")
            case ast.BinOp(op=ast.Sub()):
                yield from self._between(node.left, node.right, "arithmetic", "-", "+")
            case ast.AugAssign(op=ast.Add()):
                yield from self._between(node.target, node.value, "arithmetic", "+=", "-=")
            case ast.AugAssign(op=ast.Sub()):
                yield from self._between(node.target, node.value, "arithmetic", "-=", "+=")
            case ast.BoolOp():
                old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
                for left, right in zip(node.values, node.values[1:], strict=False):
                    yield from self._between(left, right, "logic", old, new)
            case ast.UnaryOp(op=ast.Not()):
                start = self._span(node)[0]
                yield self.source.mutant(self.function, "logic", start, start + 3, "", "not is dropped")
            case ast.Expr(value=ast.Call() as call) if CHECKING_CALL.match(_called(call)):
                yield self._replaced(node, "check", "pass", f"{_called(call)}(...) is not called")
            case ast.Call() if _called(node) == "challenge" and len(node.args) > 1:
                absorbed = node.args[1]
                if ast.unparse(absorbed) != "()":
                    yield self._replaced(absorbed, "absorption", "()", "absorbs nothing")
        yield from self._elements(node)

    def _elements(self, node: ast.AST) -> Iterator[Mutant]:
        """Element by element of the displays below the node, where elements are dropped."""
        displays: list[ast.AST] = []
        if isinstance(node, ast.List | ast.Tuple) and ELEMENTS_OF.search(self.function):
            displays = [node]
        elif isinstance(node, ast.Call) and _called(node) == "challenge" and len(node.args) > 1:
            displays = [node.args[1]]
        for display in displays:
            if not isinstance(display, ast.List | ast.Tuple) or not isinstance(display.ctx, ast.Load):
                continue
            for element in display.elts:
                if isinstance(element, ast.Constant):
                    continue  # a name in a list of axes: without it there is no program
                text = " ".join(ast.unparse(element).split())
                yield self._replaced(element, "element", "*()", f"without {text}")

    # --- spans ------------------------------------------------------------------------------------------------

    def _span(self, node: ast.AST) -> tuple[int, int]:
        start = self.source.offset(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        return start, self.source.offset(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]

    def _replaced(self, node: ast.AST, kind: str, text: str, change: str) -> Mutant:
        return self.source.mutant(self.function, kind, *self._span(node), text, change)

    def _between(self, left: ast.AST, right: ast.AST, kind: str, old: str, new: str) -> Iterator[Mutant]:
        """The operator is the only such text between its operands (there are only brackets besides)."""
        start, end = self._span(left)[1], self._span(right)[0]
        word = rf"\b{old}\b" if old.isalpha() or " " in old else re.escape(old)
        found = re.search(word.replace(r"\ ", r"\s+").replace(" ", r"\s+"), self.source.text[start:end])
        if found is None:
            raise ValueError(f"{self.source.path}: no {old} between {start} and {end}")
        yield self.source.mutant(
            self.function, kind, start + found.start(), start + found.end(), new, f"{old} becomes {new}"
        )


def _called(call: ast.Call) -> str:
    """The last part of the called name."""
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""
