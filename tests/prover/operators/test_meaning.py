"""What every step means, written down a second time in plain integers, and compared with what the programs compute.

Scales (design page, integer model): residual 12, normalised 10, q and k 8, v and context 10, gate and up 9, their
product 10, cos and sin 14, distance 12, root 34. Nothing here comes from the programs but the padded shapes.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal
from math import cos, floor, isqrt, sin

import numpy as np
import pytest

from prover.architectures.llama import LlamaConfig
from tests.prover.operators.random_layers import SMALL, TILED, Statement, random_statement

EPSILON = 1e-5


def requantised(accumulator: np.ndarray, shift: int) -> np.ndarray:
    return np.floor_divide(accumulator + 2 ** (shift - 1), 2**shift)


def half_up(value: Decimal) -> int:
    return int((value + Decimal("0.5")).to_integral_value(ROUND_FLOOR))


def normalised(x: np.ndarray) -> np.ndarray:
    """(rows, d) at scale 12 to (rows, d) at scale 10."""
    rows = []
    for row in x.tolist():
        mean_square = sum(v * v for v in row) + round(len(row) * EPSILON * 2**24)
        root = isqrt(2**68 * len(row) // mean_square)
        rows.append([(v * root + 2**23) // 2**24 for v in row])
    return np.array(rows, dtype=np.int64)


def silu(gate: np.ndarray) -> np.ndarray:
    found = {}
    for g in set(gate.reshape(-1).tolist()):
        x = Decimal(g) / 512
        found[g] = half_up(512 * x / (1 + (-x).exp()))
    return np.vectorize(found.__getitem__)(gate).astype(np.int64)


def mlp(x: np.ndarray, w: dict[str, np.ndarray], shifts: dict[str, int]) -> np.ndarray:
    n = normalised(x)
    gate = requantised(n @ w["w_gate"], shifts["gate_shift"])
    up = requantised(n @ w["w_up"], shifts["up_shift"])
    product = requantised(silu(gate) * up, 8)
    return x + requantised(product @ w["w_down"], shifts["down_shift"])


def rotated(x: np.ndarray, position: int) -> np.ndarray:
    """One vector of a head: adjacent channels turn together."""
    result = np.zeros_like(x)
    for pair in range(len(x) // 2):
        angle = position * 10_000.0 ** (-2 * pair / len(x))
        c, s = (floor(2**14 * f(angle) + 0.5) for f in (cos, sin))
        a, b = int(x[2 * pair]), int(x[2 * pair + 1])
        result[2 * pair] = (a * c - b * s + 2**13) // 2**14
        result[2 * pair + 1] = (b * c + a * s + 2**13) // 2**14
    return result


def weight(distance: int) -> int:
    """65535 exp(-distance), distance at scale 12; nothing from 16 on."""
    return half_up(65535 * (Decimal(-distance) / 4096).exp()) if distance < 2**16 else 0


def projected(
    x: np.ndarray, w: dict[str, np.ndarray], shifts: dict[str, int], names: tuple[str, ...]
) -> list[np.ndarray]:
    """Queries, keys or values of the rows x: (rows, heads, size). Weights as (d, heads, size)."""
    n = normalised(x)
    return [
        requantised(np.einsum("td,dhc->thc", n, w[f"w_{name}"]), shifts[f"{name}_shift"]) for name in names
    ]


def keys_and_values(
    x: np.ndarray, w: dict[str, np.ndarray], shifts: dict[str, int], window: int
) -> tuple[np.ndarray, np.ndarray]:
    """Of the window's rows x: (32, d)."""
    keys, values = projected(x, w, shifts, ("key", "value"))
    turned = [[rotated(key, 32 * window + row) for key in heads] for row, heads in enumerate(keys)]
    return np.array(turned), values


def attention(
    x: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    w: dict[str, np.ndarray],
    shifts: dict[str, int],
    window: int,
) -> np.ndarray:
    """x: (32, d); keys and values (positions, groups, size). w_output (heads, size, d). Score scale 16, over sqrt(size)."""
    (query,) = projected(x, w, shifts, ("query",))
    shift = 16 - 12 + (isqrt(query.shape[2]) - 1).bit_length()
    after = []
    for row in range(32):
        t, context = 32 * window + row, []
        for head in range(query.shape[1]):
            group = head * keys.shape[1] // query.shape[1]
            q = rotated(query[row, head], t)
            score = [int(q @ keys[u, group]) for u in range(t + 1)]
            e = [weight((max(score) - s) >> shift) for s in score]
            mixed = sum(f * values[u, group] for u, f in enumerate(e))
            context.append((2 * mixed + sum(e)) // (2 * sum(e)))
        summand = np.einsum("hc,hcd->d", np.array(context), w["w_output"])
        after.append(x[row] + requantised(summand, shifts["output_shift"]))
    return np.array(after)


def _real(case: Statement, config: LlamaConfig) -> dict[str, np.ndarray]:
    """Weights without padding, heads in one axis."""
    d, f = config.hidden, config.feed_forward
    g, q, c = config.kv_heads, config.queries_per_group, config.head_size
    shapes = {
        "w_gate": (d, f),
        "w_up": (d, f),
        "w_down": (f, d),
        "w_query": (d, g, q, c),
        "w_key": (d, g, c),
        "w_value": (d, g, c),
        "w_output": (g, q, c, d),
    }
    merged = {"w_query": (d, g * q, c), "w_output": (g * q, c, d)}
    result = {}
    for name, shape in shapes.items():
        if name in case.tensors:
            real = case.tensors[name][tuple(slice(0, n) for n in shape)]
            result[name] = real.reshape(merged.get(name, shape))
    return result


@pytest.mark.parametrize("seed", [1, 2])
def test_an_mlp_step_means_what_the_page_says(seed: int) -> None:
    case = random_statement("mlp", seed=seed)
    x = case.tensors["before"][:, : SMALL.hidden]
    expected = mlp(x, _real(case, SMALL), case.parameters)
    assert (case.witness()["after"][:, : SMALL.hidden] == expected).all()


TWO_GROUPS = LlamaConfig(
    layers=1,
    hidden=24,
    heads=4,
    kv_heads=2,
    head_size=16,
    feed_forward=40,
    vocabulary=50,
    rope_base=10_000,
    norm_epsilon=EPSILON,
    max_positions=256,
)


@pytest.mark.parametrize(("config", "window"), [(SMALL, 0), (SMALL, 1), (SMALL, 2), (TWO_GROUPS, 1)])
def test_an_attention_step_means_what_the_page_says(config: LlamaConfig, window: int) -> None:
    case = random_statement("attention", window, config=config)
    real = (slice(0, 32 * (window + 1)), slice(0, config.kv_heads), slice(0, config.head_size))
    x, keys, values = (
        case.tensors["before"][:, : config.hidden],
        *(case.tensors[n][real] for n in ("keys", "values")),
    )
    expected = attention(x, keys, values, _real(case, config), case.parameters, window)
    assert (case.witness()["after"][:, : config.hidden] == expected).all()


@pytest.mark.parametrize(("config", "window"), [(SMALL, 0), (SMALL, 2), (TWO_GROUPS, 1)])
def test_keys_and_values_mean_what_the_page_says(config: LlamaConfig, window: int) -> None:
    case = random_statement("keys_values", window, config=config)
    real = (slice(0, 32), slice(0, config.kv_heads), slice(0, config.head_size))
    expected = keys_and_values(
        case.tensors["before"][:, : config.hidden], _real(case, config), case.parameters, window
    )
    for name, values in zip(("keys", "values"), expected, strict=True):
        assert (case.witness()[name][real] == values).all()


def _hidden_rows(case: Statement, config: LlamaConfig) -> np.ndarray:
    return case.tensors["normalised"][:, : config.hidden]


def test_a_norm_step_means_what_the_page_says() -> None:
    for kind in ("attention_norm", "mlp_norm"):
        case = random_statement(kind)
        expected = normalised(case.tensors["before"][:, : TILED.hidden])
        assert (case.witness()["normalised"][:, : TILED.hidden] == expected).all()


def test_a_tile_of_an_mlp_means_what_the_page_says() -> None:
    """The exact sum of before, and what its sixteen hidden channels give."""
    case = random_statement("mlp_tile")
    n, d, f = _hidden_rows(case, TILED), TILED.hidden, 16
    w, shifts = case.tensors, case.parameters
    gate = requantised(n @ w["w_gate"][:d, :f], shifts["gate_shift"])
    up = requantised(n @ w["w_up"][:d, :f], shifts["up_shift"])
    expected = w["sum_before"][:, :d] + requantised(silu(gate) * up, 8) @ w["w_down"][:f, :d]
    assert (case.witness()["sum_after"][:, :d] == expected).all()
    assert np.abs(expected).max() > 1 << 50


@pytest.mark.parametrize("group", [1, 2])
def test_a_tile_of_attention_means_what_the_page_says(group: int) -> None:
    """Two groups of two heads, over keys and values of groups 0 and 1, or of group 2 and of one that is padding."""
    case, window, d = random_statement("attention_tile", 1), 1, TILED.hidden
    case.parameters["group"] = group
    first = 2 * (group - 1)
    keys, values = (case.tensors[name][:64, first : first + 2] for name in ("keys", "values"))
    n, w = _hidden_rows(case, TILED), case.tensors
    queries = np.einsum("td,dgqc->tgqc", n, w["w_query"][:d])
    queries = requantised(queries, case.parameters["query_shift"])
    shift = 16 - 12 + 1  # over sqrt(4)
    expected = w["sum_before"][:, :d].copy()
    for row in range(32):
        for g in range(2):
            for head in range(2):
                q = rotated(queries[row, g, head], 32 * window + row)
                score = [int(q @ keys[u, g]) for u in range(32 * window + row + 1)]
                e = [weight((max(score) - s) >> shift) for s in score]
                mixed = sum(f * values[u, g] for u, f in enumerate(e))
                expected[row] += ((2 * mixed + sum(e)) // (2 * sum(e))) @ w["w_output"][g, head, :, :d]
    assert (case.witness()["sum_after"][:, :d] == expected).all()


@pytest.mark.parametrize("kind", ["attention_close", "mlp_close"])
def test_a_close_means_what_the_page_says(kind: str) -> None:
    case = random_statement(kind)
    (shift,) = case.parameters.values()
    expected = case.tensors["before"] + requantised(case.tensors["sum"], shift)
    assert (case.witness()["after"] == expected).all()


def test_a_head_statement_means_what_the_page_says() -> None:
    """The margin's limbs are factor * (logit(chosen) - logit(rival)) + offset - 2^63."""
    case = random_statement("head")
    n = normalised(case.tensors["window"][5:6, : SMALL.hidden])[0]
    chosen, rival = (case.tensors[name][: SMALL.hidden] for name in ("chosen", "rival"))
    limbs = case.witness()["margin_limbs"].tolist()
    assert sum(limb << 16 * i for i, limb in enumerate(limbs)) == 3 * int(n @ (chosen - rival)) - 1
