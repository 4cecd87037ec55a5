"""The structured reference string: powers of a secret tau in G1, and [1]_2, [tau]_2.

The digest of an SRS is part of every verifier and of ``model_id``:

    keccak256("gainsay.srs.v1" || uint256 mu || [1]_2 || [tau]_2 || [tau^0]_1 || [tau^1]_1 || ...)

with points in the EVM's encodings (64 and 128 bytes, big endian). Kernels for points are imported where a power is used: whoever
verifies one proof uses none.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from eth_hash.auto import keccak

from ..errors import BadInputError, ChunkSizeError, NotFoundError
from ..field.reference import SCALAR_MODULUS
from .g1 import GENERATOR, INFINITY, negate
from .g2 import GENERATOR_G2, PointG2, multiply_g2, point_g2_from_bytes, point_g2_to_bytes, validate_g2
from .pairing_checks import pairing_check

if TYPE_CHECKING:
    from .point_arrays import PointArray

LARGEST_MU = 28
"""2^28 divides r - 1 and is the largest public ceremony for BN254."""

_DIGEST_TAG = b"gainsay.srs.v1"
_DEVNET_LABEL = b"gainsay.srs.devnet.v1: this tau is public, never use it with real bonds"
_FILE_VERSION = 1
# what NumPy and zipfile raise for files that are something else
_UNREADABLE = (
    OSError, KeyError, EOFError, ValueError, TypeError, IndexError, AttributeError, OverflowError, RuntimeError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


DEVNET_BITS = 18
"""The devnet has 2^18 powers: what the programs of the reference model need."""
DEVNET_DIGEST = bytes.fromhex("481429e4c8e184a80437d149989f6aa6a349a77c0f1f55a579eb40a4871fa34e")
"""Of the devnet's SRS, for whoever needs no power of it."""


class SrsError(BadInputError, ValueError):
    """A structured reference string cannot be used."""


class SrsFileError(SrsError):
    """A file does not hold the structured reference string that it should."""


class SrsMissingError(SrsFileError):
    """There is no such file."""

    exit_code = NotFoundError.exit_code


class SrsConsistencyError(SrsError):
    """The points are not the powers of one tau."""


class SrsSizeError(SrsError):
    """More powers are asked for than there are."""


@dataclass(frozen=True)
class SRS:
    """Powers ``[tau^i]_1`` for i < 2^mu as (2^mu, 8) points (point_arrays.py), with [1]_2 and [tau]_2.

    ``insecure`` is true when somebody may know tau; whoever shows the SRS says so. ``digest`` is the 32 bytes
    described above. Build one with ``devnet``, ``load`` or ``import_ptau`` (ptau.py).
    """

    mu: int
    g1: PointArray
    g2_one: PointG2
    g2_tau: PointG2
    insecure: bool
    digest: bytes
    description: str

    @classmethod
    def from_powers(
        cls, mu: int, g1: PointArray, g2_tau: PointG2, *, insecure: bool, description: str
    ) -> SRS:
        """An SRS over given powers, with its digest computed; see check_consistency for untrusted ones."""
        from .point_arrays import aligned_points, checked_points, to_bytes

        checked_points(g1)
        if not 1 <= mu <= LARGEST_MU or len(g1) != 1 << mu:
            raise SrsSizeError(f"mu = {mu} needs 2^mu powers with 1 <= mu <= {LARGEST_MU}, got {len(g1)}")
        digest = keccak(
            _DIGEST_TAG
            + mu.to_bytes(32, "big")
            + point_g2_to_bytes(GENERATOR_G2)
            + point_g2_to_bytes(g2_tau)
            + to_bytes(g1)
        )
        return cls(mu, aligned_points(g1), GENERATOR_G2, g2_tau, insecure, digest, description)

    @classmethod
    def devnet(cls, mu: int) -> SRS:
        """An INSECURE SRS whose tau is the hash of a public label: the same everywhere, for tests only."""
        if not 1 <= mu <= LARGEST_MU:
            raise SrsSizeError(f"mu must be between 1 and {LARGEST_MU}, got {mu}")
        from .srs_powers import powers_of

        tau = _devnet_tau()
        g1 = powers_of(tau, 1 << mu)
        description = f"INSECURE devnet SRS, 2^{mu} powers of a public tau"
        return cls.from_powers(mu, g1, multiply_g2(GENERATOR_G2, tau), insecure=True, description=description)

    def truncated(self, mu: int) -> SRS:
        """The first 2^mu powers of this SRS, which is an SRS with a digest of its own."""
        if mu > self.mu:
            raise SrsSizeError(f"this SRS has 2^{self.mu} powers, not 2^{mu}: import a larger ceremony file")
        powers = np.ascontiguousarray(self.g1[: 1 << mu])
        description = f"{self.description}, first 2^{mu} powers"
        return SRS.from_powers(mu, powers, self.g2_tau, insecure=self.insecure, description=description)

    def check_consistency(self) -> None:
        """Raise unless the points are the powers of one tau other than 0 and 1.

        Checks every point's curve, the two generators, and for fresh random 128-bit r_i
        ``e(sum r_i [tau^(i+1)]_1, [1]_2) = e(sum r_i [tau^i]_1, [tau]_2)``.
        A wrong power passes with probability below 2^-127. About two seconds for mu = 18.
        """
        from .point_arrays import to_points, validate_points
        from .srs_powers import random_combinations

        validate_points(self.g1)
        validate_g2(self.g2_tau)
        first, second = to_points(np.ascontiguousarray(self.g1[:2]))
        if first != GENERATOR or self.g2_one != GENERATOR_G2:
            raise SrsConsistencyError(
                "the first powers are not the generators of G1 and G2: not a BN254 ceremony"
            )
        if second in (INFINITY, GENERATOR):
            raise SrsConsistencyError("tau is 0 or 1, so anything could be forged: use another file")
        lower, upper = random_combinations(self.g1)
        if not pairing_check([(upper, self.g2_one), (negate(lower), self.g2_tau)]):
            raise SrsConsistencyError(
                "the points are not the powers of one tau: the file is damaged or forged, get it again"
            )

    @staticmethod
    def is_file_of_this_kind(path: Path) -> bool:
        """Whether `save` wrote this file, damaged or not: `srs import` may replace it."""
        try:
            with zipfile.ZipFile(path) as archive:
                return {"g1.npy", "g2_tau.npy", "digest.npy"} <= set(archive.namelist())
        except (OSError, ValueError, zipfile.BadZipFile):
            return False

    def save(self, path: Path | str) -> None:
        """Write the SRS to one file, atomically: readers see the old file or the whole new one."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(
                    file,
                    version=np.int64(_FILE_VERSION),
                    mu=np.int64(self.mu),
                    g1=self.g1,
                    g2_tau=np.frombuffer(point_g2_to_bytes(self.g2_tau), np.uint8),
                    insecure=np.bool_(self.insecure),
                    digest=np.frombuffer(self.digest, np.uint8),
                    description=np.frombuffer(self.description.encode(), np.uint8),
                )
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: Path | str) -> SRS:
        """Read a file that ``save`` wrote; raises SrsFileError when it is damaged.

        The curve equation of every point and the digest are checked again. Whether the points are powers of
        one tau was checked on import and is pinned by the digest; compare it with the one you expect.
        """
        from .point_arrays import validate_points

        try:
            with np.load(path, allow_pickle=False) as fields:
                if int(fields["version"]) != _FILE_VERSION:
                    raise SrsFileError(f"{path} has format version {fields['version']}: make the file again")
                g1 = np.ascontiguousarray(fields["g1"])
                validate_points(g1)
                srs = cls.from_powers(
                    int(fields["mu"]),
                    g1,
                    point_g2_from_bytes(fields["g2_tau"].tobytes()),
                    insecure=bool(fields["insecure"]),
                    description=fields["description"].tobytes().decode(),
                )
                stored_digest = fields["digest"].tobytes()
        except SrsFileError:
            raise
        except FileNotFoundError as error:
            raise SrsMissingError(
                f"there is no SRS file {path}; make it with `gainsay srs import`, or correct --srs"
            ) from error
        except _UNREADABLE as error:
            raise SrsFileError(f"{path} is no readable SRS file ({error}): make it again") from error
        if stored_digest != srs.digest:
            raise SrsFileError(f"{path} does not have the digest it names: make it again")
        if not srs.insecure and srs.g2_tau == multiply_g2(GENERATOR_G2, _devnet_tau()):
            raise SrsFileError(f"{path} holds the public devnet tau but claims to be secure: refuse it")
        return srs


def check_square(mu: int) -> None:
    """Raise ChunkSizeError unless 2^mu is a square, which is what an opening needs; powers alone may be any number."""
    if mu % 2:
        raise ChunkSizeError(
            f"2^{mu} powers of tau cannot be used: the opening reads them as the rows of a square, so mu must be even;"
            f" import the ceremony with --mu {mu - 1 or 2}"
        )


def _devnet_tau() -> int:
    return int.from_bytes(keccak(_DEVNET_LABEL), "big") % SCALAR_MODULUS


def devnet_tau_g2() -> tuple[PointG2, PointG2]:
    """[1]_2 and [tau]_2 of the devnet's SRS."""
    return GENERATOR_G2, multiply_g2(GENERATOR_G2, _devnet_tau())
