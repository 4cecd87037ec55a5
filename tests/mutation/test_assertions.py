"""Verifiers raise typed rejections: an assertion would vanish under `python -O`, and with it the check."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from .scratch import ROOT

VERIFYING = (
    "verify",
    "claims",
    "embedding",
    "evaluations",
    "hiding",
    "masks",
    "kept_reference",
    "merkle",
    "model_commitment",
    "plan",
    "proof",
    "proof_file",
    "proof_system",
    "statement",
    "argument/commitment",
    "argument/mercury",
    "argument/multilinear",
    "argument/points",
    "argument/reduction",
    "argument/sparse_claims",
    "argument/sumcheck",
    "argument/transcript",
    "curve/g1",
    "curve/g2",
    "curve/msm",
    "curve/combinations",
    "curve/pairing",
    "curve/pairing_checks",
    "curve/plain_pairing",
    "curve/plain_sums",
)
ABOUT_THE_PROGRAM = {"tensor.closed_form is not None", "tensor.values is not None", "scalar is not None"}
"""What a type checker cannot see, and no proof can change."""
SCRIPT = """
from prover.errors import GainsayError
from tests.verifier_gen.golden_proofs import FAMILY_STATEMENTS, LIES, STATEMENTS, golden, golden_lie
if __debug__:
    raise SystemExit("not optimised")
for name in (*STATEMENTS, *FAMILY_STATEMENTS):
    kept = golden(name)
    if not kept.python_accepts(kept.key, kept.inputs, kept.proof):
        raise SystemExit(f"{name} is rejected")
    for place in range(0, len(kept.proof), 32 * 5):
        word = int.from_bytes(kept.proof[place : place + 32], "big") + 1
        changed = kept.proof[:place] + word.to_bytes(32, "big") + kept.proof[place + 32 :]
        if kept.python_accepts(kept.key, kept.inputs, changed):
            raise SystemExit(f"{name} is accepted with byte {place} changed")
for name in LIES:
    kept = golden_lie(name)
    if kept.python_accepts(kept.key, kept.inputs, kept.proof):
        raise SystemExit(f"the {name} lie is accepted")
print("rejected")
"""


@pytest.mark.parametrize("module", VERIFYING)
def test_no_verifier_asserts_anything_about_a_proof(module: str) -> None:
    tree = ast.parse((ROOT / "prover" / f"{module}.py").read_text(encoding="utf-8"))
    asserted = {ast.unparse(node.test) for node in ast.walk(tree) if isinstance(node, ast.Assert)}
    assert asserted <= ABOUT_THE_PROGRAM


@pytest.mark.long
def test_without_assertions_everything_wrong_is_still_rejected() -> None:
    finished = subprocess.run(
        [sys.executable, "-O", "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.stdout == "rejected\n", finished.stdout + finished.stderr
