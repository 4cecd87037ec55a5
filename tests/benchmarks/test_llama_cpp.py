"""llama.cpp is optional: where it is not, one error says how to get it, and what is missing besides has its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from devnet.bench_cli import app
from devnet.benchmarks.llama_cpp import INSTALL, find_modules, measure_llama_cpp
from devnet.errors import DevnetError


def test_without_llama_cpp_the_error_says_how_to_get_it(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["peers", "--decoding", "--node-modules", str(tmp_path)])
    assert isinstance(found.exception, DevnetError) and INSTALL in str(found.exception)
    (tmp_path / "node-llama-cpp").mkdir()
    assert find_modules(tmp_path) == tmp_path.resolve()


def test_a_file_that_is_not_there_is_named_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(DevnetError, match="gainsay model fetch"):
        measure_llama_cpp("tiny", tmp_path, tmp_path / "none.gguf", tmp_path, 1)
