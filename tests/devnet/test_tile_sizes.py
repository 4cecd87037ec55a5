"""`gainsay bench tuning --tiles`: every size is another cut of the same unit, and its proof is a proof."""

from __future__ import annotations

import pytest

from devnet.benchmarks.tile_sizes import measure_tile_sizes


@pytest.mark.long
def test_smaller_tiles_are_more_and_have_shorter_keys() -> None:
    heard: list[str] = []
    rows = measure_tile_sizes(1, heard.append, d=64, chunks=(1, 2), chunk_weights=1 << 12)
    assert [row["tiles"] for row in rows] == [12, 6]
    assert all(row["prove_cpu_s"] > 0 and row["verify_gas"] > 200_000 for row in rows)
    assert rows[0]["step_key_points"] == rows[1]["step_key_points"] == 3  # far below a chunk each
    assert heard[0] == "tiles of 1 chunks: key" and heard[-1] == "tiles of 2 chunks: proof 1 of 1"
