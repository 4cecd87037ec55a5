"""Measured points in one JSON file, so that an interrupted sweep goes on where it stopped.

A point is kept with what it depends on (`basis`: sources, versions, machine, number of runs). One with another
basis is no answer any more and is measured again.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contracts.bindings.npm_packages import PROJECT_ROOT

from .machine import describe_machine

_PROVER_FOLDERS = ("prover", "verifier_gen")
_SOURCES = ("*.py", "*.sol", "*.yul")


class ResultStore:
    """Results by name under one basis; every change is on disk before `put` returns."""

    def __init__(self, path: Path, basis: Mapping[str, Any]) -> None:
        self._path, self._basis = path, json.loads(json.dumps(basis))
        self._entries: dict[str, dict[str, Any]] = {}
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(stored, dict) and all(isinstance(entry, dict) for entry in stored.values()):
                self._entries = stored
        except (OSError, ValueError):
            pass  # nothing was measured yet, or nothing that can be used

    def get(self, name: str) -> dict[str, Any] | None:
        """The result of a point, if it was measured under this basis."""
        entry = self._entries.get(name)
        return entry["result"] if entry is not None and entry.get("basis") == self._basis else None

    def put(self, name: str, result: Mapping[str, Any]) -> dict[str, Any]:
        """Keep a result; returns it as it will be read."""
        entry = json.loads(json.dumps({"basis": self._basis, "result": result}))
        self._entries[name] = entry
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self._path.parent, suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(self._entries, file, indent=1)
        os.replace(temporary, self._path)
        return dict(entry["result"])


def machine_basis() -> dict[str, Any]:
    """What any figure depends on: the processor and how many of its threads may be used."""
    facts = describe_machine()
    return {name: facts[name] for name in ("processor", "cores")}


def measuring_basis() -> dict[str, Any]:
    """What a figure of ours depends on: the machine, the field kernel and the sources."""
    return {
        **machine_basis(),
        "field_kernel": describe_machine()["field_kernel"],
        "sources": sources_digest(),
    }


def sources_digest() -> str:
    """SHA-256 over the prover and the verifier generator: figures of other sources are other figures."""
    digest = hashlib.sha256()
    for folder in _PROVER_FOLDERS:
        found = {path for pattern in _SOURCES for path in (PROJECT_ROOT / folder).rglob(pattern)}
        for path in sorted(found):
            digest.update(path.relative_to(PROJECT_ROOT).as_posix().encode() + b"\0")
            digest.update(path.read_bytes())
    return digest.hexdigest()
