"""Expressions printed as Yul have the value of the expression, whatever is shared or spilled."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prover.field.reference import SCALAR_MODULUS
from prover.relations import Challenge, Constant, Expression, Parameter, PowerOfTwo, Product, Public, Ref, Sum
from verifier_gen.expressions import MAXIMAL_NESTING, Graph, Node, Printer, Scalars

WORD = 1 << 256
LEAVES = {
    "P_shift": 7,
    "X_row": 19,
    "BETA": SCALAR_MODULUS - 5,
    "A": 123456789,
    "B": SCALAR_MODULUS - 1,
    "C": 1 << 253,
}
SCALARS = Scalars(
    parameter=lambda name: f"mload(P_{name})",
    public=lambda name: f"mload(X_{name})",
    challenge=lambda name: f"mload({name.upper()})",
)


def value_of(expression: Expression) -> int:
    """The expression's meaning, in plain integers."""
    match expression:
        case Sum(terms):
            return sum(value_of(term) for term in terms) % SCALAR_MODULUS
        case Product(factors):
            result = 1
            for factor in factors:
                result = result * value_of(factor) % SCALAR_MODULUS
            return result
        case Ref(tensor):
            return LEAVES[tensor]
        case Constant(value):
            return value % SCALAR_MODULUS
        case Parameter(name):
            return LEAVES[f"P_{name}"]
        case PowerOfTwo(name, offset):
            return 1 << (LEAVES[f"P_{name}"] + offset)
        case Public(name):
            return LEAVES[f"X_{name}"]
        case Challenge(name):
            return LEAVES[name.upper()]
    raise AssertionError(expression)


def run_yul(statements: list[str], text: str, memory: dict[object, int]) -> int:
    """Evaluate printed Yul with the EVM's arithmetic (the operators that expressions use)."""
    names = {
        "r": SCALAR_MODULUS,
        "mload": lambda place: memory[place],
        "mstore": lambda place, value: memory.__setitem__(place, value),
        "addmod": lambda a, b, n: (a + b) % n,
        "mulmod": lambda a, b, n: a * b % n,
        "add": lambda a, b: (a + b) % WORD,
        "sub": lambda a, b: (a - b) % WORD,
        "shl": lambda bits, value: (value << bits) % WORD,
        **{name: name for name in LEAVES},
    }
    for statement in statements:
        eval(statement, {}, names)
    return int(eval(text, {}, names)) % SCALAR_MODULUS


leaves = st.sampled_from(
    [
        Ref("A"),
        Ref("B"),
        Ref("C"),
        Parameter("shift"),
        PowerOfTwo("shift", -1),
        PowerOfTwo("shift", 0),
        PowerOfTwo("shift", 1),
        PowerOfTwo("shift", 3),
        Public("row"),
        Challenge("beta"),
        Constant(0),
        Constant(1),
        Constant(-1),
        Constant(-77),
        Constant(1 << 40),
    ]
)
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(Sum),
        st.tuples(inner, inner).map(Product),
        st.tuples(inner, inner).map(lambda pair: pair[0] - pair[1]),
    ),
    max_leaves=40,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(expressions, min_size=1, max_size=4))
def test_printed_expressions_have_the_right_value(roots: list[Expression]) -> None:
    graph = Graph()
    refs = {Ref(name): graph.leaf(f"mload({name})") for name in ("A", "B", "C")}
    nodes = [graph.translate(expression, SCALARS, refs) for expression in roots]
    addresses = iter(range(10**6))
    printer = Printer(nodes, lambda: str(next(addresses)))
    memory: dict[object, int] = dict(LEAVES)
    for expression, node in zip(roots, nodes, strict=True):
        statements, text = printer.print(node)
        assert "-" not in "".join([*statements, text])  # Yul has no negative literals
        assert run_yul(statements, text, memory) == value_of(expression)


def test_what_has_no_translation_is_refused() -> None:
    with pytest.raises(TypeError, match="no translation"):
        Graph().translate("x", SCALARS, {})  # type: ignore[arg-type]


def test_a_shared_subexpression_is_computed_once() -> None:
    graph = Graph()
    a, b = graph.leaf("mload(A)"), graph.leaf("mload(B)")
    product = graph.multiply(a, b)
    assert graph.multiply(b, a) is product
    roots = [graph.add(product, a), graph.add(product, b)]
    printer = Printer(roots, iter(["0x80"]).__next__)
    printed = [printer.print(root) for root in roots]
    text = " ".join(
        [*(line for statements, _ in printed for line in statements), *(text for _, text in printed)]
    )
    assert text.count("mulmod") == 1


def test_deep_expressions_are_spilled() -> None:
    graph = Graph()
    node: Node = graph.leaf("mload(A)")
    for index in range(60):
        node = graph.multiply(graph.add(node, graph.constant(index + 1)), graph.leaf("mload(B)"))
    addresses = iter(range(100))
    statements, text = Printer([node], lambda: str(next(addresses))).print(node)
    assert statements
    for line in [*statements, text]:
        depth, deepest = 0, 0
        for character in line:
            depth += {"(": 1, ")": -1}.get(character, 0)
            deepest = max(deepest, depth)
        assert deepest <= MAXIMAL_NESTING + 4
