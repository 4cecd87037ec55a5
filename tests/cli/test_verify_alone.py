"""`gainsay verify` is a program that checks one proof: it is done before Numba would be imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPORTING = """
import atexit, sys

atexit.register(lambda: print("Numba is", "loaded" if "numba" in sys.modules else "absent"))
"""
STATEMENTS = {
    "keys_values": ("--layer", "1", "--window", "0"),
    "attention": ("--layer", "1", "--window", "0"),
    "mlp": ("--layer", "1", "--window", "0"),
    "embedding": ("--position", "3"),
    "head": ("--position", "3", "--rival", "7"),
}


def test_a_family_is_imported_when_it_is_asked_for() -> None:
    program = """
import sys
from prover.architectures import FAMILIES, config_from_json
assert not [family for family in FAMILIES if f"prover.architectures.{family}" in sys.modules]
print(FAMILIES["llama"].family, [family for family in FAMILIES if f"prover.architectures.{family}" in sys.modules])
"""
    assert _python("-c", program, cwd=Path.cwd()).strip() == "llama ['llama']"


def test_what_verifies_imports_no_kernels() -> None:
    modules = "prover.proof_file, prover.proof_subject, prover.kept_reference, prover.soundness"
    assert "absent" in _python("-c", f"{REPORTING}\nimport {modules}", cwd=Path.cwd())


@pytest.mark.long
@pytest.mark.parametrize("step", STATEMENTS)
def test_a_proof_is_verified_without_any_kernel(step: str, tmp_path: Path) -> None:
    which = ("--model", "tiny", "--prompt", "hello", "--step", step, *STATEMENTS[step])
    _python("-m", "gainsay", "prove", *which, "--out", "proof.json", cwd=tmp_path)
    _python("-m", "gainsay", "verify", "proof.json", cwd=tmp_path)  # keeps the commitments of tables
    program = REPORTING + "import runpy; runpy.run_module('gainsay', run_name='__main__')"
    said = _python("-c", program, "verify", "proof.json", "--explain", cwd=tmp_path)
    assert "valid" in said
    assert "Numba is absent" in said


def _python(*arguments: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout
