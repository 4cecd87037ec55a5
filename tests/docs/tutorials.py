"""A tutorial as a script: its `sh` blocks in order in one shell, and what its `output` blocks say that they print."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .pages import ROOT

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "@@ block {} ends"


@dataclass
class Block:
    """What a reader types, and lines that it must print, in this order; "…" stands for anything."""

    script: str
    prints: tuple[str, ...] = ()

    def missing(self, output: str) -> str | None:
        """The first line that is not there, behind those in front of it."""
        lines = iter(output.splitlines())
        for wanted in self.prints:
            pattern = re.compile(".*".join(re.escape(part) for part in wanted.split("…")))
            if not any(pattern.search(line) for line in lines):
                return wanted
        return None


def blocks(text: str) -> list[Block]:
    """The blocks of a page. Raises ValueError for output of nothing."""
    found: list[Block] = []
    for kind, content in _BLOCK.findall(text):
        if kind == "sh":
            found.append(Block(content))
        elif kind == "output":
            if not found or found[-1].prints:
                raise ValueError(f"an output block follows no sh block: {content[:60]}")
            found[-1].prints = tuple(line for line in content.splitlines() if line.strip())
    return found


def script(parts: list[Block]) -> str:
    """One shell that runs all blocks and says where each ends. It stops at the first command that fails."""
    marked = (f"{block.script}\necho; echo '{_MARK.format(number)}'\n" for number, block in enumerate(parts))
    return "set -euo pipefail\n" + "".join(marked)


def commands(text: str) -> Iterator[list[str]]:
    """Every call of `gainsay` in a page's `sh` and `text` blocks, as words."""
    for kind, content in _BLOCK.findall(text):
        if kind not in ("sh", "text"):
            continue
        for line in content.replace("\\\n", " ").splitlines():
            for call in re.findall(r"(?:^|[;|]\s*|until\s+|=\S+\s+)gainsay ([^;|<>&)]*)", line):
                yield shlex.split(call.replace("…", ""))


def run(page: Path, folder: Path, seconds: float) -> None:
    """Run a page in an empty folder, on free ports. Raises AssertionError with what it printed."""
    text = page.read_text(encoding="utf-8")
    for port in ("8545", "8000"):
        text = re.sub(rf"\b{port}\b", str(_free_port()), text)
    parts = blocks(text)
    log = folder / "tutorial.log"
    with log.open("w") as output:
        shell = subprocess.Popen(
            ["bash", "-c", script(parts)],
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            left = shell.wait(seconds)
        except subprocess.TimeoutExpired:
            left = None
        finally:
            _end(shell.pid, folder)
    printed = log.read_text(errors="replace")
    assert left == 0, f"{page.name} left with {left}:\n{printed[-6000:]}"
    for number, block in enumerate(parts):
        own, _, printed = printed.partition(_MARK.format(number))
        assert (line := block.missing(own)) is None, f"{page.name}: no line {line!r} in\n{own}"


def _environment() -> Mapping[str, str]:
    """That of a reader who activated the environment and has no settings of Gainsay."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GAINSAY_")}
    paths = (str(Path(sys.executable).parent), kept.get("PATH", ""))
    return kept | {"PATH": os.pathsep.join(paths), "PYTHONPATH": str(ROOT)}


def _end(session: int, folder: Path) -> None:
    """What a page that stopped halfway left running: its own processes, and the devnet, which has a session of its own."""
    gainsay = Path(sys.executable).with_name("gainsay")
    if (folder / ".gainsay" / "devnet.json").exists():
        subprocess.run([gainsay, "devnet", "down"], cwd=folder, env=_environment(), capture_output=True)
    try:
        os.killpg(session, signal.SIGKILL)
    except ProcessLookupError:
        return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
