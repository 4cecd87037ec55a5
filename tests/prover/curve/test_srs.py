"""The structured reference string: devnet powers, files, and a ceremony made by snarkjs.

Origin of vectors/powers_of_tau_4.ptau: snarkjs 0.7.6, ``powersoftau new bn128 4``, one ``contribute`` and one
``beacon``; ``snarkjs powersoftau verify`` accepts it.
"""

import itertools
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from eth_hash.auto import keccak

from prover.curve import g1, g2, point_arrays
from prover.curve.pairing import pairing_check
from prover.curve.ptau import PtauFormatError, import_ptau
from prover.curve.srs import SRS, SrsConsistencyError, SrsFileError, SrsMissingError, SrsSizeError

PTAU = Path(__file__).parents[2] / "vectors" / "powers_of_tau_4.ptau"
HEADER_BYTES, FIRST_SECTION = 12, 24
TAU_G1 = FIRST_SECTION + 44 + 12  # data of section 2, after the header section and its own heading


@pytest.fixture(scope="module")
def devnet():
    return SRS.devnet(5)


def test_devnet_powers(devnet):
    powers = point_arrays.to_points(devnet.g1)
    assert len(powers) == 32 and powers[0] == g1.GENERATOR
    assert devnet.insecure and "INSECURE" in devnet.description
    for lower, upper in itertools.pairwise(powers):
        assert pairing_check([(upper, g2.GENERATOR_G2), (g1.negate(lower), devnet.g2_tau)])
    devnet.check_consistency()


def test_digest_is_the_documented_hash(devnet):
    points = b"".join(g1.point_to_bytes(point) for point in point_arrays.to_points(devnet.g1))
    in_g2 = g2.point_g2_to_bytes(g2.GENERATOR_G2) + g2.point_g2_to_bytes(devnet.g2_tau)
    assert devnet.digest == keccak(b"gainsay.srs.v1" + (5).to_bytes(32, "big") + in_g2 + points)
    assert devnet.digest == SRS.devnet(5).digest != SRS.devnet(4).digest


def test_truncation_is_the_smaller_devnet(devnet):
    small = devnet.truncated(3)
    assert small.digest == SRS.devnet(3).digest and small.insecure
    with pytest.raises(SrsSizeError):
        devnet.truncated(6)
    with pytest.raises(SrsSizeError):
        SRS.devnet(0)


def test_inconsistent_powers_are_refused(devnet):
    swapped = devnet.g1.copy()
    swapped[[7, 8]] = swapped[[8, 7]]
    with pytest.raises(SrsConsistencyError):
        replace(devnet, g1=swapped).check_consistency()
    last = devnet.g1.copy()
    last[-1] = last[-2]
    with pytest.raises(SrsConsistencyError):
        replace(devnet, g1=last).check_consistency()
    with pytest.raises(SrsConsistencyError):
        replace(devnet, g2_tau=g2.multiply_g2(g2.GENERATOR_G2, 5)).check_consistency()
    with pytest.raises(SrsConsistencyError, match="generators"):
        replace(devnet, g1=np.roll(devnet.g1, 1, axis=0)).check_consistency()
    ones = np.repeat(devnet.g1[:1], 32, axis=0)
    with pytest.raises(SrsConsistencyError, match="0 or 1"):
        replace(devnet, g1=ones, g2_tau=g2.GENERATOR_G2).check_consistency()


def test_save_and_load(devnet, tmp_path):
    path = tmp_path / "made" / "devnet.srs"
    devnet.save(path)
    loaded = SRS.load(path)
    assert np.array_equal(loaded.g1, devnet.g1)
    assert replace(loaded, g1=devnet.g1) == devnet
    assert [entry.name for entry in path.parent.iterdir()] == ["devnet.srs"]


def test_damaged_files_are_refused(devnet, tmp_path):
    path = tmp_path / "devnet.srs"
    other = devnet.g1.copy()
    other[3] = other[4]
    replace(devnet, g1=other).save(path)
    with pytest.raises(SrsFileError, match="digest"):
        SRS.load(path)
    other[3] = 1
    replace(devnet, g1=other).save(path)
    with pytest.raises(SrsFileError, match="not on y"):
        SRS.load(path)
    replace(devnet, insecure=False).save(path)
    with pytest.raises(SrsFileError, match="public devnet tau"):
        SRS.load(path)
    devnet.save(path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(SrsFileError):
        SRS.load(path)
    path.write_bytes(b"not an archive")
    with pytest.raises(SrsFileError):
        SRS.load(path)
    with pytest.raises(SrsMissingError, match="srs import"):
        SRS.load(tmp_path / "absent")


@pytest.mark.parametrize("mu", [1, 3, 4])
def test_ceremony_file_of_snarkjs(mu):
    srs = import_ptau(PTAU, mu)
    assert srs.mu == mu and len(srs.g1) == 1 << mu and not srs.insecure
    assert srs.digest == import_ptau(PTAU, 4).truncated(mu).digest


def test_ceremony_too_small():
    for mu in (0, 5):
        with pytest.raises(SrsSizeError):
            import_ptau(PTAU, mu)


def _with_bytes(data, position, replacement):
    return data[:position] + replacement + data[position + len(replacement) :]


@pytest.mark.parametrize(
    ("position", "replacement", "error"),
    [
        (0, b"zkey", PtauFormatError),
        (4, struct.pack("<I", 2), PtauFormatError),
        (8, struct.pack("<I", 2**31), PtauFormatError),
        (HEADER_BYTES + 4, struct.pack("<Q", 2**60), PtauFormatError),
        (FIRST_SECTION, struct.pack("<I", 48), PtauFormatError),
        (FIRST_SECTION + 4, bytes([1]), PtauFormatError),
        (FIRST_SECTION + 36, struct.pack("<I", 5), PtauFormatError),
        (FIRST_SECTION + 44, struct.pack("<I", 1), PtauFormatError),
        (TAU_G1 + 64, bytes(64), SrsConsistencyError),
        (TAU_G1 + 128, bytes([1]), g1.OffCurveError),
        (TAU_G1 + 128, bytes([255] * 32), g1.CoordinateRangeError),
    ],
)
def test_forged_ceremony_files_are_refused(tmp_path, position, replacement, error):
    path = tmp_path / "forged.ptau"
    path.write_bytes(_with_bytes(PTAU.read_bytes(), position, replacement))
    with pytest.raises(error):
        import_ptau(path, 4)


def test_ceremony_with_swapped_powers_or_another_tau(tmp_path):
    data = PTAU.read_bytes()
    path = tmp_path / "forged.ptau"
    third, fourth = (data[TAU_G1 + 64 * i : TAU_G1 + 64 * (i + 1)] for i in (3, 4))
    path.write_bytes(_with_bytes(data, TAU_G1 + 64 * 3, fourth + third))
    with pytest.raises(SrsConsistencyError):
        import_ptau(path, 4)
    tau_g2 = TAU_G1 + 31 * 64 + 12
    generator = data[tau_g2 : tau_g2 + 128]
    path.write_bytes(_with_bytes(data, tau_g2 + 128, generator))
    with pytest.raises(SrsConsistencyError):
        import_ptau(path, 4)
    path.write_bytes(_with_bytes(data, tau_g2, data[tau_g2 + 128 : tau_g2 + 256]))
    with pytest.raises(PtauFormatError, match="generator"):
        import_ptau(path, 4)
    path.write_bytes(data[: TAU_G1 + 100])
    with pytest.raises(PtauFormatError):
        import_ptau(path, 4)
