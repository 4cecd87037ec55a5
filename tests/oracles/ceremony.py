"""A powers-of-tau ceremony held by snarkjs, the tool that made the public ones."""

from __future__ import annotations

import secrets
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np

from prover.curve.g2 import GENERATOR_G2, multiply_g2
from prover.curve.point_arrays import PointArray, from_points
from prover.curve.srs_powers import powers_of
from prover.field.reference import BASE_MODULUS, SCALAR_MODULUS

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


def write_ceremony(path: Path, power: int) -> None:
    """A .ptau file of 2^power with a tau that is forgotten at once, in seconds also where snarkjs takes minutes.

    Beside the header it has all 2^(power+1) - 1 powers in G1, and in G2 the two that an import reads, zeros for the others.
    """
    tau = secrets.randbelow(SCALAR_MODULUS - 2) + 2
    count = (2 << power) - 1
    powers = powers_of(tau, count)
    second = multiply_g2(GENERATOR_G2, tau)
    g2 = from_points([GENERATOR_G2[0], GENERATOR_G2[1], second[0], second[1]])
    header = struct.pack("<I", 32) + BASE_MODULUS.to_bytes(32, "little") + struct.pack("<II", power, power)
    sections = [
        (1, header, len(header)),
        (TAU_G1, powers.astype("<u8").tobytes(), 64 * count),
        (TAU_G2, g2.astype("<u8").tobytes(), 128 << power),
    ]
    with path.open("wb") as file:
        file.write(b"ptau" + struct.pack("<II", 1, len(sections)))
        for kind, data, size in sections:
            file.write(struct.pack("<IQ", kind, size) + data)
            file.seek(size - len(data), 1)
        file.truncate()


def published_powers(path: Path) -> PointArray:
    """All powers in G1 of a .ptau file."""
    data = path.read_bytes()
    start, size = section(data, TAU_G1)
    return np.frombuffer(data[start : start + size], dtype="<u8").astype(np.uint64).reshape(-1, 8)


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
