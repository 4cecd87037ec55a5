"""A reference string that keeps its commitments to tables needs its powers once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prover.argument.commitment import commit_chunks
from prover.curve.point_arrays import PointArray
from prover.curve.srs import DEVNET_BITS, DEVNET_DIGEST, SRS
from prover.kept_reference import KeptReference, commit_table

CHUNKS = [np.arange(16, dtype=np.int64), np.arange(5, dtype=np.int64) - 2]
OTHERS = ([CHUNKS[0], CHUNKS[1] + 1], [CHUNKS[0]], [np.arange(21, dtype=np.int64)[:16], CHUNKS[1][:4]])


@pytest.fixture(scope="module")
def srs() -> SRS:
    return SRS.devnet(4)


def _without_powers(srs: SRS, folder: Path) -> KeptReference:
    def powers() -> PointArray:
        raise AssertionError("the powers are not needed")

    kept = KeptReference.of(srs, folder)
    object.__setattr__(kept, "_powers", powers)
    return kept


def _damaged(path: Path) -> list[Callable[[], object]]:
    points = json.loads(path.read_text())
    off_the_curve = [[points[0][0], hex(int(points[0][1], 16) ^ 1)], points[1]]
    return [
        path.unlink,
        lambda: path.write_text("["),
        lambda: path.write_text("[1]"),
        lambda: path.write_text(json.dumps(points[:1])),
        lambda: path.write_text(json.dumps(off_the_curve)),
    ]


def test_a_table_is_committed_once(srs: SRS, tmp_path: Path) -> None:
    expected = commit_chunks(srs.g1, CHUNKS)
    assert commit_table(srs, CHUNKS) == expected
    assert commit_table(KeptReference.of(srs, tmp_path), CHUNKS) == expected
    assert commit_table(_without_powers(srs, tmp_path), CHUNKS) == expected


def test_another_table_or_reference_is_not_found(srs: SRS, tmp_path: Path) -> None:
    commit_table(KeptReference.of(srs, tmp_path), CHUNKS)
    for other in OTHERS:
        with pytest.raises(AssertionError, match="powers"):
            commit_table(_without_powers(srs, tmp_path), other)
    with pytest.raises(AssertionError, match="powers"):
        commit_table(_without_powers(SRS.devnet(5), tmp_path), CHUNKS)


def test_what_is_damaged_is_committed_again(srs: SRS, tmp_path: Path) -> None:
    expected = commit_table(KeptReference.of(srs, tmp_path), CHUNKS)
    (path,) = (tmp_path / "tables").iterdir()
    for damage in _damaged(path):
        damage()
        assert commit_table(KeptReference.of(srs, tmp_path), CHUNKS) == expected
        assert commit_table(_without_powers(srs, tmp_path), CHUNKS) == expected


def test_a_folder_that_cannot_be_written_to_costs_time_only(srs: SRS, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert commit_table(KeptReference.of(srs, tmp_path / "file"), CHUNKS) == commit_chunks(srs.g1, CHUNKS)


def test_the_devnet_has_the_digest_that_is_written_down(srs: SRS, tmp_path: Path) -> None:
    kept = KeptReference.on_devnet(tmp_path)
    assert (kept.digest, kept.g2_one, kept.g2_tau) == (DEVNET_DIGEST, srs.g2_one, srs.g2_tau)
    assert kept.insecure
    assert np.array_equal(kept.g1[:16], srs.g1)  # making them compares the digest
    assert len(kept.g1) == 1 << DEVNET_BITS
