"""The Solidity tests, run by Forge: one file per user action, attacks, and invariants under random actors."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORGE = ROOT / "contracts" / "solc" / "forge.js"  # npm's own launcher loses the exit status
CODE_SIZE_LIMIT = 24_576


def _forge(*arguments: str, profile: str = "default", limit_s: int = 600) -> str:
    finished = subprocess.run(
        ["node", str(FORGE), *arguments],
        cwd=ROOT,
        env={**os.environ, "FOUNDRY_PROFILE": profile},
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout[-4000:] + finished.stderr[-2000:]
    return finished.stdout


def test_every_solidity_test_passes() -> None:
    output = _forge("test")
    total = re.search(r"(\d+) tests passed, (\d+) failed, (\d+) skipped", output)
    assert total is not None, output[-1000:]
    passed, failed, skipped = (int(n) for n in total.groups())
    assert passed > 190 and failed == 0 and skipped == 0


def test_protocol_contracts_fit_the_code_size_limit() -> None:
    sizes = json.loads(_forge("build", "--sizes", "--json", "--skip", "test"))
    for name in ("ModelRegistry", "ProviderStake", "InferenceLedger", "DisputeGame", "AuditGame", "Receipts"):
        assert 0 < sizes[name]["runtime_size"] <= CODE_SIZE_LIMIT, (name, sizes[name])


def test_every_move_costs_what_the_snapshot_says() -> None:
    """Forge compares with `snapshots/GasPerMove.json`; foundry.toml says how to write it again after a change."""
    assert json.loads((ROOT / "snapshots" / "GasPerMove.json").read_text())
    _forge("test", "--match-path", "contracts/test/GasPerMove.t.sol", profile="gas")


@pytest.mark.long
@pytest.mark.timeout(3 * 3600)
def test_invariants_hold_in_long_runs_of_honest_and_malicious_actors() -> None:
    """Runs and depth are those of the profile `deep` in foundry.toml and of the contracts of the campaigns."""
    output = _forge("test", "--match-test", "^invariant_", profile="deep", limit_s=3 * 3600)
    campaigns = re.findall(r"\[PASS\] (invariant_\w+)\(\) \(runs: (\d+), calls: (\d+), reverts: 0\)", output)
    assert len(campaigns) == 8
    assert all(int(runs) >= 100 and int(calls) >= 20_000 for _, runs, calls in campaigns)
    assert sum(int(calls) for _, _, calls in campaigns) >= 1_000_000


@pytest.mark.long
def test_fuzzed_functions_hold_for_many_inputs() -> None:
    output = _forge("test", "--match-test", "^testFuzz", profile="deep", limit_s=1200)
    runs = [int(count) for count in re.findall(r"\[PASS\] testFuzz\w+\(.*\) \(runs: (\d+)", output)]
    assert len(runs) > 10 and min(runs) >= 5000
