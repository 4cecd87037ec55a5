"""Proof files: what is written verifies; every damaged or hostile file is one typed error."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prover.architectures import config_from_json
from prover.errors import BadInputError, NotFoundError, ProofRejectedError
from prover.operators.rotary import RotaryTable
from prover.proof_file import ProofFile, _checksum

from .operators.random_layers import SMALL
from .statements import proven, srs


@pytest.fixture
def proof() -> ProofFile:
    case = proven("mlp")
    return ProofFile(
        kind="mlp",
        architecture=SMALL,
        srs=srs().digest.hex(),
        publics={},
        inputs=case.statement.inputs,
        key=case.statement.key.encode(),
        proof=case.proof.encode(),
        model="small",
        about="a random layer",
    )


def _edited(path: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """A file whose author changed it on purpose, checksum included."""
    body = json.loads(path.read_text())
    body.pop("checksum")
    edit(body)
    path.write_text(json.dumps(body | {"checksum": _checksum(body)}))
    return path


def test_a_saved_proof_is_read_back_and_verifies(proof: ProofFile, tmp_path: Path) -> None:
    proof.save(tmp_path / "proof.json")
    read = ProofFile.load(tmp_path / "proof.json")
    assert read == proof
    read.verify(srs())


def test_a_changed_proof_key_or_srs_is_rejected(proof: ProofFile) -> None:
    flipped = proof.proof[:-1] + bytes([proof.proof[-1] ^ 1])
    for wrong in (
        replace(proof, proof=flipped),
        replace(proof, proof=proof.proof[:-32]),
        replace(
            proof,
            kind="head",
            publics={"row": 0, "factor": 1, "offset": 1 << 63},
            inputs=(*proof.inputs, (0, 0)),
            key=b"",
        ),
        replace(proof, srs="00" * 32),
        replace(proof, architecture=replace(SMALL, norm_epsilon=1e-4)),
    ):
        with pytest.raises(ProofRejectedError):
            wrong.verify(srs())
    with pytest.raises(BadInputError, match="step key"):
        replace(proof, key=proof.key[:-1]).verify(srs())


def test_a_damaged_file_is_named_as_such(proof: ProofFile, tmp_path: Path) -> None:
    path = tmp_path / "proof.json"
    with pytest.raises(NotFoundError, match="gainsay prove"):
        ProofFile.load(path)
    proof.save(path)
    path.write_text(path.read_text().replace("a random layer", "another layer"))
    with pytest.raises(BadInputError, match="damaged"):
        ProofFile.load(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "other"),
        ("inputs", [["0x1"]]),
        ("publics", {"row": "1"}),
        ("proof", "zz"),
        ("architecture", {}),
    ],
)
def test_a_malformed_field_is_bad_input(proof: ProofFile, tmp_path: Path, field: str, value: object) -> None:
    path = tmp_path / "proof.json"
    proof.save(path)
    with pytest.raises(BadInputError):
        ProofFile.load(_edited(path, lambda body: body.update({field: value})))


@pytest.mark.parametrize("kind", ["keys_values", "attention", "attention_tile"])
def test_an_architecture_with_huge_tables_is_refused_before_they_are_made(
    proof: ProofFile, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2^23 entries of a rotation. Those of activations have 2^20 at most, by the limit of their field."""
    monkeypatch.setattr(RotaryTable, "both", lambda table: pytest.fail("it is made"))
    huge = replace(
        SMALL, max_positions=1 << 15, head_size=1 << 7, step_weights=1 if "tile" in kind else 1 << 30
    )
    with pytest.raises(BadInputError, match=r"rotation has 2\^23 entries"):
        replace(proof, kind=kind, architecture=huge).verify(srs())
    with pytest.raises(ValueError, match="activation_bits"):
        config_from_json({**SMALL.to_json(), "activation_bits": 21})


def test_an_architecture_with_more_steps_than_there_can_be_is_refused(
    proof: ProofFile, tmp_path: Path
) -> None:
    """Before a schedule of 2^28 steps is made."""
    path = tmp_path / "proof.json"
    replace(proof, architecture=replace(SMALL, layers=4096, feed_forward=1 << 16, step_weights=1)).save(path)
    with pytest.raises(BadInputError, match="268566528 steps cannot be registered"):
        ProofFile.load(path)
