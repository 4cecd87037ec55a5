"""`gainsay prove --private` and `gainsay verify`, through files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from prover.cli import prove, verify
from prover.errors import BadInputError, ProofRejectedError, UsageError
from prover.proof_file import ProofFile
from tests.prover.statements import srs


def _prove(path: Path, *, private: bool) -> ProofFile:
    prove("hi", "mlp", path, layer=0, window=0, max_tokens=1, raw=True, private=private, as_json=True)
    return ProofFile.load(path)


def test_private_proofs_in_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two files about the same run have no commitment in common, with each other or with the public one."""
    first, second = (_prove(tmp_path / f"{i}.json", private=True) for i in range(2))
    public = _prove(tmp_path / "public.json", private=False)
    assert "privacy" not in json.loads((tmp_path / "public.json").read_text())
    assert (first.privacy, public.privacy) == ("private", "public")
    for one, other in ((first, second), (first, public)):
        assert not set(one.inputs) & set(other.inputs) and one.key != other.key
        assert one.publics == other.publics
    capsys.readouterr()
    verify(tmp_path / "0.json", explain=True, as_json=True)
    facts = json.loads(capsys.readouterr().out)
    assert facts["privacy"] == "private" and "private model" in facts["proves"]
    assert "the last one of 7" in json.dumps(facts["soundness"])
    with pytest.raises(BadInputError, match="verify it without --model"):
        verify(tmp_path / "0.json", model="tiny")
    for file, privacy in ((first, "public"), (public, "private")):
        with pytest.raises(ProofRejectedError):
            replace(file, privacy=privacy).verify(srs(18))  # type: ignore[arg-type]


def test_privacy_of_a_file_is_one_of_two(tmp_path: Path) -> None:
    path = tmp_path / "proof.json"
    proof = _prove(path, private=False)
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
