"""`gainsay demo` on the tiny model: every scenario, on a real chain, with the generated verifiers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import gainsay
from devnet.anvil import process_runs
from devnet.demo import DemoReport, run_demo
from devnet.scenarios import SCENARIOS, find_scenarios
from devnet.scenarios.errors import UnknownScenario
from devnet.scenarios.prepared_model import PreparedModel, prepare_model

pytestmark = pytest.mark.xdist_group("demo")
DISPUTES = [scenario for scenario in SCENARIOS if not scenario.name.startswith("audit-")]
AUDITS = SCENARIOS[len(DISPUTES) :]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def prepared(state: Path) -> PreparedModel:
    return prepare_model("tiny", lambda *_: None, state)


@pytest.fixture(scope="module")
def demo(state: Path, prepared: PreparedModel) -> Iterator[tuple[DemoReport, dict[str, Any]]]:
    lines: list[str] = []
    report = run_demo("tiny", DISPUTES, lines.append, lambda *_: None, state=state, prepared=prepared)
    assert not report.failures, "\n".join([*report.failures, *lines])
    yield report, json.loads((state / "demo" / "report.json").read_text())


def entry(demo: tuple[DemoReport, dict[str, Any]], name: str) -> dict[str, Any]:
    return next(scenario for scenario in demo[1]["scenarios"] if scenario["name"] == name)


def test_the_report_says_everything_that_is_promised(demo: tuple[DemoReport, dict[str, Any]]) -> None:
    stored = demo[1]
    assert stored["model"] == "tiny" and len(stored["model_id"]) == 66
    assert {"perplexity_float", "perplexity_integer", "argmax_agreement"} <= stored["fidelity"].keys()
    assert [scenario["name"] for scenario in stored["scenarios"]] == [scenario.name for scenario in DISPUTES]
    for scenario in stored["scenarios"]:
        assert {
            "name", "prompt", "answer", "outcome", "contested", "rounds", "prove_s", "proof_bytes", "verify_gas",
            "dispute_gas", "bond_changes_wei",
        } <= scenario.keys()  # fmt: skip
        assert sum(scenario["bond_changes_wei"].values()) == 0


def test_an_honest_answer_becomes_final_and_is_paid(demo: tuple[DemoReport, dict[str, Any]]) -> None:
    honest = entry(demo, "honest")
    assert honest["outcome"] == "final" and honest["contested"] is None
    changes = honest["bond_changes_wei"]
    assert changes["provider"] == -changes["client"] > 0 and changes["challenger"] == 0


@pytest.mark.parametrize(("kind", "place"), [("mlp", "layer"), ("attention", "layer"), ("head", "position")])
def test_a_false_challenge_is_answered_by_a_proof(
    demo: tuple[DemoReport, dict[str, Any]], kind: str, place: str
) -> None:
    false = entry(demo, f"false-challenge-{kind}")
    assert (false["outcome"], false["reason"]) == ("provider_wins", "proven")
    assert false["contested"]["step"] == kind and place in false["contested"]
    assert 0 < false["proof_bytes"] < 10_000 and false["prove_s"] > 0
    assert 100_000 < false["verifier_call_gas"] < false["verify_gas"] < false["dispute_gas"]
    assert false["bond_changes_wei"]["challenger"] < 0 < false["bond_changes_wei"]["provider"]


@pytest.mark.parametrize("name", ["cheap-weights", "swapped-token", "cached-answer", "forged-proof"])
def test_the_honest_challenger_beats_every_cheat(demo: tuple[DemoReport, dict[str, Any]], name: str) -> None:
    cheat = entry(demo, name)
    assert cheat["outcome"] == "challenger_wins" and cheat["verify_gas"] is None
    assert cheat["bond_changes_wei"]["provider"] < 0 < cheat["bond_changes_wei"]["challenger"]


def test_the_cheap_layer_is_found(demo: tuple[DemoReport, dict[str, Any]]) -> None:
    assert entry(demo, "cheap-weights")["contested"] == {
        "step": "keys_values", "layer": 1, "number": 3, "name": "keys values of layer 1",
    }  # fmt: skip


def test_forged_proofs_are_all_refused(demo: tuple[DemoReport, dict[str, Any]]) -> None:
    forged = entry(demo, "forged-proof")
    refused = {proof["what"]: proof["refused_with"] for proof in forged["refused_proofs"]}
    assert len(refused) == 10
    assert (
        refused["another window"] == refused["another layer"] == refused["one bit flipped"] == "ProofRejected"
    )
    assert refused["another model, with its key"] == "WrongStepKey"
    assert forged["reason"] == "timed_out"


@pytest.mark.long
def test_audits_of_a_private_model(state: Path, prepared: PreparedModel) -> None:
    """Twice: the second run finds the private commitment of the first."""
    for chosen in (AUDITS, AUDITS[:1]):
        report = run_demo("tiny", chosen, lambda _: None, lambda *_: None, state=state, prepared=prepared)
        assert not report.failures, report.failures
        assert all(sum(result.bond_changes_wei.values()) == 0 for result in report.scenarios)
        honest = report.scenarios[0]
        assert (
            honest.verifier_call_gas and honest.bond_changes_wei["provider"] > 0 and not honest.refused_proofs
        )
    substituted, other, refused = run_demo(
        "tiny", AUDITS[1:], lambda _: None, lambda *_: None, state=state, prepared=prepared
    ).scenarios
    assert [result.reason for result in (substituted, other, refused)] == ["timed_out"] * 3
    assert substituted.contested is not None and substituted.contested["layer"] == 1
    assert substituted.verify_gas and other.verify_gas and not refused.verify_gas
    assert other.contested == {"step": "head_tile", "tile": 0, "window": other.contested["window"]}  # type: ignore[index]


@pytest.mark.long
@pytest.mark.parametrize(
    "model", ["tiny-gemma3", "tiny-gpt2", "tiny-qwen2", "tiny-qwen3", "tiny-mixtral", "tiny-deepseek-v3"]
)
def test_every_scenario_ends_as_it_must_for_every_family(model: str, state: Path) -> None:
    lines: list[str] = []
    report = run_demo(model, SCENARIOS, lines.append, lambda *_: None, state=state)
    assert not report.failures, "\n".join([*report.failures, *lines])
    assert [result.outcome for result in report.scenarios] == [scenario.expected for scenario in SCENARIOS]


def test_the_chain_is_stopped_and_its_folder_removed(
    state: Path, demo: tuple[DemoReport, dict[str, Any]]
) -> None:
    assert [path.name for path in (state / "demo").iterdir()] == ["report.json"]


def test_a_scenario_that_ends_otherwise_fails_the_demo(state: Path, prepared: PreparedModel) -> None:
    wrong = replace(SCENARIOS[0], expected="challenger_wins")
    report = run_demo("tiny", [wrong], lambda _: None, lambda *_: None, state=state, prepared=prepared)
    assert report.failures == ["honest ended final (not disputed) instead of challenger_wins"]


def test_the_chain_of_a_killed_demo_is_stopped(state: Path, prepared: PreparedModel) -> None:
    from devnet.anvil import free_port, start_anvil
    from devnet.lifecycle import pid_file

    left = state / "demo" / "run-999999999"
    left.mkdir(parents=True)
    anvil = start_anvil(free_port(), left / "anvil.log")
    pid_file(left).write_text(f"{anvil.pid}\n")
    run_demo("tiny", [], lambda _: None, lambda *_: None, state=state, prepared=prepared)
    assert not process_runs(anvil.pid) and not left.exists()


def test_an_unknown_scenario_is_named() -> None:
    with pytest.raises(UnknownScenario, match="swapped-token"):
        find_scenarios(["swaped-token"])
    assert [scenario.name for scenario in find_scenarios(["honest", "honest"])] == ["honest"]


def test_the_command_prints_json_and_fails_when_a_scenario_does(
    state: Path, prepared: PreparedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    import devnet.scenarios
    import devnet.scenarios.prepared_model as preparing

    monkeypatch.chdir(state)
    monkeypatch.setattr(preparing, "prepare_model", lambda name, report: prepared)
    command = ["demo", "--model", "tiny", "--scenario", "honest"]
    done = CliRunner().invoke(gainsay.app, [*command, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["scenarios"][0]["outcome"] == "final"
    failing = (replace(SCENARIOS[0], expected="provider_wins"),)
    monkeypatch.setattr(devnet.scenarios, "SCENARIOS", failing)
    failed = CliRunner().invoke(gainsay.app, command)
    assert failed.exit_code == 1 and "instead of provider_wins" in str(failed.exception)
    assert "honest" in failed.stdout
