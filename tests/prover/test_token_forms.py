"""Closed forms of a head tile: integers by their definition, extensions by the integers, contracts by both."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from prover.architectures import ModelConfig
from prover.architectures.audit_steps import HEAD_TILE, audit_schedule, audit_steps, head_tiles
from prover.architectures.llama import LlamaConfig
from prover.architectures.shapes import SHAPE, TILED
from prover.field.arrays import MODULUS
from prover.tables import ClosedForm
from prover.token_forms import (
    END,
    FIRST,
    TILE,
    TOKENS,
    ChosenIds,
    CountedRows,
    RealIds,
    SmallerIds,
    token_publics,
)

VOCABULARY, BITS = 11, 2
ROWS = [(0, 32), (3, 29), (31, 32), (0, 1), (7, 7), (9, 4)]
EVERY = list(product(range(3), ROWS))


def publics_of(tile: int, first: int, end: int) -> dict[str, int]:
    generator = np.random.default_rng(32 * tile + first)
    tokens = [int(t) for t in generator.integers(0, VOCABULARY, 32)]
    return {TILE: tile, FIRST: first, END: end, **dict(zip(TOKENS, tokens, strict=True))}


@pytest.mark.parametrize(("tile", "rows"), EVERY)
def test_integers_are_what_the_definitions_say(tile: int, rows: tuple[int, int]) -> None:
    publics = publics_of(tile, *rows)
    counted = CountedRows().values([5], publics)
    real = RealIds(VOCABULARY).values([BITS], publics)
    smaller, chosen = (form.values([5, BITS], publics) for form in (SmallerIds(), ChosenIds()))
    for v in range(1 << BITS):
        token = (tile << BITS) + v
        assert real[v] == int(token < VOCABULARY)
        for t in range(32):
            counts = t in range(*rows)
            assert counted[t] == int(counts)
            assert smaller[t, v] == int(counts and token < publics[TOKENS[t]])
            assert chosen[t, v] == int(counts and token == publics[TOKENS[t]])


@pytest.mark.parametrize(("tile", "rows"), EVERY)
def test_extensions_are_those_of_the_integers(tile: int, rows: tuple[int, int]) -> None:
    publics = publics_of(tile, *rows)
    point = [pow(5, 100 + i, MODULUS) for i in range(5 + BITS)]
    cases: list[tuple[ClosedForm, list[list[int]]]] = [
        (CountedRows(), [point[:5]]),
        (RealIds(VOCABULARY), [point[5:]]),
        *((form, [point[:5], point[5:]]) for form in (SmallerIds(), ChosenIds())),
    ]
    for form, points in cases:
        layer = [int(x) for x in form.values([len(p) for p in points], publics).reshape(-1)]
        for x in (x for part in points for x in part):
            half = len(layer) // 2
            layer = [(a + x * (b - a)) % MODULUS for a, b in zip(layer[:half], layer[half:], strict=True)]
        assert form.evaluate(points, publics, MODULUS) == layer[0], form


def test_bounds_of_the_public_integers() -> None:
    assert token_publics(50, 2) == {TILE: 2, FIRST: 32, END: 33, **dict.fromkeys(TOKENS, 50)}


# --- how large tiles are ------------------------------------------------------------------------------------


def _llama(hidden: int, vocabulary: int, **others: int) -> ModelConfig:
    facts = {name: getattr(SHAPE, name) for name in SHAPE.to_json() if name != "family"}
    return LlamaConfig(**{**facts, "hidden": hidden, "vocabulary": vocabulary, **others})


@pytest.mark.parametrize(
    ("hidden", "vocabulary", "size", "count"),
    [
        (576, 49_152, 4096, 12),
        (4096, 128_256, 1024, 126),
        (8192, 128_256, 512, 251),
        (24, 50, 64, 1),
        (24, 64, 64, 1),
    ],
)
def test_tiles_have_a_bounded_number_of_weights_and_ids(
    hidden: int, vocabulary: int, size: int, count: int
) -> None:
    tiles = head_tiles(_llama(hidden, vocabulary))
    assert (tiles.size, tiles.count) == (size, count)


def test_the_schedule_of_audits_is_behind_that_of_the_layers() -> None:
    """And nothing of the layers' knows it."""
    (step,) = audit_steps(TILED).values()
    assert [str(s) for s in audit_schedule(TILED)] == ["head tile 1 of 2", "head tile 2 of 2"]
    assert HEAD_TILE not in TILED.kinds and HEAD_TILE not in TILED.programs
    assert "chosen_logit" not in {stream.name for stream in TILED.streams}
    assert step.program.reads == {"residual": "window", "chosen_logit": "chosen_logit"}
    assert not step.program.writes and not step.program.parameters


def test_too_many_steps_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    count = TILED.step_count
    monkeypatch.setattr("prover.architectures.audit_steps.MOST_STEPS", count + 1)
    with pytest.raises(
        ValueError, match=rf"{count + 2} steps, those of audits included, cannot be registered"
    ):
        audit_schedule(TILED)
