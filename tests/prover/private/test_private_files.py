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
    """Where `tiny` is committed privately."""
    return tmp_path_factory.mktemp("private")


@pytest.fixture(scope="module")
def published(folder: Path) -> Path:
    """The file for clients, away from all that its provider has."""
    (folder / "password").write_text("secret\n")
    run = CliRunner().invoke(
        devnet.model_cli.app,
        ["commit", "tiny", "--private", "--json", *_options(folder)],
        catch_exceptions=False,
    )
    assert run.exit_code == 0, run.output
    facts = json.loads(run.stdout.splitlines()[-1])
    assert facts["privacy"] == "private" and Path(facts["blindings"]).is_file()
    return Path(shutil.copy(facts["published"], folder / "published"))


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


@pytest.fixture(scope="module")
def proofs(folder: Path, published: Path) -> dict[str, ProofFile]:
    """Of one run; "public" is the public proof of the same step as "mlp"."""
    return {
        "mlp": _prove(folder / "mlp.json", folder, private=True),
        "head": _prove(folder / "head.json", folder, private=True, step="head", position=1, rival=7),
        "embedding": _prove(folder / "embedding.json", folder, private=True, step="embedding", position=1),
        "public": _prove(folder / "public.json", folder, private=False),
    }


Capture = pytest.CaptureFixture[str]


def _verified(path: Path, capsys: Capture, **options: Any) -> dict[str, Any]:
    capsys.readouterr()
    verify(path, as_json=True, **options)
    return dict(json.loads(capsys.readouterr().out))


def test_private_proofs_in_files(proofs: dict[str, ProofFile], folder: Path, capsys: Capture) -> None:
    private, public = proofs["mlp"], proofs["public"]
    assert "privacy" not in json.loads((folder / "public.json").read_text())
    assert (private.privacy, public.privacy) == ("private", "public")
    assert private.publics == public.publics
    assert not set(private.inputs) & set(public.inputs) and private.key != public.key
    facts = _verified(folder / "mlp.json", capsys, explain=True)
    assert facts["privacy"] == "private" and "private model" in facts["proves"]
    assert "the last one of 7" in json.dumps(facts["soundness"])
    with pytest.raises(BadInputError, match="that its provider publishes"):
        verify(folder / "mlp.json", model="tiny")
    for file, privacy in ((private, "public"), (public, "private"), (proofs["embedding"], "public")):
        with pytest.raises(ProofRejectedError):
            replace(file, privacy=privacy).verify(srs(18))  # type: ignore[arg-type]


def test_a_client_looks_private_proofs_up(
    proofs: dict[str, ProofFile], folder: Path, published: Path, tmp_path: Path, capsys: Capture
) -> None:
    """With the published file alone: neither weights nor blindings."""
    elsewhere = {"model": str(published), "models": tmp_path, "commitments": tmp_path}
    facts = _verified(folder / "mlp.json", capsys, **elsewhere)
    assert facts["proves"] == "one window of MLP of layer 0, of tiny" and facts["layers"] == [0]
    assert _verified(folder / "head.json", capsys, **elsewhere)["rival"] == [7]
    facts = _verified(folder / "embedding.json", capsys, explain=True, **elsewhere)
    assert facts["tokens"] == [[104], [105]] and "epsilon" in json.dumps(facts["soundness"])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProofRejectedError, match="the proof is public, and tiny is a private model"):
        verify(folder / "public.json", model=str(published))
    replace(proofs["mlp"], key=proofs["public"].key).save(tmp_path / "p.json")
    with pytest.raises(ProofRejectedError):
        verify(tmp_path / "p.json", model=str(published))


def test_a_private_proof_needs_a_private_model(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "password").write_text("secret")
    with pytest.raises(BlindingsFileError, match="gainsay model commit --private"):
        _prove(tmp_path / "p.json", tmp_path, private=True)
    with pytest.raises(UsageError, match="--blindings has no meaning without --private"):
        prove("hi", "mlp", tmp_path / "p.json", layer=0, window=0, blindings=tmp_path / "b")


def test_privacy_of_a_file_is_one_of_two(proofs: dict[str, ProofFile], tmp_path: Path) -> None:
    path = tmp_path / "proof.json"
    replace(proofs["public"], privacy="secret").save(path)  # type: ignore[arg-type]
    with pytest.raises(BadInputError, match="privacy must be public or private"):
        ProofFile.load(path)
