"""A replay of a model in tiles: its sums have windows while they are open, and every step of it is provable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prover.argument.commitment import commit_integers
from prover.curve.g1 import INFINITY, add
from prover.errors import ProofRejectedError
from prover.model.library import load_model
from prover.model_commitment import ModelCommitment, commit_model, decode_step_key
from prover.replay import Replay
from prover.stream_commitments import NO_WINDOWS, boundary_hash, stream_root
from prover.streams import SUM
from prover.verify import verify

from .statements import srs

IDS = [40 + (7 * position) % 90 for position in range(60)]
TILES = {"attention_tile": 2, "mlp_tile": 5}


@pytest.fixture(scope="module")
def commitment(replay: Replay) -> ModelCommitment:
    return replay.commitment


@pytest.fixture(scope="module")
def replay() -> Replay:
    tiny = load_model("tiny")
    model = replace(tiny, config=replace(tiny.config, step_weights=8_000))
    assert {kind: model.config.steps[kind].tiles for kind in TILES} == TILES
    return Replay(model, commit_model(model, srs(), cache_dir=None), srs(), IDS, [1, 2, 3])


def _number(replay: Replay, stream: str) -> int:
    return [s.name for s in replay.model.config.streams].index(stream)


def test_sums_have_windows_at_every_boundary_between_tiles_and_at_no_other(replay: Replay) -> None:
    number, schedule = _number(replay, SUM), replay.model.config.schedule
    assert len(schedule) == 2 * (2 + 2 + 1 + 1 + 5 + 1)  # norm, keys, tiles, close; norm, tiles, close
    for index in range(len(schedule) + 1):
        points, roots = replay.stream_points(index, number), replay.stream_roots(index)
        if index and schedule[index - 1].kind in TILES:
            rows = replay.trace.stream(index, SUM)
            assert points == [
                commit_integers(srs().g1, rows[32 * window : 32 * (window + 1)].reshape(-1))
                for window in range(2)
            ]
            assert roots[number] == stream_root(points) != NO_WINDOWS
        else:
            assert points == [] and roots[number] == NO_WINDOWS
        assert replay.boundary_hash(index) == boundary_hash(roots)
    hashes = [replay.boundary_hash(index) for index in range(len(schedule) + 1)]
    assert len(set(hashes)) == len(hashes)


def test_only_what_a_kind_writes_moves(replay: Replay) -> None:
    """Every other root is the same at both ends, but for a sum that is reset."""
    config = replay.model.config
    for step, scheduled in enumerate(config.schedule):
        program = config.programs[scheduled.kind]
        before, after = replay.stream_roots(step), replay.stream_roots(step + 1)
        moved = {stream.name for stream, a, b in zip(config.streams, before, after, strict=True) if a != b}
        assert moved == {*program.writes, *program.resets}, scheduled


def test_the_first_tile_reads_nothing_and_others_what_the_one_before_wrote(replay: Replay) -> None:
    config = replay.model.config
    for kind, count in TILES.items():
        for tile in range(count):
            statement = replay.step_statement(config.number_of(kind, 1, tile), 1)
            before, after = statement.inputs[-2:]
            if tile == 0:
                assert before == INFINITY
            else:
                assert before == replay.step_statement(config.number_of(kind, 1, tile - 1), 1).inputs[-1]
            assert after != before
        close = config.number_of(kind.replace("tile", "close"), 1)
        assert replay.step_statement(close, 1).inputs[1] == after


def test_keys_of_tiles_differ(commitment: ModelCommitment) -> None:
    """Each has a slice of its own, and the group that its heads read."""
    schedule = commitment.schedule
    tiles = [n for n, step in enumerate(schedule) if step.kind in TILES]
    assert len({commitment.step_keys[n] for n in tiles}) == len(tiles) == 14
    groups = [
        int.from_bytes(commitment.step_keys[n][32:64], "big")
        for n in tiles
        if schedule[n].kind == "attention_tile"
    ]
    assert groups == [1, 2, 1, 2]


def _cases() -> list:  # type: ignore[type-arg]
    short = {("attention_tile", 0), ("mlp_close", 0)}
    kinds = ("attention_norm", "keys_values", "attention_close", "mlp_norm", "mlp_close")
    every = [*((kind, 0) for kind in kinds), *((k, tile) for k, n in TILES.items() for tile in (0, n - 1))]
    return [pytest.param(*case, marks=() if case in short else pytest.mark.long) for case in every]


@pytest.mark.parametrize(("kind", "tile"), _cases())
def test_every_kind_is_proven_in_its_place(replay: Replay, kind: str, tile: int) -> None:
    """And its proof serves no other tile, layer or window."""
    config = replay.model.config
    step = config.number_of(kind, 1, tile)
    key, proof = replay.system.verifying_key(kind), replay.prove_step(step, 1)
    verify(key, replay.step_statement(step, 1), proof)
    others = [config.number_of(kind, 0, tile)]
    if kind in TILES:
        others.append(config.number_of(kind, 1, (tile + 1) % TILES[kind]))
    for other in others:
        foreign = replay.step_statement(other, 1)
        own = replace(
            replay.step_statement(step, 1), key=decode_step_key(replay.system, replay.commitment, other)
        )
        for statement in (foreign, own):
            if statement != replay.step_statement(step, 1):
                with pytest.raises(ProofRejectedError):
                    verify(key, statement, proof)
    with pytest.raises(ProofRejectedError):
        verify(key, replay.step_statement(step, 0), proof)


def test_large_sums_are_committed_exactly() -> None:
    """Up to 2^53 and of either sign: the commitment is linear in them."""
    values = np.array([(1 << 53) - 1, -(1 << 53) + 1, 0, 5, -7, 1 << 52], dtype=np.int64)
    total = add(commit_integers(srs().g1, values), commit_integers(srs().g1, -values))
    assert total == INFINITY
    high, low = values >> 20, values & ((1 << 20) - 1)
    shifted = commit_integers(srs().g1, high)
    for _ in range(20):
        shifted = add(shifted, shifted)
    assert add(shifted, commit_integers(srs().g1, low)) == commit_integers(srs().g1, values)
