"""Mutants of Solidity and of Yul, from their tokens.

    constant    a number one larger, one smaller
    comparison  < and <=, > and >=, == and !=;  lt and gt, eq(a, b) and iszero(eq(a, b)), iszero(a) twice
    arithmetic  + and -, += and -=;  addmod and mulmod, add and sub, operands of sub exchanged, shl and shr
    logic       && and ||, ! is dropped;  and and or
    check       a require, a guarded rejection, an early return or a modifier is gone
    statement   an assignment, a store or a copy is gone
    absorption  a challenge's message is shorter by one word (Yul: its size)

Left alone: comments, strings, events, imports, declarations of errors and of interfaces' functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .mutants import Mutant, Source, numbered

Wanted = Callable[[str], bool]

_HIDDEN = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"[^\"\n]*\"|^\s*(?:pragma|import|error|emit|event|using)\b[^;]*;|\$\w+",
    re.DOTALL | re.MULTILINE,
)
_TOKEN = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?|[A-Za-z_]\w*|[-+*/=<>!&|:]{2,}|[^\s\w]")
_HEAD = re.compile(r"\b(?:function\s+(\w+)|(constructor)\b|modifier\s+(\w+))")
_YUL_SWAPS = {
    "lt": ("comparison", "gt"),
    "gt": ("comparison", "lt"),
    "addmod": ("arithmetic", "mulmod"),
    "mulmod": ("arithmetic", "addmod"),
    "add": ("arithmetic", "sub"),
    "shl": ("arithmetic", "shr"),
    "shr": ("arithmetic", "shl"),
    "and": ("logic", "or"),
    "or": ("logic", "and"),
    "minimum": ("comparison", "maximum"),
    "maximum": ("comparison", "minimum"),
}
_SOLIDITY_SWAPS = {
    "<": ("comparison", "<="),
    "<=": ("comparison", "<"),
    ">": ("comparison", ">="),
    ">=": ("comparison", ">"),
    "==": ("comparison", "!="),
    "!=": ("comparison", "=="),
    "+": ("arithmetic", "-"),
    "-": ("arithmetic", "+"),
    "+=": ("arithmetic", "-="),
    "-=": ("arithmetic", "+="),
    "&&": ("logic", "||"),
    "||": ("logic", "&&"),
}
_YUL_GUARD = re.compile(r"\bif\b[^{}]*\{[^{}]*\b(?:reject|revert)\([^{}]*\}")
_YUL_STORE = re.compile(r"^[ ]*(?:mstore|mcopy|calldatacopy|pop)\(.*\)[ ]*(?=$|//)", re.MULTILINE)
_YUL_ASSIGNMENT = re.compile(r"^[ ]*\w+ := .*\)[ ]*(?=$|//)", re.MULTILINE)
_SOLIDITY_GUARD = re.compile(r"\brequire\((?:[^;]*)\);|\bif \([^;{}]*\) (?:revert|return)\b[^;]*;")
_MODIFIER = re.compile(r"\b(?:nonReentrant|only[A-Z]\w*)\b(?!\s*\()")
_SOLIDITY_ASSIGNMENT = re.compile(
    r"^[ ]*(?:[\w.\[\]]+ (?:=|\+=|-=) [^;{}]*|delete [^;]*|(?:stake|ledger)\.\w+(?:\{[^}]*\})?\([^;{}]*\)|"
    r"(?:if \([^;{}]*\) |else )(?:stake|ledger)\.\w+\([^;{}]*\)|_(?:credit|lock|slashReceipt|reopen)\([^;{}]*\)|"
    r"(?:Statements|Parameters)\.\w+\([^;{}]*\));",
    re.MULTILINE,
)


@dataclass(frozen=True)
class _Token:
    text: str
    start: int
    end: int


def solidity_mutants(path: str, text: str, wanted: Wanted = lambda function: True) -> list[Mutant]:
    """All mutants of a .sol file or of a .yul template."""
    return numbered(_Walker(Source(path, text), wanted, text).walk())


def yul_mutants_within(source: Source, function: str, start: int, end: int) -> Iterator[Mutant]:
    """Mutants of a piece of Yul inside another text (a string of the generator)."""
    blank = "".join(c if c == "\n" else " " for c in source.text)
    code = blank[:start] + source.text[start:end] + blank[end:]
    code = _blanked(code, re.compile(r"//[^\n]*|\{[^{}]*\}"))  # placeholders of an f-string
    yield from _Walker(source, lambda _: True, code, function).tokens()


def _blanked(text: str, pattern: re.Pattern[str]) -> str:
    """Matches become spaces: places stay what they are."""
    return pattern.sub(lambda found: "".join(c if c == "\n" else " " for c in found.group()), text)


class _Walker:
    def __init__(self, source: Source, wanted: Wanted, code: str, function: str | None = None) -> None:
        self.source, self.wanted = source, wanted
        self.code = code if function else _blanked(code, _HIDDEN)
        self.fixed = function
        self.spans = [] if function else list(self._functions())
        self.is_yul = function is not None or source.path.endswith(".yul")
        blocks = [] if self.is_yul else [m.end() - 1 for m in re.finditer(r"\bassembly\b[^{]*\{", self.code)]
        self.assembly = [(opening, self._closing(opening)) for opening in blocks]

    def _functions(self) -> Iterator[tuple[int, int, str]]:
        """(start of the head, end of the body, name), inner functions after the outer ones."""
        for head in _HEAD.finditer(self.code):
            name = next(group for group in head.groups() if group)
            body = re.compile(r"[{;]").search(self.code, head.end())
            if body is None or body.group() == ";":
                continue
            yield head.start(), self._closing(body.start()), name

    def _closing(self, opening: int) -> int:
        """Behind the bracket that closes the one at `opening`."""
        pairs = {"{": "}", "(": ")"}
        open_, close = self.code[opening], pairs[self.code[opening]]
        depth = 0
        for index in range(opening, len(self.code)):
            depth += (self.code[index] == open_) - (self.code[index] == close)
            if depth == 0:
                return index + 1
        raise ValueError(f"{self.source.path}: nothing closes {open_} at {opening}")

    def _function(self, offset: int) -> str:
        if self.fixed is not None:
            return self.fixed
        inside = [name for start, end, name in self.spans if start <= offset < end]
        return inside[-1] if inside else "<contract>"

    def _in_assembly(self, offset: int) -> bool:
        return self.is_yul or any(start <= offset < end for start, end in self.assembly)

    def walk(self) -> Iterator[Mutant]:
        """Mutants of tokens, then of statements."""
        for mutant in (*self.tokens(), *self.statements()):
            if self.wanted(mutant.function):
                yield mutant

    def _mutant(self, kind: str, start: int, end: int, text: str, change: str) -> Mutant:
        return self.source.mutant(self._function(start), kind, start, end, text, change)

    # --- tokens -----------------------------------------------------------------------------------------------

    def tokens(self) -> Iterator[Mutant]:
        """One token, or one call, is another one."""
        heads = [(start, self.code.index("{", start)) for start, _, _ in self.spans]
        tokens = [_Token(t.group(), *t.span()) for t in _TOKEN.finditer(self.code)]
        for index, token in enumerate(tokens):
            if any(start <= token.start < end for start, end in heads):
                continue  # a head names what there is; it computes nothing
            following = tokens[index + 1].text if index + 1 < len(tokens) else ""
            if re.fullmatch(r"0x[0-9a-fA-F]+|\d+", token.text):
                yield from self._number(token, tokens[index - 1].text if index else "")
            elif self._in_assembly(token.start):
                if following == "(":
                    yield from self._call(token, tokens[index + 1].start)
            elif token.text in _SOLIDITY_SWAPS:
                if self._is_binary(tokens, index):
                    kind, other = _SOLIDITY_SWAPS[token.text]
                    yield self._mutant(kind, token.start, token.end, other, f"{token.text} becomes {other}")
            elif token.text == "!":
                yield self._mutant("logic", token.start, token.end, "", "! is dropped")

    @staticmethod
    def _is_binary(tokens: list[_Token], index: int) -> bool:
        before = tokens[index - 1].text if index else ""
        return bool(re.fullmatch(r"[\w\])]+", before)) and before not in ("return", "uint", "int")

    def _number(self, token: _Token, before: str) -> Iterator[Mutant]:
        value = int(token.text, 0)
        text = hex if token.text.startswith("0x") else str
        for other in (value + 1, value - 1):
            if other >= 0:
                change = f"{token.text} becomes {text(other)}"
                yield self._mutant("constant", token.start, token.end, text(other), change)

    def _call(self, token: _Token, opening: int) -> Iterator[Mutant]:
        """A Yul call."""
        name, end = token.text, self._closing(opening)
        if name in _YUL_SWAPS:
            kind, other = _YUL_SWAPS[name]
            yield self._mutant(kind, token.start, token.end, other, f"{name} becomes {other}")
        if name in ("eq", "iszero"):
            call = self.source.text[token.start : end]
            yield self._mutant("comparison", token.start, end, f"iszero({call})", f"{name} is negated")
        if name == "sub":
            first, second = self._arguments(opening, end)
            text = f"sub({second}, {first})"
            yield self._mutant("arithmetic", token.start, end, text, "operands of sub exchanged")
        if name == "challenge":
            label, size = self._arguments(opening, end)
            if size != "0":
                text = f"challenge({label}, sub({size}, 0x20))"
                yield self._mutant("absorption", token.start, end, text, "absorbs one word less")

    def _arguments(self, opening: int, end: int) -> list[str]:
        """The arguments of a call, split at its own commas."""
        result, depth, start = [], 0, opening + 1
        for index in range(opening + 1, end - 1):
            depth += (self.code[index] == "(") - (self.code[index] == ")")
            if self.code[index] == "," and depth == 0:
                result.append(self.source.text[start:index].strip())
                start = index + 1
        return [*result, self.source.text[start : end - 1].strip()]

    # --- statements -------------------------------------------------------------------------------------------

    def statements(self) -> Iterator[Mutant]:
        """One statement is gone."""
        rules = [
            (_SOLIDITY_GUARD, "check", False),
            (_SOLIDITY_ASSIGNMENT, "statement", False),
            (_YUL_GUARD, "check", True),
            (_YUL_STORE, "statement", True),
            (_YUL_ASSIGNMENT, "statement", True),
        ]
        for pattern, kind, assembly in rules:
            for found in pattern.finditer(self.code):
                start = found.start() + len(found.group()) - len(found.group().lstrip())
                if self._in_assembly(start) != assembly or self._function(start) == "<contract>":
                    continue
                end = found.start() + len(found.group().rstrip())
                text = (
                    "{}"
                    if not assembly and kind == "statement" and found.group().strip()[:2] in ("if", "el")
                    else ""
                )
                what = " ".join(self.source.text[start:end].split())
                yield self._mutant(kind, start, end, text, f"without {what[:100]}")
        for head, _, name in self.spans:
            for found in _MODIFIER.finditer(self.code, head, self.code.index("{", head)):
                start, end = found.span()
                yield self.source.mutant(name, "check", start, end, "", f"without {found.group()}")
