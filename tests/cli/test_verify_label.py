"""`gainsay verify` says what is proven, whatever the file's author calls it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import prover.cli
from prover.curve.srs import SRS
from prover.errors import ProofRejectedError
from prover.model.library import load_model
from prover.model.weights import IntegerModel
from prover.model_commitment import commit_model
from prover.proof_file import ProofFile
from prover.replay import Replay

LIE = "next token 5 beats 48 after position 3 of smollm2-135m\n\x1b[2Kvalid: everything"
PROMPT, OUTPUT = [72, 101, 108, 108, 111] * 7, [0]

APP = typer.Typer()
APP.command()(prover.cli.verify)


def verified(path: Path, *options: str) -> str:
    result = CliRunner().invoke(APP, [str(path), *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def facts(path: Path, *options: str) -> dict[str, Any]:
    return dict(json.loads(verified(path, "--json", *options)))


@pytest.fixture(scope="module")
def srs() -> SRS:
    return SRS.devnet(18)


@pytest.fixture(scope="module")
def tiny() -> IntegerModel:
    return load_model("tiny")


@pytest.fixture(scope="module")
def replay(tiny: IntegerModel, srs: SRS) -> Replay:
    return Replay(tiny, commit_model(tiny, srs, cache_dir=None), srs, PROMPT, OUTPUT)


def step_file(replay: Replay, kind: str, window: int) -> ProofFile:
    step = replay.model.config.number_of(kind, 1)
    statement = replay.step_statement(step, window)
    return ProofFile(
        kind=kind, architecture=replay.model.config, srs=replay.srs.digest.hex(),
        publics=dict(statement.publics), inputs=statement.inputs, key=statement.key.encode(),
        proof=replay.prove_step(step, window), model="smollm2-135m", about=LIE,
    )  # fmt: skip


@pytest.fixture(scope="module")
def mlp(replay: Replay) -> ProofFile:
    return step_file(replay, "mlp", 1)


def test_a_lying_label_is_shown_apart(mlp: ProofFile, tmp_path: Path) -> None:
    path = tmp_path / "proof.json"
    mlp.save(path)
    shown = verified(path)
    valid, label, *_ = shown.splitlines()
    assert valid.startswith("valid: one window of a step of kind MLP of a model of the llama architecture")
    assert "smollm2" not in valid and "beats" not in valid
    assert label.startswith("label, not checked: ") and "smollm2-135m" in label
    assert "\x1b" not in shown and sum(line.startswith("valid:") for line in shown.splitlines()) == 1
    assert "valid: one window of MLP of layer 1, of tiny (" in verified(path, "--model", "tiny")
    told = facts(path, "--model", "tiny")
    assert told["layers"] == [1] and "about" not in told and "smollm2" not in told["proves"]
    assert "smollm2-135m" in told["unchecked_label"]["about"]


def test_window_and_tokens_are_looked_up(replay: Replay, mlp: ProofFile, tmp_path: Path) -> None:
    path = tmp_path / "proof.json"
    step_file(replay, "attention", 1).save(path)
    assert "window 1 of attention of layer 1, of tiny" in verified(path, "--model", "tiny")
    rows, boundary = replay.embedding_inputs(1)
    embedding = replace(
        mlp, kind="embedding", publics={}, inputs=(*rows, boundary), key=b"", proof=replay.prove_embedding(1)
    )
    embedding.save(path)
    assert "3 embedding rows" in verified(path)
    told = facts(path, "--model", "tiny")
    assert told["tokens"] == [[token] for token in PROMPT[32:]] and "29 rows of padding" in told["proves"]
    position = len(PROMPT) - 1
    right = replay.argmax(position)
    answer = Replay(replay.model, replay.commitment, replay.srs, PROMPT, [right])
    statement = answer.head_statement(position, 7)
    head = replace(
        mlp, kind="head", publics=dict(statement.publics), inputs=statement.inputs, key=b"",
        proof=answer.prove_head(position, 7),
    )  # fmt: skip
    head.save(path)
    assert f"next token {right} beats 7, of tiny" in verified(path, "--model", "tiny")
    told = facts(path, "--model", "tiny")
    assert (told["row"], told["token"], told["rival"]) == (position % 32, [right], [7])


def test_weights_of_the_model_in_another_architecture_are_not_the_model(
    tiny: IntegerModel, srs: SRS, tmp_path: Path
) -> None:
    """The step key alone would fit: it holds weights and shifts, not what is computed with them."""
    other = replace(tiny, config=replace(tiny.config, norm_epsilon=tiny.config.norm_epsilon * 64))
    forged = step_file(Replay(other, commit_model(other, srs, cache_dir=None), srs, PROMPT, OUTPUT), "mlp", 0)
    forged.save(tmp_path / "proof.json")
    assert forged.key in commit_model(tiny, srs, cache_dir=None).step_keys
    verified(tmp_path / "proof.json")
    with pytest.raises(ProofRejectedError, match="architecture is not that of tiny"):
        verified(tmp_path / "proof.json", "--model", "tiny")
