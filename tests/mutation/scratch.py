"""A copy of the project to mutate: nothing here ever writes into the checkout."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KERNEL_CACHE = ("*.nbi", "*.nbc")


def project_files(root: Path = ROOT) -> list[str]:
    """Everything but what .gitignore and this list name, as paths in the project; Git itself is not needed."""
    patterns = [line.strip("/") for line in (root / ".gitignore").read_text(encoding="utf-8").split()]

    def left_out(path: Path) -> bool:
        names = (path.name, path.relative_to(root).as_posix())
        return any(fnmatch(name, pattern) for name in names for pattern in (".git", *patterns))

    found = []
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        folders[:] = [name for name in folders if not left_out(here / name)]
        found += [(here / name).relative_to(root).as_posix() for name in files if not left_out(here / name)]
    return sorted(found)


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
