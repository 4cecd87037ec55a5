"""Yul run as Python: what a generated verifier does between its last challenge and its first precompile, without compiler or chain.

A verifier's assembly block is translated function by function. Memory is a mapping from addresses of words; a word that nobody
wrote cannot be read, where the EVM would give zero, so a function that runs before another one that it depends on is found out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_TOKEN = re.compile(r'"[^"]*"|:=|->|[{}(),]|[A-Za-z_$][\w$]*|0x[0-9a-fA-F]+|\d+')
_COMMENT = re.compile(r"//[^\n]*")
_CONSTANT = re.compile(r"uint256 private constant (\w+) = (\w+);")
_WORD = 32
_ALL = 1 << 256


class Unwritten(Exception):
    """A word of memory is read before anything was written to it."""


@dataclass
class Memory:
    """Aligned words by address."""

    words: dict[int, int] = field(default_factory=dict)

    def load(self, address: int) -> int:
        """A word. Raises Unwritten where there is none."""
        if address not in self.words:
            raise Unwritten(f"{address:#x}")
        return self.words[address]

    def store(self, address: int, value: int) -> None:
        """mstore of whole words."""
        assert address % _WORD == 0 and 0 <= value < _ALL
        self.words[address] = value

    def copy(self, target: int, source: int, size: int) -> None:
        """mcopy."""
        copied = [self.load(source + place) for place in range(0, size, _WORD)]
        for index, word in enumerate(copied):
            self.store(target + _WORD * index, word)

    def zeros(self, target: int, beyond: int, size: int) -> None:
        """calldatacopy of what lies behind the calldata, of which there is none."""
        assert beyond == 0
        for place in range(0, size, _WORD):
            self.store(target + place, 0)


def _builtins(memory: Memory) -> dict[str, Callable[..., int | None]]:
    return {
        "add": lambda a, b: (a + b) % _ALL,
        "sub": lambda a, b: (a - b) % _ALL,
        "mul": lambda a, b: a * b % _ALL,
        "mod": lambda a, n: a % n,
        "addmod": lambda a, b, n: (a + b) % n,
        "mulmod": lambda a, b, n: a * b % n,
        "lt": lambda a, b: int(a < b),
        "gt": lambda a, b: int(a > b),
        "eq": lambda a, b: int(a == b),
        "iszero": lambda a: int(a == 0),
        "and": lambda a, b: a & b,
        "or": lambda a, b: a | b,
        "xor": lambda a, b: a ^ b,
        "not": lambda a: a ^ (_ALL - 1),
        "shl": lambda bits, a: (a << bits) % _ALL if bits < 256 else 0,
        "shr": lambda bits, a: a >> bits,
        "pop": lambda _: None,
        "calldatasize": lambda: 0,
        "calldatacopy": memory.zeros,
        "mload": memory.load,
        "mstore": memory.store,
        "mcopy": memory.copy,
    }


class Contract:
    """The functions of a source's assembly block, over one memory. constants: the contract's own; calls: those of functions without
    arguments and results that its main part makes, in order."""

    def __init__(self, source: str) -> None:
        text = _COMMENT.sub("", source)
        self.constants = {name: int(value, 0) for name, value in _CONSTANT.findall(text)}
        self.memory = Memory()
        block = text[text.index("assembly (") :]
        self._tokens = _TOKEN.findall(block[block.index("{") :])
        self._place = 1
        self._results: list[str] = []
        self._posts: list[list[str]] = []
        self.calls: list[str] = []
        self._functions: dict[str, list[str]] = {}
        while self._peek() != "}":
            start = self._place
            if self._peek() == "function":
                name, lines = self._function()
                self._functions[name] = lines
                continue
            self._statement(0)
            statement = self._tokens[start : self._place]
            if statement[1:] == ["(", ")"]:
                self.calls.append(statement[0])
        self._names: dict[str, Any] = {f"y_{k}": v for k, v in _builtins(self.memory).items()}
        self._names |= {f"y_{name}": value for name, value in self.constants.items()}
        self._wanted: set[str] = set()

    def __getitem__(self, name: str) -> Callable[..., Any]:
        """A function of the block; what it calls is translated when it is asked for."""
        waiting = [name]
        while waiting:
            one = waiting.pop()
            if one in self._wanted:
                continue
            self._wanted.add(one)
            text = "\n".join(self._functions[one])
            waiting += [called for called in re.findall(r"\by_(\w+)\(", text) if called in self._functions]
            exec(text, self._names)
        found: Callable[..., Any] = self._names[f"y_{name}"]
        return found

    def write(self, name: str, *values: int, end: bool = False) -> None:
        """Words from a region's beginning on, or up to its end."""
        start = self.constants[name] - (_WORD * len(values) if end else 0)
        for index, value in enumerate(values):
            self.memory.store(start + _WORD * index, value)

    def read(self, name: str, index: int) -> int:
        """A word of a region."""
        return self.memory.load(self.constants[name] + _WORD * index)

    # --- from tokens to Python ----------------------------------------------------------------------------

    def _peek(self) -> str:
        return self._tokens[self._place]

    def _next(self, wanted: str = "") -> str:
        token = self._tokens[self._place]
        assert not wanted or token == wanted, (token, wanted)
        self._place += 1
        return token

    def _list(self) -> list[str]:
        names = [f"y_{self._next()}"]
        while self._peek() == ",":
            self._next()
            names.append(f"y_{self._next()}")
        return names

    def _function(self) -> tuple[str, list[str]]:
        self._next("function")
        name = self._next()
        self._next("(")
        parameters = [] if self._peek() == ")" else self._list()
        self._next(")")
        self._results = []
        if self._peek() == "->":
            self._next()
            self._results = self._list()
        head = f"def y_{name}({', '.join(parameters)}):"
        lines = [head, *(f" {result} = 0" for result in self._results), *self._block(1), f" {self._leave()}"]
        return name, lines

    def _leave(self) -> str:
        return f"return {', '.join(self._results)}"

    def _block(self, depth: int) -> list[str]:
        self._next("{")
        lines: list[str] = []
        while self._peek() != "}":
            lines += self._statement(depth)
        self._next("}")
        return lines or [f"{' ' * depth}pass"]

    def _statement(self, depth: int) -> list[str]:
        indent = " " * depth
        match self._peek():
            case "{":
                return self._block(depth)
            case "let":
                self._next()
                names = self._list()
                if self._peek() != ":=":
                    return [f"{indent}{name} = 0" for name in names]
                self._next()
                return [f"{indent}{', '.join(names)} = {self._expression()}"]
            case "if":
                self._next()
                return [f"{indent}if {self._expression()}:", *self._block(depth + 1)]
            case "for":
                return self._loop(depth)
            case "switch":
                return self._switch(depth)
            case "leave":
                self._next()
                return [indent + self._leave()]
            case "break":
                return [indent + self._next()]
            case "continue":
                raise NotImplementedError("no template has it")
        if self._tokens[self._place + 1] in (",", ":="):
            names = self._list()
            self._next(":=")
            return [f"{indent}{', '.join(names)} = {self._expression()}"]
        return [indent + self._expression()]

    def _loop(self, depth: int) -> list[str]:
        self._next("for")
        first = self._block(depth)
        condition = self._expression()
        last, body = self._block(depth + 1), self._block(depth + 1)
        return [*first, f"{' ' * depth}while {condition}:", *body, *last]

    def _switch(self, depth: int) -> list[str]:
        self._next("switch")
        lines = [f"{' ' * depth}y_ = {self._expression()}", f"{' ' * depth}if False:", f"{' ' * depth} pass"]
        while self._peek() == "case":
            self._next()
            lines += [f"{' ' * depth}elif y_ == {self._next()}:", *self._block(depth + 1)]
        if self._peek() == "default":
            self._next()
            lines += [f"{' ' * depth}else:", *self._block(depth + 1)]
        return lines

    def _expression(self) -> str:
        token = self._next()
        if token[0].isdigit():
            return token
        if self._peek() != "(":
            return f"y_{token}"
        self._next("(")
        arguments = []
        while self._peek() != ")":
            arguments.append(self._expression())
            if self._peek() == ",":
                self._next()
        self._next(")")
        return f"y_{token}({', '.join(arguments)})"
