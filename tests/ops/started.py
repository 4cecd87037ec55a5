"""`gainsay` as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment(**settings: str) -> dict[str, str]:
    """Without the settings of whoever runs the tests."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("GAINSAY_")},
        "PYTHONPATH": str(ROOT),
        **settings,
    }


def start(folder: Path, *arguments: str, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "gainsay", *arguments],
        cwd=folder, env=environment(**settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(folder: Path, *arguments: str, stdin: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gainsay", *arguments],
        cwd=folder, env=environment(**settings), capture_output=True, text=True, timeout=60, input=stdin,
    )  # fmt: skip
