"""The Solidity tests, run by Forge: one file per user action, attacks, and invariants under random actors."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
FORGE = ROOT / "contracts" / "solc" / "forge.js"  # npm's own launcher loses the exit status
CODE_SIZE_LIMIT = 24_576


def _forge(*arguments: str) -> str:
    finished = subprocess.run(
        ["node", str(FORGE), *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert finished.returncode == 0, finished.stdout[-4000:] + finished.stderr[-2000:]
    return finished.stdout


def test_every_solidity_test_passes() -> None:
    output = _forge("test")
    total = re.search(r"(\d+) tests passed, (\d+) failed, (\d+) skipped", output)
    assert total is not None, output[-1000:]
    passed, failed, skipped = (int(n) for n in total.groups())
    assert passed > 100 and failed == 0 and skipped == 0


def test_protocol_contracts_fit_the_code_size_limit() -> None:
    sizes = json.loads(_forge("build", "--sizes", "--json", "--skip", "test"))
    for name in ("ModelRegistry", "ProviderStake", "InferenceLedger", "DisputeGame"):
        assert 0 < sizes[name]["runtime_size"] <= CODE_SIZE_LIMIT, (name, sizes[name])
