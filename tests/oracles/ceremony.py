"""A powers-of-tau ceremony held by snarkjs, the tool that made the public ones."""

from __future__ import annotations

import secrets
import shutil
import struct
import subprocess
from pathlib import Path

SNARKJS = Path(__file__).parents[2] / "node_modules" / "snarkjs" / "build" / "cli.cjs"
TAU_G1, TAU_G2 = 2, 3
"""Sections of a .ptau file that hold powers in G1 and in G2."""


class SnarkjsError(RuntimeError):
    """snarkjs did not do what it was asked for."""


def snarkjs(*arguments: str | Path) -> str:
    """Run a snarkjs command; returns what it prints. Raises SnarkjsError with that text when it fails."""
    node = shutil.which("node")
    if node is None or not SNARKJS.is_file():
        raise SnarkjsError("snarkjs is not installed; run `npm ci` (or `make setup`) in the project's folder")
    done = subprocess.run(
        [node, str(SNARKJS), *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise SnarkjsError(done.stdout + done.stderr)
    return done.stdout


def hold_ceremony(folder: Path, power: int, *, contributors: int = 1) -> Path:
    """A ceremony of 2^power powers with secret random contributions; its last file."""
    last = folder / f"power_{power}_0.ptau"
    snarkjs("powersoftau", "new", "bn128", str(power), last)
    for number in range(1, contributors + 1):
        following = folder / f"power_{power}_{number}.ptau"
        entropy = secrets.token_hex(32)
        snarkjs("powersoftau", "contribute", last, following, f"--name=contributor {number}", f"-e={entropy}")
        last = following
    return last


def section(data: bytes | bytearray, wanted: int) -> tuple[int, int]:
    """(offset, size) of a section's data."""
    at = 12
    while at < len(data):
        kind, size = struct.unpack_from("<IQ", data, at)
        at += 12
        if kind == wanted:
            return at, size
        at += size
    raise SnarkjsError(f"the file has no section {wanted}")
