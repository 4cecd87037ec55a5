"""One distance has one weight, whichever digits stand for it; what is hidden is a bit; executors agree."""

from __future__ import annotations

import numpy as np
import pytest

from prover.architectures import ModelConfig
from prover.architectures.audit_steps import statement_programs
from prover.architectures.steps import LAYER_KIND
from prover.check import Checker
from prover.operators.attend import Attend
from prover.operators.exponential import DIGIT, FAR, Exponential
from prover.operators.routing_weights import RoutingWeights
from prover.program import Kind, Program, RunContext
from prover.relations import Constant
from prover.tables import exponential_table
from tests.prover.architectures.random_models import FAMILIES, random_statement

BORDERS = [
    border + step
    for border in (0, 48_266, 48_266 + FAR, DIGIT, DIGIT + FAR, DIGIT + 2 * FAR, 1 << 29)
    for step in (-2, -1, 0, 1, 2)
    if border + step >= 0
]


def test_all_pairs_of_digits_of_a_distance_have_one_weight() -> None:
    """Everything that the relations accept for any z < 2^18, and something for each."""
    z, table = np.arange(1 << 18), exponential_table()[:DIGIT]
    expected = np.where(z < DIGIT, table[np.minimum(z, DIGIT - 1)], 0)
    found, several = np.zeros(len(z), dtype=bool), 0
    for high in range(len(z) // FAR):
        low = z - FAR * high
        weight = table[np.clip(low, 0, DIGIT - 1)]
        accepted = (low >= 0) & (low < DIGIT) & (high * weight == 0)
        assert np.array_equal(weight[accepted], expected[accepted]), high
        several += int((found & accepted).sum())
        found |= accepted
    assert found.all() and several


def _hidden(program: Program) -> Exponential | None:
    operators = [part for part in program.operators if isinstance(part, Attend | RoutingWeights)]
    return operators[0]._weights if operators else None


WEIGHING = [
    (family, kind)
    for family, config in FAMILIES.items()
    for kind, program in statement_programs(config).items()
    if _hidden(program) is not None
]


@pytest.mark.parametrize(("family", "kind"), WEIGHING)
def test_what_is_hidden_is_a_bit(family: str, kind: str) -> None:
    """On the whole padded domain, for every kind of layer that a step key may name: a tag of 33 - 17 hidden is one
    of two then. Each row sees as many keys as it has, up to its reach."""
    config: ModelConfig = FAMILIES[family]
    program = statement_programs(config)[kind]
    weights = _hidden(program)
    assert weights is not None
    local = LAYER_KIND in program.parameters
    assert not local or program.parameter_limit(LAYER_KIND) == 2
    for window in (0, 1, 2, 3) if program.has_context else (0,):
        bits = 5 + window.bit_length()
        forms = {
            name: tensor.closed_form.values(
                [program.axes[axis].resolve(bits) for axis in tensor.axes], {"window": window}
            )
            for name, tensor in program.tensors.items()
            if tensor.kind is Kind.CLOSED_FORM and tensor.closed_form is not None and "mask" in name
        }
        if not program.has_context:
            forms["picked"] = random_statement(config, kind).witness()["picked"]
        for layer_kind in (1, 2) if local else (2,):
            checker = _Values(program, forms, {LAYER_KIND: layer_kind}, {"window": window}, bits)
            hidden = checker.values(weights)
            assert set(np.unique(hidden)) <= {0, 1}
            if program.has_context:
                sees = np.minimum(
                    np.arange(32 * window, 32 * window + 32) + 1, 32 if layer_kind == 1 else 1 << 20
                )
                assert (hidden == 0).reshape(-1, *hidden.shape[-2:]).all(axis=0).sum(
                    axis=-1
                ).tolist() == list(sees)


class _Values(Checker):
    def _table_rows(self) -> set[tuple[int, int, int]]:
        return set()  # nothing is looked up

    def values(self, weights: Exponential) -> np.ndarray:
        """`hidden` over the last two axes of its domain at least."""
        return np.asarray(self._evaluate(weights.hidden, weights.domain), dtype=object)


SHIFT, SIZE = 1, 4


def test_the_executor_has_the_weight_of_every_border() -> None:
    """Keys at exact distances, against the meaning in Python integers; in one pass and row by row."""
    distances = [0, *BORDERS]
    generator = np.random.default_rng(5)
    count = len(distances)
    keys = np.zeros((count, 1, SIZE), dtype=np.int64)
    keys[:, 0, 0] = [-(z << SHIFT) - (int(generator.integers(0, 1 << SHIFT)) if z else 0) for z in distances]
    query = np.zeros((count, 1, 1, SIZE), dtype=np.int64)
    query[..., 0] = 1
    values = generator.integers(-30_000, 30_000, (count, 1, SIZE))
    attend = Attend("q", "k", "v", "y", SHIFT, 30, 16)
    table = exponential_table().tolist()
    for calls in ([count], [1] * count):
        start, cache, rows = 0, {}, []
        for size in calls:
            piece = slice(start, start + size)
            context = RunContext(
                tensors={"q": query[piece], "k": keys[piece], "v": values[piece]},
                parameters={},
                matmul=lambda name, x: x,
                positions=np.arange(start, start + size),
                cache=cache,
            )
            attend.run(context)
            rows.append(context.tensors["y"])
            start += size
        found = np.concatenate(rows)
        for row in range(count):
            weights = [table[z] if z < DIGIT else 0 for z in distances[: row + 1]]
            total = sum(weights)
            mixed = [
                sum(w * int(v) for w, v in zip(weights, values[: row + 1, 0, c], strict=True))
                for c in range(SIZE)
            ]
            assert found[row, 0, 0].tolist() == [(2 * m + total) // (2 * total) for m in mixed]
    made: dict[str, np.ndarray] = {}
    z = np.array(distances)
    written = Exponential((), Constant(0)).witness(made, z, np.zeros_like(z))
    assert written.tolist() == [table[d] if d < DIGIT else 0 for d in distances]
