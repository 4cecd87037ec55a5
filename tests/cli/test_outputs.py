"""No command destroys its input, or a file of another kind that lies where it writes."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import gainsay
from prover.curve.srs import SRS
from prover.errors import UsageError
from tests.prover.model.hugging_face_models import save_directory, seeded_model

PTAU = Path(__file__).parents[1] / "vectors" / "powers_of_tau_4.ptau"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def command(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and standard error of a command in a folder; in this process, since the imports take seconds."""
    said = io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(io.StringIO()),
        pytest.raises(SystemExit) as left,
    ):
        gainsay.main([*arguments])
    return int(left.value.code or 0), said.getvalue()


def refuses(folder: Path, *arguments: str) -> str:
    """The command's sentence; every file is what it was."""
    before = contents(folder)
    code, said = command(folder, *arguments)
    assert code == UsageError.exit_code, (arguments, said)
    assert "unexpected" not in said
    assert contents(folder) == before, arguments
    return said


@pytest.mark.parametrize(
    "alias",
    [
        lambda source, name: (source.rename(name), source.symlink_to(name)),
        lambda source, name: name.hardlink_to(source),
        lambda source, name: name.symlink_to(source),
    ],
    ids=["input is a symlink to it", "hard link", "symlink"],
)
def test_a_ceremony_under_another_name_is_kept(tmp_path: Path, alias: Callable[[Path, Path], object]) -> None:
    source, name = tmp_path / "ceremony.ptau", tmp_path / "out.srs"
    shutil.copy(PTAU, source)
    alias(source, name)
    assert "would be lost" in refuses(tmp_path, "srs", "import", "ceremony.ptau", "out.srs", "--mu", "2")


def test_srs_import_writes_over_nothing_but_a_reference_string(tmp_path: Path) -> None:
    source = tmp_path / "ceremony.ptau"
    shutil.copy(PTAU, source)
    assert "would be lost" in refuses(tmp_path, "srs", "import", "ceremony.ptau", "./ceremony.ptau")
    (tmp_path / "other.ptau").write_bytes(b"ptau of another ceremony")
    assert "is not a reference string" in refuses(
        tmp_path, "srs", "import", "ceremony.ptau", "other.ptau", "--mu", "2"
    )
    (tmp_path / "folder").mkdir()
    assert "is a folder" in refuses(tmp_path, "srs", "import", "ceremony.ptau", "folder")
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in refuses(tmp_path, "srs", "import", "ceremony.ptau", "pipe")
    for _ in range(2):  # the second time over its own file
        assert command(tmp_path, "srs", "import", "ceremony.ptau", "kept.srs", "--mu", "2")[0] == 0
    assert SRS.load(tmp_path / "kept.srs").mu == 2


def test_a_proof_is_written_over_nothing_but_a_proof(tmp_path: Path) -> None:
    SRS.devnet(4).save(tmp_path / "my.srs")
    (tmp_path / "notes.txt").write_text("my notes")
    prove = ("prove", "--model", "tiny", "--prompt", "a", "--step", "mlp", "--layer", "0", "--window", "0")
    assert "would be lost" in refuses(tmp_path, *prove, "--srs", "my.srs", "--out", "my.srs")
    assert "not a proof file" in refuses(tmp_path, *prove, "--out", "notes.txt")


def test_an_import_keeps_the_directory_that_it_reads(tmp_path: Path) -> None:
    models = tmp_path / ".gainsay" / "models"
    source = models / "mine"
    save_directory(seeded_model("llama"), source)
    assert "would be lost" in refuses(tmp_path, "model", "import", ".gainsay/models/mine")
    assert "would be lost" in refuses(tmp_path, "model", "import", str(source), "--name", "mine")
    other = models / "photos"
    other.mkdir()
    (other / "one.jpg").write_bytes(b"\xff\xd8")
    assert "not a saved model" in refuses(tmp_path, "model", "import", str(source), "--name", "photos")
    inside = ("model", "import", str(source), "--models", str(source / "saved"), "--name", "saved")
    assert "inside the input" in refuses(tmp_path, *inside)


def test_verifiers_are_written_over_nothing_but_verifiers(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "MlpVerifier.sol").write_text("// my own contract\n")
    generate = ("verifier", "generate", "--model", "tiny", "--out", "out")
    assert "not a verifier" in refuses(tmp_path, *generate)
    (out / "MlpVerifier.sol").unlink()
    assert command(tmp_path, *generate)[0] == 0
    assert command(tmp_path, *generate)[0] == 0
