"""Mutants of Python code that writes Yul: those of the Python, those of the Yul inside its strings, and lines less."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from .mutants import Mutant, Source, numbered
from .python_mutator import Wanted, python_mutants
from .solidity_mutator import yul_mutants_within

_YUL = re.compile(r":=|\b(?:mload|mstore|addmod|mulmod|add|sub|mul|eq|lt|gt|shl|shr|iszero|reject|\w+_\w+)\(")


def generator_mutants(path: str, text: str, wanted: Wanted = lambda function: True) -> list[Mutant]:
    """All mutants of the functions that are wanted."""
    source, tree = Source(path, text), ast.parse(text)
    found = list(python_mutants(path, text, wanted))
    functions = list(_functions(tree, ()))
    skipped = [
        (node.lineno, node.end_lineno or node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
    ]
    for start, end in _strings(text):
        line = source.line_of(start)
        function = _enclosing(functions, line)
        if not wanted(function) or any(first <= line <= last for first, last in skipped):
            continue
        if _YUL.search(text[start:end]):
            found += yul_mutants_within(source, function, start, end)
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr="append", value=target))):
                pass
            case ast.AugAssign(op=ast.Add(), target=target):
                pass
            case _:
                continue
        function = _enclosing(functions, node.lineno)
        if ast.unparse(target).endswith("lines") and wanted(function):
            start = source.offset(node.lineno, node.col_offset)
            end = source.offset(node.end_lineno or node.lineno, node.end_col_offset or 0)
            what = " ".join(text[start:end].split())
            if not re.search(r"""append\(f?"//""", what):
                found.append(
                    source.mutant(function, "statement", start, end, "pass", f"without {what[:100]}")
                )
    return numbered(found)


def _functions(node: ast.AST, names: tuple[str, ...]) -> Iterator[tuple[int, int, str]]:
    """(first line, last line, qualified name), inner ones after the outer ones."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inner = (*names, child.name)
            yield child.lineno, child.end_lineno or child.lineno, ".".join(inner)
            yield from _functions(child, inner)


def _enclosing(functions: list[tuple[int, int, str]], line: int) -> str:
    inside = [name for first, last, name in functions if first <= line <= last]
    return inside[-1] if inside else "<module>"


def _strings(text: str) -> Iterator[tuple[int, int]]:
    """Where the strings of a Python source are, documentation left out (before 3.12 an f-string is one token)."""
    source = Source("", text)
    middle: list[tuple[int, int]] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        start = source.starts[token.start[0] - 1] + token.start[1]
        end = source.starts[token.end[0] - 1] + token.end[1]
        name = tokenize.tok_name[token.type]
        if name == "STRING" and not token.string.lstrip("rRbBfF").startswith('"""'):
            yield start, end
        elif name == "FSTRING_START":
            middle.append((start, end))
        elif name == "FSTRING_END" and middle:
            yield middle.pop()[0], end
