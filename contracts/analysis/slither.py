"""Run Slither on the protocol and on generated verifiers: `python -m contracts.analysis.slither`.

Slither starts Forge, which cleans its output first; so it works on a copy of the sources. Nothing is
fetched: Forge is npm's, and the compiler is contracts/solc/solc.js.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .answers import PROTOCOL, VERIFIERS, Answer

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Path(__file__).with_name("slither.config.json")
SLITHER = ROOT / ".venv" / "slither" / "bin" / "slither"
_FOUNDRY = ("foundry.toml", "contracts/solc")


class AnalysisFailed(Exception):
    """Slither is missing, or gave no report."""


@dataclass(frozen=True)
class Finding:
    """One result of a detector."""

    check: str
    impact: str
    description: str

    def __str__(self) -> str:
        return f"{self.impact}: {self.check}: {self.description}"


@dataclass(frozen=True)
class Report:
    """Findings without an answer, and answers without a finding: both should be empty."""

    findings: int
    unanswered: tuple[Finding, ...]
    stale: tuple[Answer, ...]

    @property
    def is_clean(self) -> bool:
        return not self.unanswered and not self.stale


def judge(findings: Iterable[Finding], answers: Sequence[Answer]) -> Report:
    """Hold findings against answers."""
    found = list(findings)
    unanswered = [f for f in found if not any(a.fits(f.check, f.description) for a in answers)]
    stale = [a for a in answers if not any(a.fits(f.check, f.description) for f in found)]
    return Report(len(found), tuple(unanswered), tuple(stale))


def analyse(sources: Path) -> list[Finding]:
    """What Slither finds in a folder of Solidity files; inline answers (slither-disable) are heeded.

    Raises `AnalysisFailed`.
    """
    if not SLITHER.exists():
        raise AnalysisFailed("Slither is not installed: run `make slither`.")
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder)
        for name in _FOUNDRY:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            (stage / name).parent.mkdir(parents=True, exist_ok=True)
            copy(ROOT / name, stage / name)
        shutil.copytree(sources, stage / "contracts" / "src")
        (stage / "node_modules").symlink_to(ROOT / "node_modules")
        path = f"{ROOT / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}"
        finished = subprocess.run(
            [str(SLITHER), ".", "--config-file", str(CONFIG), "--json", "-"],
            cwd=stage,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
    try:
        report = json.loads(finished.stdout)
    except ValueError as error:
        raise AnalysisFailed(finished.stderr[-4000:]) from error
    if not report["success"]:
        raise AnalysisFailed(str(report["error"]))
    return [
        Finding(result["check"], result["impact"], result["description"].strip())
        for result in report["results"].get("detectors", [])
    ]


def protocol_report() -> Report:
    """The contracts in contracts/src."""
    return judge(analyse(ROOT / "contracts" / "src"), PROTOCOL)


def verifiers_report(sources: Path) -> Report:
    """Generated verifiers in a folder."""
    return judge(analyse(sources), VERIFIERS)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        generate = ["gainsay", "verifier", "generate", "--model", "tiny", "--out", folder]
        subprocess.run([str(Path(sys.executable).with_name(generate[0])), *generate[1:]], check=True)
        reports = {"contracts/src": protocol_report(), "generated verifiers": verifiers_report(Path(folder))}
    for name, report in reports.items():
        print(f"{name}: {report.findings} findings, {len(report.unanswered)} without an answer")
        for finding in report.unanswered:
            print(f"  {finding}")
        for answer in report.stale:
            print(f"  nothing to answer any more: {answer.check} {answer.pattern}")
    return 0 if all(report.is_clean for report in reports.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
