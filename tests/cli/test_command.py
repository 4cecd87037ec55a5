"""The command: instant help, documented exit codes, one sentence per error, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

import gainsay
from prover import errors

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numba", "torch", "web3", "numpy", "fastapi", "sqlalchemy")


def run(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {
        key: value for key, value in os.environ.items() if not key.startswith("GAINSAY_")
    } | environment
    variables["PYTHONPATH"] = str(ROOT)
    return subprocess.run(
        [sys.executable, "-m", "gainsay", *arguments],
        capture_output=True, text=True, cwd=cwd or ROOT, env=variables, timeout=60,
    )  # fmt: skip


def test_help_is_instant_and_imports_nothing_heavy(tmp_path: Path) -> None:
    started = time.monotonic()
    answer = run("--help", cwd=tmp_path)
    assert answer.returncode == 0 and time.monotonic() - started < 2
    for name in ("provider", "challenger", "settlements", "model", "devnet", "prove", "verify"):
        assert name in answer.stdout
    script = (
        "import sys, gainsay\n"
        "try: gainsay.main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print('loaded', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert loaded.stdout.splitlines()[-1] == "loaded []", loaded.stdout + loaded.stderr


@pytest.mark.parametrize(
    "name", [name for name in gainsay.COMMANDS if gainsay._exists(gainsay.COMMANDS[name].module)]
)
def test_every_command_has_help_in_two_seconds(name: str, tmp_path: Path) -> None:
    started = time.monotonic()
    answer = run(name, "--help", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith(f"Usage: gainsay {name}")
    assert "completion" not in answer.stdout and "╭" not in answer.stdout
    assert time.monotonic() - started < 4  # two on an idle machine


def test_errors_are_one_sentence_with_a_documented_code(tmp_path: Path) -> None:
    missing = run("settlements", "list", cwd=tmp_path)
    assert missing.returncode == errors.BadInputError.exit_code
    assert missing.stderr.startswith("gainsay: ") and missing.stderr.count("\n") == 1
    assert "devnet up" in missing.stderr and "Traceback" not in missing.stderr and missing.stdout == ""
    usage = run("provider", "run", "--port", "99999", cwd=tmp_path)
    assert usage.returncode == errors.UsageError.exit_code and "port" in usage.stderr
    assert run("nonsense", cwd=tmp_path).returncode == 2
    debug = run("settlements", "list", cwd=tmp_path, GAINSAY_DEBUG="1")
    assert "Traceback" in debug.stderr


def test_a_setting_comes_from_flag_then_environment_then_file(tmp_path: Path) -> None:
    (tmp_path / "gainsay.toml").write_text("port = 70000\n[provider]\nport = 80000\n")
    table = run("provider", "run", cwd=tmp_path)
    assert table.returncode == 2 and "80000" in table.stderr
    variable = run("provider", "run", cwd=tmp_path, GAINSAY_PORT="90000")
    assert "90000" in variable.stderr
    flag = run("provider", "run", "--port", "100000", cwd=tmp_path, GAINSAY_PORT="90000")
    assert "100000" in flag.stderr
    (tmp_path / "gainsay.toml").write_text("[provider]\nprot = 1\n")
    typo = run("provider", "run", cwd=tmp_path)
    assert typo.returncode == 2 and "prot" in typo.stderr
    (tmp_path / "gainsay.toml").write_text("[provider\n")
    assert run("provider", "run", cwd=tmp_path).returncode == 2


def test_a_used_port_is_said_before_the_model_is_loaded(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        answer = run("provider", "run", "--port", str(taken.getsockname()[1]), cwd=tmp_path)
    assert answer.returncode == errors.EnvironmentMissingError.exit_code
    assert "--port" in answer.stderr


def test_a_missing_module_breaks_only_its_own_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gainsay.COMMANDS, "demo", gainsay.Entry("nothing_here:app", "Nothing."))
    assert not gainsay._exists("nothing_here") and not gainsay._exists("node.nothing")
    with pytest.raises(errors.EnvironmentMissingError, match="nothing_here"):
        gainsay.load("demo")


def test_a_typed_error_ends_with_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    application = typer.Typer()

    @application.command()
    def fail() -> None:
        raise errors.ProofRejectedError("the proof is wrong;\n make it again")

    monkeypatch.setattr(gainsay, "app", application)
    with pytest.raises(SystemExit) as left:
        gainsay.main([])
    assert left.value.code == 6
    assert capsys.readouterr().err == "gainsay: the proof is wrong; make it again\n"


def test_json_of_a_listing_is_json(tmp_path: Path) -> None:
    answer = run("devnet", "status", "--json", cwd=tmp_path)
    assert answer.returncode == 3 and json.loads(answer.stdout)["running"] is False
