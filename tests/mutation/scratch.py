"""A copy of the project to mutate: nothing here ever writes into the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KERNEL_CACHE = ("*.nbi", "*.nbc")


def project_files(root: Path = ROOT) -> list[str]:
    """What Git tracks, and what it would track (new tests), as paths in the project."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
    )
    names = {name for name in listed.stdout.decode().split("\0") if name}
    return sorted(name for name in names if (root / name).is_file())


@contextmanager
def scratch_copy(root: Path = ROOT) -> Iterator[Path]:
    """A folder with the project's files, its Node packages (a link) and its compiled kernels, kept warm.

    Times of files are copied too: Numba takes a cached kernel only for the file that it was compiled from.
    """
    with tempfile.TemporaryDirectory(prefix="gainsay-mutation-") as name:
        copy = Path(name).resolve()
        wanted = {root / path for path in project_files(root)}
        wanted |= {path for pattern in KERNEL_CACHE for path in (root / "prover").rglob(pattern)}
        folders = {folder for path in wanted for folder in path.parents}

        def ignored(folder: str, names: list[str]) -> set[str]:
            paths = {name: Path(folder) / name for name in names}
            return {name for name, path in paths.items() if path not in wanted and path not in folders}

        shutil.copytree(root, copy, ignore=ignored, dirs_exist_ok=True)
        if (root / "node_modules").exists():
            os.symlink(root / "node_modules", copy / "node_modules")
        yield copy
