"""`gainsay bench peers`: both systems prove the same block; ours is real here, EZKL where it is installed."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from devnet.bench_cli import app
from devnet.benchmarks import peers
from devnet.benchmarks.capped_process import DidNotFit, Finished, Limits
from devnet.benchmarks.ezkl_stages import EzklMissing, require_ezkl
from devnet.benchmarks.peers import EZKL, GAINSAY, Shape, contract_gas, markdown, measure_ezkl, table
from devnet.benchmarks.result_store import ResultStore

COLUMNS = {
    "system",
    "d",
    "tokens",
    "setup_s",
    "prove_s",
    "peak_rss_mb",
    "proof_bytes",
    "verify_s",
    "verify_gas",
}
LIMITS = Limits(memory_mb=8000, seconds=600)

CONTRACT = """// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;
contract Peer {
    bytes constant PADDING = hex"%s";
    function padding() external pure returns (bytes memory) { return PADDING; }
    fallback(bytes calldata given) external returns (bytes memory) { return abi.encode(given[0] == 0x01); }
}
"""


@pytest.mark.long
def test_our_block_is_proven_in_every_column(tmp_path: Path) -> None:
    command = ["peers", "--d", "32", "--tokens", "4", "--skip-ezkl", "--runs", "1", "--json"]
    answer = CliRunner().invoke(app, [*command, "--results", str(tmp_path)])
    assert answer.exit_code == 0, answer.output
    (row,) = json.loads(answer.stdout)
    assert set(row) >= COLUMNS and (row["system"], row["d"], row["tokens"]) == (GAINSAY, 32, 4)
    assert all(row[name] > 0 for name in COLUMNS - {"system"})
    assert row["verify_gas"] > 400_000 and row["proof_bytes"] > 8_000  # two proofs
    assert sum(row["phases"].values()) == pytest.approx(row["prove_s"], abs=0.02)
    again = CliRunner().invoke(app, [*command, "--results", str(tmp_path)])
    assert json.loads(again.stdout) == [row]


def test_a_machine_without_ezkl_is_told_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(EzklMissing, match=r"pip install 'gainsay\[peers\]'.*--skip-ezkl"):
        require_ezkl()
    answer = CliRunner().invoke(app, ["peers", "--results", str(tmp_path)])
    assert isinstance(answer.exception, EzklMissing) and answer.exception.exit_code == 7
    assert not list(tmp_path.iterdir())


def test_a_stage_that_does_not_fit_leaves_the_figures_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def run(target: str, _argument: object, _limits: Limits) -> Finished:
        calls.append(target.rpartition(":")[2])
        if calls[-1] == "prove":
            raise DidNotFit("needs more than 8.0 GB")
        seconds = {"compile_circuit": {"calibrate": 1.0, "compile": 2.0}, "make_keys": {"keys": 3.5}}
        return Finished({"seconds": seconds.get(calls[-1], {})}, 700, 1.0)

    monkeypatch.setattr(peers, "call_in_process", run)
    shape, store = Shape(64, 16), ResultStore(tmp_path / "ezkl.json", {})
    found = measure_ezkl(shape, store, tmp_path, LIMITS, lambda text: None)
    assert found["setup_s"] == 5.5 and found["setup_rss_mb"] == 700
    assert measure_ezkl(shape, store, tmp_path, LIMITS, lambda text: None) == found
    assert calls == ["export", "compile_circuit", "make_keys", "prove"]  # the second time nothing runs
    ours = {"setup_s": 0.5, "prove_s": 2.0, "verify_gas": 1_000_000}
    first, second = table([shape], {(GAINSAY, shape): ours, (EZKL, shape): found})
    assert set(first) >= COLUMNS and "ratio" not in first
    assert second["note"] == "prove: needs more than 8.0 GB" and second["prove_s"] is None
    assert second["ratio"]["setup_s"] == 11.0 and second["ratio"]["prove_s"] is None
    assert markdown([first, second]).splitlines()[2:] == [
        "| 64 | 16 | gainsay | 0.5 | 2.0 |  |  |  | 1,000,000 |  |",
        "| 64 | 16 | ezkl | 5.5 |  |  |  |  |  | prove: needs more than 8.0 GB |",
        "| 64 | 16 | ezkl / gainsay | 11x |  |  |  |  |  |  |",
    ]


def test_an_interrupted_run_goes_on_with_the_stage_that_was_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def run(target: str, _argument: object, _limits: Limits) -> Finished:
        calls.append(target.rpartition(":")[2])
        if calls.count("make_keys") == 1 and calls[-1] == "make_keys":
            raise KeyboardInterrupt
        if calls[-1] == "prove":
            raise DidNotFit("enough")
        return Finished({"seconds": {"compile": 1.0, "keys": 1.0}}, 1, 1.0)

    monkeypatch.setattr(peers, "call_in_process", run)
    shape, store = Shape(32, 4), ResultStore(tmp_path / "ezkl.json", {})
    with pytest.raises(KeyboardInterrupt):
        measure_ezkl(shape, store, tmp_path, LIMITS, lambda text: None)
    measure_ezkl(shape, store, tmp_path, LIMITS, lambda text: None)
    assert calls == ["export", "compile_circuit", "make_keys", "make_keys", "prove"]


def test_a_contract_that_fits_is_deployed_and_metered() -> None:
    found = contract_gas(CONTRACT % "00", b"\x01" * 32)
    assert 21_000 < found["verify_gas"] < 60_000 and found["verifier_bytes"] < 24_576
    refused = contract_gas(CONTRACT % "00", b"\x02" * 32)
    assert refused["verify_gas"] is None and "a proof that its prover made" in refused["note"]


def test_a_contract_above_the_code_limit_has_no_gas_but_says_what_it_would_take() -> None:
    found = contract_gas(CONTRACT % ("ab" * 25_000), b"\x01" * 32)
    assert found["verify_gas"] is None and found["verifier_bytes"] > 24_576
    assert "above the 24,576" in found["note"] and 21_000 < found["forced_gas"] < 60_000


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_ezkl_proves_the_same_block(tmp_path: Path) -> None:
    pytest.importorskip("ezkl", reason="EZKL is not installed (pip install 'gainsay[peers]')")
    pytest.importorskip("onnx", reason="onnx is not installed (pip install 'gainsay[peers]')")
    command = ["peers", "--d", "32", "--tokens", "4", "--runs", "1", "--json", "--results", str(tmp_path)]
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 0, answer.output
    ours, theirs = json.loads(answer.stdout)
    assert (ours["system"], theirs["system"]) == (GAINSAY, EZKL)
    if theirs["prove_s"] is None:
        pytest.skip(f"EZKL does not fit on this machine: {theirs['note']}")
    assert theirs["proof_bytes"] > 1000 and theirs["verify_s"] > 0 and theirs["verifier_bytes"] > 1000
    assert theirs["largest_error"] < 1.0  # the same function, at its own precision
    assert set(theirs["ratio"]) == COLUMNS - {"system", "d", "tokens"}
