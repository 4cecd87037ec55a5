"""Import of a public powers-of-tau ceremony in the binary form of snarkjs (``.ptau``).

A file is ``"ptau"``, a version and a section count (little-endian uint32), then sections of type (uint32),
size (uint64) and data. Section 1 is the header: bytes per coordinate (uint32), q, power, ceremony power
(uint32 each). Section 2 holds 2^(power+1) - 1 powers in G1, section 3 holds 2^power powers in G2; coordinates
are little-endian Montgomery forms with radix 2^256, which are the limbs of our point arrays. Only the bytes
needed are read.
"""

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..field.reference import BASE_MODULUS
from .g2 import GENERATOR_G2, PointG2
from .point_arrays import to_points, validate_coordinates, validate_points
from .srs import SRS, SrsError, SrsSizeError

_MAGIC = b"ptau"
_VERSION = 1
_HEADER, _TAU_G1, _TAU_G2 = 1, 2, 3
_MOST_SECTIONS = 64
_COORDINATE_BYTES = 32


class PtauFormatError(SrsError):
    """A file is not a complete .ptau file for BN254."""


def import_ptau(path: Path | str, mu: int) -> SRS:
    """The first 2^mu powers of a ceremony as an SRS.

    Raises PtauFormatError for another format or curve, SrsSizeError when the ceremony is too small, a
    PointError for points off the curve or outside G2, and SrsConsistencyError when the pairings disagree.
    """
    path = Path(path)
    with path.open("rb") as file:
        sections = _read_sections(file, path.stat().st_size)
        power = _read_header(file, sections)
        if not 1 <= mu <= power:
            raise SrsSizeError(f"the ceremony has 2^{power} powers, so mu must be in 1..{power}, not {mu}")
        if sections[_TAU_G1][1] != ((2 << power) - 1) * 64 or sections[_TAU_G2][1] != (1 << power) * 128:
            raise PtauFormatError("a section of powers has the wrong length: download the file again")
        g1 = _read_limbs(file, sections[_TAU_G1][0], 64 << mu)
        g2 = _read_limbs(file, sections[_TAU_G2][0], 2 * 128)
    validate_points(g1)
    validate_coordinates(g2)
    g2_one, g2_tau = _g2_points(g2)
    if g2_one != GENERATOR_G2:
        raise PtauFormatError("the first G2 point is not the generator of BN254's G2: use a bn128 ceremony")
    srs = SRS.from_powers(mu, g1, g2_tau, insecure=False, description=f"{path.name}, first 2^{mu} powers")
    srs.check_consistency()
    return srs


def _read_exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise PtauFormatError("the file ends too early: download it again")
    return data


def _read_sections(file: BinaryIO, file_size: int) -> dict[int, tuple[int, int]]:
    """Offset and size of every section's data."""
    if _read_exactly(file, 4) != _MAGIC:
        raise PtauFormatError("the file does not start with 'ptau': pass a snarkjs .ptau file")
    version, count = struct.unpack("<II", _read_exactly(file, 8))
    if version != _VERSION or count > _MOST_SECTIONS:
        raise PtauFormatError(f"unknown .ptau version {version} with {count} sections: expected version 1")
    sections: dict[int, tuple[int, int]] = {}
    for _ in range(count):
        kind, size = struct.unpack("<IQ", _read_exactly(file, 12))
        offset = file.tell()
        if offset + size > file_size:
            raise PtauFormatError(f"section {kind} goes past the end of the file: download it again")
        if kind in sections:
            raise PtauFormatError(f"section {kind} appears twice: the file is damaged or forged")
        sections[kind] = (offset, size)
        file.seek(offset + size)
    for kind in (_HEADER, _TAU_G1, _TAU_G2):
        if kind not in sections:
            raise PtauFormatError(f"section {kind} is missing: download the file again")
    return sections


def _read_header(file: BinaryIO, sections: dict[int, tuple[int, int]]) -> int:
    """The power of the file, once the curve is known to be BN254."""
    offset, size = sections[_HEADER]
    file.seek(offset)
    header = _read_exactly(file, size)
    if size != 4 + _COORDINATE_BYTES + 8 or header[:4] != struct.pack("<I", _COORDINATE_BYTES):
        raise PtauFormatError("the header is not that of a 254-bit curve: use a bn128 ceremony")
    if int.from_bytes(header[4 : 4 + _COORDINATE_BYTES], "little") != BASE_MODULUS:
        raise PtauFormatError("the header names another base field: use a bn128 ceremony")
    power: int = struct.unpack("<I", header[-8:-4])[0]
    if power > 28:
        raise PtauFormatError(f"power {power} is above the 28 that BN254 allows: the file is damaged")
    return power


def _read_limbs(file: BinaryIO, offset: int, count: int) -> np.ndarray:
    """(count / 64, 8) uint64 from the file's little-endian limbs."""
    file.seek(offset)
    return np.frombuffer(_read_exactly(file, count), dtype="<u8").astype(np.uint64).reshape(-1, 8)


def _g2_points(limbs: np.ndarray) -> tuple[PointG2, PointG2]:
    """Two G2 points from (4, 8) limbs; each takes two rows, x then y, with the real coefficient first."""
    x_one, y_one, x_tau, y_tau = to_points(limbs)
    return (x_one, y_one), (x_tau, y_tau)
