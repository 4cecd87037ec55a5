"""`gainsay economics` as a person meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gainsay
from contracts.bindings.deployment import Deployment
from contracts.protocol.parameters import DEVNET
from tests.contracts.local_chain import LocalChain


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        gainsay.main(["economics", *arguments])
    said = capsys.readouterr()
    return int(left.value.code or 0), said.out, said.err


@pytest.mark.parametrize("preset", ["devnet", "l1", "l2"])
def test_every_preset_has_its_economics(preset: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = run(capsys, "--preset", preset)
    assert code == 0
    for heading in ("At stake", "Lying", "Looking", "Drowning", "Running"):
        assert heading in text
    code, text, _ = run(capsys, "--preset", preset, "--json")
    assert json.loads(text)["figures"]["honest_share"] < 1


def test_prices_change_what_pays(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--recheck-share", "1e-9", "--saving-per-lie", "0.01"]
    assert "it does NOT pay here" in run(capsys, *few)[1]
    assert "it pays here" in run(capsys, "--recheck-share", "0.05")[1]
    assert "never: the reward is too small" in run(capsys, "--gas-price-gwei", "10")[1]


def test_a_saving_above_the_lock_is_null_in_json_and_never_in_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    huge = ["--saving-per-lie", "50", "--answers-per-second", "1000"]
    assert json.loads(run(capsys, *huge, "--json")[1])["figures"]["honest_share"] is None
    assert "never" in run(capsys, *huge)[1]


@pytest.mark.parametrize(
    "arguments,sentence",
    [
        (["--preset", "moon"], "the presets are devnet, l1, l2"),
        (["--recheck-share", "2"], "--recheck-share"),
        (["--eth-usd", "0"], "--eth-usd"),
        (["--games", "-1"], "--games"),
        (["--rpc-url", "http://127.0.0.1:1"], "--deployment"),
        (["--preset", "l1", "--deployment", "x.json"], "not both"),
    ],
)
def test_bad_input_gets_a_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, said = run(capsys, *arguments)
    assert code == 2 and sentence in said and "unexpected" not in said


def test_a_deployment_is_read_from_its_chain(
    tmp_path: Path, local_chain: LocalChain, deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "deployment.json"
    file.write_text(json.dumps(deployment.as_json()))
    url = local_chain.chain.rpc_url
    code, text, _ = run(capsys, "--deployment", str(file), "--rpc-url", url, "--json")
    assert code == 0
    assert json.loads(text)["parameters"]["lock_per_response"] == DEVNET.lock_per_response
    code, _, said = run(capsys, "--deployment", str(tmp_path / "nowhere.json"))
    assert code != 0 and "unexpected" not in said
