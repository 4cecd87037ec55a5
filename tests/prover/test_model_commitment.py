"""The commitment of a model: its trees, its rows, and the cache that must never be believed when it is damaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from eth_hash.auto import keccak

from prover import model_commitment
from prover.committed_values import commit_step_key
from prover.curve.g1 import point_to_bytes
from prover.curve.msm import commit_rows
from prover.curve.srs import SRS
from prover.errors import BadInputError
from prover.kept_parts import kept_parts
from prover.merkle import MerkleTree, verify_path
from prover.model.tiny import tiny_model
from prover.model.weights import IntegerModel
from prover.model_commitment import (
    ModelCommitment,
    _load,
    commit_model,
    decode_step_key,
    padded_weights,
    step_key_leaf,
    token_row_leaf,
)
from prover.proof_system import ProofSystem


@pytest.fixture(scope="module")
def model() -> IntegerModel:
    return IntegerModel.from_float(tiny_model())


@pytest.fixture(scope="module")
def srs() -> SRS:
    return SRS.devnet(18)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commitments")


@pytest.fixture(scope="module")
def commitment(model: IntegerModel, srs: SRS, cache: Path) -> ModelCommitment:
    return commit_model(model, srs, cache_dir=cache)


def _facts(commitment: ModelCommitment) -> dict[str, object]:
    values = {field.name: getattr(commitment, field.name) for field in fields(commitment)}
    return {name: v.levels if isinstance(v, MerkleTree) else v for name, v in values.items()}


def test_leaves_are_double_hashes_of_words() -> None:
    """As Solidity's abi.encode would make them."""
    word = (7).to_bytes(32, "big")
    assert step_key_leaf(7, 1, b"key") == keccak(keccak(word + (1).to_bytes(32, "big") + keccak(b"key")))
    assert token_row_leaf(7, b"e" * 64, b"h" * 64) == keccak(keccak(word + b"e" * 64 + b"h" * 64))


def test_step_keys_are_the_models_and_in_the_tree(
    model: IntegerModel, srs: SRS, commitment: ModelCommitment
) -> None:
    system = ProofSystem.shared(model.config, srs)
    assert commitment.step_count == 6 == len(commitment.step_keys) == len(model.config.schedule)
    for step, key in enumerate(commitment.step_keys):
        scheduled = model.config.schedule[step]
        kind, number = scheduled.kind, commitment.kind(step)
        assert model.config.kinds[number] == kind and commitment.step_name(step) == str(scheduled)
        parsed = decode_step_key(system, commitment, step)
        parameters = model.layer_parameters(scheduled.layer, kind)
        plan = system.verifying_key(kind).plan
        assert parsed == commit_step_key(plan, srs, parameters, padded_weights(model, step))
        path = commitment.step_key_path(step)
        root = commitment.step_keys_root
        assert verify_path(root, step_key_leaf(step, number, key), path, step, 6)
        assert not verify_path(root, step_key_leaf(step + 3, number, key), path, step, 6)
        assert not verify_path(root, step_key_leaf(step, number ^ 1, key), path, step, 6)


def test_rows_are_the_models_and_in_the_tree(
    model: IntegerModel, srs: SRS, commitment: ModelCommitment
) -> None:
    assert commitment.vocabulary == 259
    bases = srs.g1[: model.config.hidden]
    for token in (0, 1, 100, 258):
        rows = [
            commit_rows(bases, np.asarray(m[token : token + 1], dtype=np.int64))[0]
            for m in (model.embedding, model.head)
        ]
        assert commitment.row(token) == tuple(rows)
        leaf = token_row_leaf(token, *(point_to_bytes(point) for point in rows))
        path = commitment.row_path(token)
        assert verify_path(commitment.embedding_rows_root, leaf, path, token, 259)
        assert not verify_path(commitment.embedding_rows_root, leaf, path, token ^ 1, 259)
    for token in (-1, 259):
        with pytest.raises(BadInputError, match="vocabulary of 259"):
            commitment.row(token)


# --- the cache ----------------------------------------------------------------------------------------------


def _file(cache: Path) -> Path:
    (path,) = cache.glob("*.npz")
    return path


def _read(model: IntegerModel, srs: SRS, cache: Path) -> ModelCommitment | None:
    return _load(_file(cache), model, ProofSystem.shared(model.config, srs))


def test_a_cached_commitment_is_read(
    model: IntegerModel, srs: SRS, cache: Path, commitment: ModelCommitment
) -> None:
    stages: list[str] = []
    found = commit_model(model, srs, lambda stage, done, total: stages.append(stage), cache)
    assert "step keys" not in stages
    assert _facts(found) == _facts(commitment)


def _flipped(name: str, place: int) -> Callable[[dict[str, np.ndarray]], None]:
    def spoil(arrays: dict[str, np.ndarray]) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name][place] ^= 1

    return spoil


def _without_the_last_row(arrays: dict[str, np.ndarray]) -> None:
    """With a digest that fits: intact, but of a smaller model."""
    arrays["rows"] = arrays["rows"][:-128]
    content = b"".join(arrays[name].tobytes() for name in ("keys", "rows", "nodes"))
    arrays["digest"] = np.frombuffer(keccak(content), np.uint8)


def _without_rows(arrays: dict[str, np.ndarray]) -> None:
    del arrays["rows"]


@pytest.mark.parametrize(
    "spoil",
    [
        *(_flipped(name, place) for name in ("keys", "rows", "nodes", "digest") for place in (0, -1)),
        _without_the_last_row,
        _without_rows,
    ],
)
def test_a_damaged_cache_is_not_read(
    model: IntegerModel,
    srs: SRS,
    cache: Path,
    commitment: ModelCommitment,
    spoil: Callable[[dict[str, np.ndarray]], None],
) -> None:
    intact = _file(cache).read_bytes()
    with np.load(_file(cache)) as file:
        arrays = dict(file)
    spoil(arrays)
    np.savez(_file(cache), **arrays)
    assert _read(model, srs, cache) is None
    _file(cache).write_bytes(intact)
    assert _read(model, srs, cache) is not None


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive"])
def test_what_is_no_cache_is_made_again(
    model: IntegerModel, srs: SRS, cache: Path, commitment: ModelCommitment, content: bytes
) -> None:
    _file(cache).write_bytes(content)
    assert _read(model, srs, cache) is None
    found = commit_model(model, srs, cache_dir=cache) if not content else commitment
    assert _facts(found) == _facts(commitment)


# --- work that was stopped ----------------------------------------------------------------------------------


class Stopped(Exception):
    pass


def _stop_at(stage: str, done: int) -> Callable[[str, int, int], None]:
    def report(now: str, count: int, total: int) -> None:
        if (now, count) == (stage, done):
            raise Stopped

    return report


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is really committed, in order."""
    seen: list[str] = []

    def noting(name: str, work: Callable[..., object]) -> Callable[..., object]:
        return lambda *arguments: seen.append(name) or work(*arguments)

    for name, kind in (("_commit_step", "key"), ("_commit_block", "rows")):
        monkeypatch.setattr(model_commitment, name, noting(kind, getattr(model_commitment, name)))
    monkeypatch.setattr(model_commitment, "_ROWS_AT_ONCE", 100)  # 259 rows are three blocks
    return seen


@pytest.mark.parametrize(
    ("stop", "kept"),
    [(("step keys", 3), 3), (("token rows", 100), 7), (("token rows", 259), 9), (("merkle", 0), 12)],
)
def test_stopped_work_goes_on_where_it_was(
    model: IntegerModel,
    srs: SRS,
    commitment: ModelCommitment,
    tmp_path: Path,
    made: list[str],
    stop: tuple[str, int],
    kept: int,
) -> None:
    with pytest.raises(Stopped):
        commit_model(model, srs, _stop_at(*stop), tmp_path)
    assert len(made) == kept and [path.suffix for path in tmp_path.iterdir()] == [".part"]
    found = commit_model(model, srs, cache_dir=tmp_path)
    assert made == ["key"] * 6 + ["rows"] * 6  # nothing twice
    assert _facts(found) == _facts(commitment)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "swapped"])
def test_damaged_parts_are_made_again(
    model: IntegerModel, srs: SRS, commitment: ModelCommitment, tmp_path: Path, made: list[str], damage: str
) -> None:
    with pytest.raises(Stopped):
        commit_model(model, srs, _stop_at("merkle", 0), tmp_path)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    size = 36 + int.from_bytes(content[:4], "big")
    second = 36 + int.from_bytes(content[size : size + 4], "big")
    spoiled, again = {
        "cut": (content[:-1], 1),
        "flipped": (content[:100] + bytes([content[100] ^ 1]) + content[101:], 12),
        "swapped": (content[size : size + second] + content[:size] + content[size + second :], 12),
    }[damage]
    path.write_bytes(spoiled)
    found = commit_model(model, srs, cache_dir=tmp_path)
    assert len(made) == 12 + again
    assert _facts(found) == _facts(commitment)


def test_two_who_work_at_once_do_not_mix_their_parts(tmp_path: Path) -> None:
    path = tmp_path / "work.part"
    with kept_parts(path) as first, kept_parts(path) as second:
        assert first.part(lambda: b"one") == b"one"
        assert second.part(lambda: b"other") == b"other"
        assert path.read_bytes().endswith(b"one")
    assert not path.exists()
