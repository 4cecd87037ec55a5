"""`gainsay verify` is a program that checks one proof: it is done before a kernel would be loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT_KERNELS = """
from numba.core.dispatcher import Dispatcher

def refuse(self, *_, **__):
    raise RuntimeError(f"{self.py_func.__module__}.{self.py_func.__name__} was loaded")

Dispatcher._compile_for_args = refuse
"""


@pytest.mark.long
@pytest.mark.parametrize("step", ["keys_values", "attention", "mlp"])
def test_a_proof_is_verified_without_any_kernel(step: str, tmp_path: Path) -> None:
    prompt = ("--model", "tiny", "--prompt", "hello", "--layer", "1", "--window", "0")
    _gainsay("-m", "gainsay", "prove", *prompt, "--step", step, "--out", "proof.json", cwd=tmp_path)
    _gainsay("-m", "gainsay", "verify", "proof.json", cwd=tmp_path)  # keeps the commitments of tables
    program = WITHOUT_KERNELS + "import runpy; runpy.run_module('gainsay', run_name='__main__')"
    assert "valid" in _gainsay("-c", program, "verify", "proof.json", cwd=tmp_path)


def _gainsay(*arguments: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout
