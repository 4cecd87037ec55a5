"""`gainsay kernels` compiles what a proof needs, and nothing that is kept already."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from prover import kernels
from prover.curve.srs import SRS

ROOT = Path(__file__).parents[2]


def test_every_compilation_is_counted_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is exchanged for two small functions: one is compiled meanwhile, the other was before."""
    before, meanwhile = numba.njit(lambda x: x + 1), numba.njit(lambda x: x + 2)
    assert before(1) == 2
    monkeypatch.setattr(kernels, "_answer_and_prove", lambda *_: (before(1), meanwhile(1), meanwhile(2)))
    reports: list[tuple[int, int]] = []
    srs = SRS.devnet(kernels._CHECKED_BITS)
    srs.check_consistency()
    assert kernels.compile_kernels(lambda _, done, total: reports.append((done, total)), srs) == 1
    total = len(kernels.all_kernels())
    assert total > 90
    assert reports == [(0, total), (1, total), (total, total)]


@pytest.mark.long
def test_a_machine_that_has_compiled_compiles_nothing_more(tmp_path: Path) -> None:
    """With a cache of its own: a minute, then nothing; then a family and kinds of steps that it never proved."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "kept"), "PYTHONPATH": str(ROOT)}

    def gainsay(*arguments: str) -> str:
        command = [sys.executable, "-m", "gainsay", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        ).stdout

    first = json.loads(gainsay("kernels", "--json"))
    assert 0.9 * first["kernels"] < first["compiled"] <= first["kernels"]
    kept = set((tmp_path / "kept").rglob("*.nb?"))
    again = json.loads(gainsay("kernels", "--json"))
    assert again == {"kernels": first["kernels"], "compiled": 0}
    options = ("--model", "tiny-gpt2", "--prompt", "hello", "--out", "proof.json")
    for step in (("attention", "--layer", "1", "--window", "0"), ("head", "--position", "2", "--rival", "5")):
        gainsay("prove", "--step", *step, *options)
        gainsay("verify", "proof.json", "--model", "tiny-gpt2")
    assert set((tmp_path / "kept").rglob("*.nb?")) == kept
