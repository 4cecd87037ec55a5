"""Field expressions as a graph with shared nodes, and their Yul.

A node is a constant, a leaf (any Yul expression below 2^256, congruent to the value), or a sum, difference or
product of nodes. Equal nodes are one object, so a subexpression that occurs twice is computed once: it is
stored in a temporary word of memory at its first use. Nesting is bounded, which keeps the EVM stack shallow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from prover.field.arrays import MODULUS
from prover.relations import (
    Challenge,
    Constant,
    Expression,
    Parameter,
    PowerOfTwo,
    Product,
    Public,
    Ref,
    Sum,
)

MAXIMAL_NESTING = 6


@dataclass(frozen=True, eq=False)
class Node:
    """kind: constant, leaf, opaque, add, subtract, multiply. An opaque leaf costs more than one mload."""

    number: int
    kind: str
    value: int = 0
    text: str = ""
    operands: tuple[Node, ...] = ()


class Graph:
    """Builds nodes; equal ones are identical."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[object, ...], Node] = {}

    def _node(self, kind: str, value: int = 0, text: str = "", operands: tuple[Node, ...] = ()) -> Node:
        key = (kind, value, text, *(operand.number for operand in operands))
        if key not in self._nodes:
            self._nodes[key] = Node(len(self._nodes), kind, value, text, operands)
        return self._nodes[key]

    def constant(self, value: int) -> Node:
        """A constant modulo r."""
        return self._node("constant", value % MODULUS)

    def leaf(self, text: str) -> Node:
        """One cheap Yul expression, such as mload(NAME)."""
        return self._node("leaf", text=text)

    def opaque(self, text: str) -> Node:
        """A Yul expression that is worth a temporary when it is used twice."""
        return self._node("opaque", text=text)

    def _is(self, node: Node, value: int) -> bool:
        return node.kind == "constant" and node.value == value % MODULUS

    def _negated(self, node: Node) -> Node | None:
        """x if the node is 0 - x."""
        if node.kind == "subtract" and self._is(node.operands[0], 0):
            return node.operands[1]
        return None

    def add(self, left: Node, right: Node) -> Node:
        """left + right."""
        if left.kind == right.kind == "constant":
            return self.constant(left.value + right.value)
        if self._is(left, 0):
            return right
        if self._is(right, 0):
            return left
        for one, other in ((left, right), (right, left)):
            if (positive := self._negated(other)) is not None:
                return self.subtract(one, positive)
            if other.kind == "constant" and other.value > MODULUS // 2:
                return self.subtract(one, self.constant(-other.value))
        first, second = sorted((left, right), key=lambda node: node.number)
        return self._node("add", operands=(first, second))

    def subtract(self, left: Node, right: Node) -> Node:
        """left - right."""
        if left.kind == right.kind == "constant":
            return self.constant(left.value - right.value)
        if self._is(right, 0):
            return left
        if (positive := self._negated(right)) is not None:
            return self.add(left, positive)
        if right.kind == "constant" and right.value > MODULUS // 2:
            return self.add(left, self.constant(-right.value))
        if left is right:
            return self.constant(0)
        return self._node("subtract", operands=(left, right))

    def multiply(self, left: Node, right: Node) -> Node:
        """left * right."""
        if left.kind == right.kind == "constant":
            return self.constant(left.value * right.value)
        for one, other in ((left, right), (right, left)):
            if self._is(one, 0):
                return one
            if self._is(one, 1):
                return other
            if self._is(one, -1):
                return self.subtract(self.constant(0), other)
            if (positive := self._negated(one)) is not None:
                return self.subtract(self.constant(0), self.multiply(positive, other))
        first, second = sorted((left, right), key=lambda node: node.number)
        return self._node("multiply", operands=(first, second))

    def total(self, nodes: Sequence[Node]) -> Node:
        """Sum of nodes."""
        result = self.constant(0)
        for node in nodes:
            result = self.add(result, node)
        return result

    def translate(self, expression: Expression, scalars: Scalars, refs: Mapping[Ref, Node]) -> Node:
        """A relation's expression, given the nodes of its tensor references."""
        match expression:
            case Sum(terms):
                return self.total([self.translate(term, scalars, refs) for term in terms])
            case Product(factors):
                result = self.constant(1)
                for factor in factors:
                    result = self.multiply(result, self.translate(factor, scalars, refs))
                return result
            case Ref():
                return refs[expression]
            case Constant(value):
                return self.constant(value)
            case Parameter(name):
                return self.leaf(scalars.parameter(name))
            case PowerOfTwo(parameter, offset):
                return self.opaque(f"shl({_shifted(scalars.parameter(parameter), offset)}, 1)")
            case Public(name):
                return self.leaf(scalars.public(name))
            case Challenge(name):
                return self.leaf(scalars.challenge(name))
        raise TypeError(f"expression {expression!r} has no translation to Yul")


@dataclass(frozen=True)
class Scalars:
    """How to load the scalar leaves of relations."""

    parameter: Callable[[str], str]
    public: Callable[[str], str]
    challenge: Callable[[str], str]


def _shifted(text: str, offset: int) -> str:
    if offset == 0:
        return text
    return f"add({text}, {offset})" if offset > 0 else f"sub({text}, {-offset})"


class Printer:
    """Prints nodes as Yul expressions over the local `r`; shared and deep ones go to temporaries first.

    `roots` are all nodes that will be printed, in any order: they decide what is shared.
    """

    def __init__(self, roots: Sequence[Node], temporary: Callable[[], str]) -> None:
        self._temporary = temporary
        self._stored: dict[int, str] = {}
        self._uses: Counter[int] = Counter()
        seen: set[int] = set()
        waiting = list(roots)
        self._uses.update(node.number for node in roots)
        while waiting:
            node = waiting.pop()
            if node.number in seen:
                continue
            seen.add(node.number)
            self._uses.update(operand.number for operand in node.operands)
            waiting.extend(node.operands)

    def print(self, node: Node) -> tuple[list[str], str]:
        """(statements to run first, expression)."""
        statements: list[str] = []
        text, _ = self._text(node, statements)
        return statements, text

    def _text(self, node: Node, statements: list[str]) -> tuple[str, int]:
        """The expression and its nesting."""
        if node.kind == "constant":
            return (str(node.value) if node.value < 1 << 32 else hex(node.value)), 0
        if node.kind == "leaf":
            return node.text, 0
        if node.number in self._stored:
            return f"mload({self._stored[node.number]})", 0
        text, nesting = (node.text, 1) if node.kind == "opaque" else self._operation(node, statements)
        if self._uses[node.number] > 1 or nesting >= MAXIMAL_NESTING:
            address = self._stored[node.number] = self._temporary()
            statements.append(f"mstore({address}, {text})")
            return f"mload({address})", 0
        return text, nesting

    def _operation(self, node: Node, statements: list[str]) -> tuple[str, int]:
        left, right = node.operands
        left_text, left_nesting = self._text(left, statements)
        right_text, right_nesting = self._text(right, statements)
        nesting = 1 + max(left_nesting, right_nesting)
        if node.kind == "subtract":
            if left.kind == "constant" and left.value == 0:
                return f"sub(r, {right_text})", nesting
            return f"addmod({left_text}, sub(r, {right_text}), r)", nesting + 1
        if left_nesting > right_nesting:  # arguments are evaluated from the right: the deeper one comes last
            left_text, right_text = right_text, left_text
        name = "addmod" if node.kind == "add" else "mulmod"
        return f"{name}({left_text}, {right_text}, r)", nesting
