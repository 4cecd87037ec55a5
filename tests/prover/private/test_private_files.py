"""`gainsay prove --private` and `gainsay verify`, through files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import devnet.model_cli
from prover.blindings_file import BlindingsFileError
from prover.cli import prove, verify
from prover.errors import BadInputError, ProofRejectedError, UsageError
from prover.proof_file import ProofFile
from tests.prover.statements import srs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `tiny` was committed privately."""
    return tmp_path_factory.mktemp("private")


@pytest.fixture(scope="module")
def committed(folder: Path) -> dict[str, Any]:
    (folder / "password").write_text("secret\n")
    run = CliRunner().invoke(
        devnet.model_cli.app,
        ["commit", "tiny", "--private", "--json", *_options(folder)],
        catch_exceptions=False,
    )
    assert run.exit_code == 0, run.output
    return dict(json.loads(run.stdout.splitlines()[-1]))


def _options(folder: Path) -> list[str]:
    named = {
        "models": folder / "models",
        "commitments": folder / "c",
        "blindings-password-file": folder / "password",
    }
    return [text for name, path in named.items() for text in (f"--{name}", str(path))]


def _prove(path: Path, folder: Path, *, private: bool, step: str = "mlp", **more: Any) -> ProofFile:
    place = more or {"layer": 0, "window": 0}
    prove(
        "hi", step, path, max_tokens=1, raw=True, private=private, as_json=True, models=folder / "models",
        commitments=folder / "c", password_file=folder / "password", **place,
    )  # fmt: skip
    return ProofFile.load(path)


def test_private_proofs_in_files(
    tmp_path: Path, folder: Path, committed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Two files about the same run have the model's key and no other commitment in common, and none with the public one."""
    first, second = (_prove(tmp_path / f"{i}.json", folder, private=True) for i in range(2))
    public = _prove(tmp_path / "public.json", folder, private=False)
    assert "privacy" not in json.loads((tmp_path / "public.json").read_text())
    assert (first.privacy, public.privacy) == ("private", "public")
    assert first.key == second.key != public.key and first.publics == second.publics == public.publics
    assert not set(first.inputs) & set(second.inputs) and not set(first.inputs) & set(public.inputs)
    capsys.readouterr()
    verify(tmp_path / "0.json", explain=True, as_json=True)
    facts = json.loads(capsys.readouterr().out)
    assert facts["privacy"] == "private" and "private model" in facts["proves"]
    assert "the last one of 7" in json.dumps(facts["soundness"])
    with pytest.raises(BadInputError, match="that its provider publishes"):
        verify(tmp_path / "0.json", model="tiny")
    for file, privacy in ((first, "public"), (public, "private")):
        with pytest.raises(ProofRejectedError):
            replace(file, privacy=privacy).verify(srs(18))  # type: ignore[arg-type]


def test_a_client_looks_private_proofs_up(
    tmp_path: Path, folder: Path, committed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """With the published file alone: neither weights nor blindings."""
    published, path = str(tmp_path / "model"), tmp_path / "p.json"
    shutil.copy(committed["published"], published)
    proof = _prove(path, folder, private=True)
    capsys.readouterr()
    verify(path, model=published, models=tmp_path / "none", commitments=tmp_path / "none", as_json=True)
    facts = json.loads(capsys.readouterr().out)
    assert facts["proves"] == "one window of MLP of layer 0, of tiny" and facts["layers"] == [0]
    other = _prove(path, folder, private=False)
    with pytest.raises(ProofRejectedError, match="the proof is public, and tiny is a private model"):
        verify(path, model=published)
    replace(proof, key=other.key).save(path)
    with pytest.raises(ProofRejectedError):
        verify(path, model=published)
    _prove(path, folder, private=True, step="head", position=1, rival=7)
    capsys.readouterr()
    verify(path, model=published, as_json=True)
    assert json.loads(capsys.readouterr().out)["rival"] == [7]


def test_a_private_proof_needs_a_private_model(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "password").write_text("secret")
    with pytest.raises(BlindingsFileError, match="gainsay model commit --private"):
        _prove(tmp_path / "p.json", tmp_path, private=True)
    with pytest.raises(UsageError, match="--blindings has no meaning without --private"):
        prove("hi", "mlp", tmp_path / "p.json", layer=0, window=0, blindings=tmp_path / "b")


def test_privacy_of_a_file_is_one_of_two(tmp_path: Path) -> None:
    path = tmp_path / "proof.json"
    proof = _prove(path, tmp_path, private=False)
    replace(proof, privacy="secret").save(path)  # type: ignore[arg-type]
    with pytest.raises(BadInputError, match="privacy must be public or private"):
        ProofFile.load(path)


def test_an_embedding_is_not_private(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--private has no meaning with --step embedding"):
        prove("hi", "embedding", tmp_path / "e.json", position=0, private=True)
    with pytest.raises(BadInputError, match="no private embedding statements"):
        replace(_embedding(tmp_path), privacy="private").verify(srs(18))


def _embedding(folder: Path) -> ProofFile:
    prove("hi", "embedding", folder / "e.json", position=0, max_tokens=1, raw=True, as_json=True)
    return ProofFile.load(folder / "e.json")
