"""`gainsay srs` on files that are and are not what it takes."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from prover.curve.srs import SRS
from prover.curve.srs_cli import app

RUNNER = CliRunner()


def test_show_prints_the_digest_of_a_saved_reference_string(tmp_path: Path) -> None:
    srs = SRS.devnet(4)
    srs.save(tmp_path / "small.srs")
    result = RUNNER.invoke(app, ["show", str(tmp_path / "small.srs"), "--json"])
    assert result.exit_code == 0, result.output
    facts = json.loads(result.output)
    assert (facts["digest"], facts["mu"], facts["insecure"]) == (srs.digest.hex(), 4, True)


def test_import_refuses_what_is_no_ceremony_and_writes_nothing(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.ptau"
    damaged.write_bytes(b"ptau" + bytes(40))
    for source in (damaged, tmp_path / "absent.ptau"):
        result = RUNNER.invoke(app, ["import", str(source), str(tmp_path / "out.srs")])
        assert result.exit_code != 0
        assert str(source) in str(result.exception)
    assert not (tmp_path / "out.srs").exists()
