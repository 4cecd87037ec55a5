"""A reference string whose commitments to public tables are kept from one run to the next.

All that a verifier takes from an SRS are [tau]_2, the digest, and the commitments to the tables of its program. With these kept,
it needs no power of tau: of the devnet's SRS the powers are made only when somebody asks for them. A kept commitment is found by
the digest of the SRS and the table's own entries, so it cannot be that of another table; like all in the folder of commitments
it is as trusted as the program beside it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .curve.g1 import Point, validate
from .curve.srs import DEVNET_BITS, DEVNET_DIGEST, SRS, SrsConsistencyError, devnet_tau_g2

if TYPE_CHECKING:
    from .curve.point_arrays import PointArray


class KeptReference(SRS):
    """An SRS with a folder. Build one with `of` or `devnet`."""

    def __init__(self, facts: dict[str, object], folder: Path, powers: Callable[[], PointArray]) -> None:
        for name, value in {**facts, "_folder": folder, "_powers": powers}.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, srs: SRS, folder: Path) -> KeptReference:
        """The same reference string, with its tables kept in a folder."""
        names = ("mu", "g2_one", "g2_tau", "insecure", "digest", "description")
        return cls({name: getattr(srs, name) for name in names}, folder, lambda: srs.g1)

    @classmethod
    def on_devnet(cls, folder: Path) -> KeptReference:
        """The devnet's, without its powers until they are needed."""
        one, tau = devnet_tau_g2()
        facts: dict[str, object] = {
            "mu": DEVNET_BITS,
            "g2_one": one,
            "g2_tau": tau,
            "insecure": True,
            "digest": DEVNET_DIGEST,
            "description": f"INSECURE devnet SRS, 2^{DEVNET_BITS} powers of a public tau",
        }
        return cls(facts, folder, _devnet_powers)

    @cached_property
    def g1(self) -> PointArray:
        """The powers, made or fetched at the first call."""
        powers: PointArray = self.__dict__["_powers"]()
        return powers

    def commit_table(self, chunks: Sequence[np.ndarray]) -> list[Point]:
        """Commit the chunks of a table of integers, or read what was committed before."""
        name = sha256(b"gainsay.table.v2" + self.digest)  # of megabytes: in a few milliseconds, unlike keccak
        for chunk in chunks:
            name.update(len(chunk).to_bytes(8, "big"))
            name.update(chunk.astype("<i8").tobytes())
        path: Path = self.__dict__["_folder"] / "tables" / f"{name.hexdigest()}.json"
        kept = _read(path, len(chunks))
        if kept is None:
            kept = _committed(self, chunks)
            with suppress(OSError):  # a folder that cannot be written to only costs time
                _write(path, kept)
        return kept


def commit_table(srs: SRS, chunks: Sequence[np.ndarray]) -> list[Point]:
    """Commit the chunks of a public table, kept where the reference string keeps them."""
    return srs.commit_table(chunks) if isinstance(srs, KeptReference) else _committed(srs, chunks)


def _committed(srs: SRS, chunks: Sequence[np.ndarray]) -> list[Point]:
    from .argument.commitment import commit_chunks  # kernels, of no use to whoever finds everything kept

    return commit_chunks(srs.g1, chunks)


def _devnet_powers() -> PointArray:
    srs = SRS.devnet(DEVNET_BITS)
    if srs.digest != DEVNET_DIGEST:
        raise SrsConsistencyError(
            "the devnet's powers do not have their digest: the program is damaged, install it again"
        )
    return srs.g1


def _read(path: Path, count: int) -> list[Point] | None:
    """The kept points; None where there are none, or none that can be."""
    try:
        points = [(int(x, 16), int(y, 16)) for x, y in json.loads(path.read_text(encoding="ascii"))]
        for point in points:
            validate(point)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return points if len(points) == count else None


def _write(path: Path, points: Sequence[Point]) -> None:
    """Atomically: readers see the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False) as file:
        json.dump([[hex(x), hex(y)] for x, y in points], file)
    os.replace(file.name, path)
