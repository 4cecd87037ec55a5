"""The wheel: what it holds, and that an installed `gainsay` reaches a chain or says what to install."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.bindings.deployment import Deployment
from contracts.bindings.npm_packages import RELEASES
from prover.errors import EnvironmentMissingError
from tests.contracts.local_chain import LocalChain, contracts, deployment, local_chain

__all__ = ["contracts", "deployment", "local_chain"]

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    "gainsay",
    "contracts",
    "prover",
    "verifier_gen",
    "node",
    "challenger",
    "economics",
    "devnet",
    "ops",
    "explorer",
)


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it, and an empty folder to run from."""

    wheel: Path
    python: Path
    folder: Path

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("GAINSAY_") and key != "PYTHONPATH"
        }
        return subprocess.run(
            [str(self.python), "-m", "gainsay", *arguments],
            cwd=self.folder, env=kept | environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    work = tmp_path_factory.mktemp("wheel")
    source = work / "source"
    source.mkdir()
    for name in PARTS:
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "out", "cache")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    quiet = {"check": True, "capture_output": True, "env": environment}
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(work)]
    subprocess.run([*build, str(source)], **quiet)  # type: ignore[call-overload]
    (wheel,) = work.glob("gainsay-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(work / "venv")], **quiet)  # type: ignore[call-overload]
    python = work / "venv" / "bin" / "python"
    install = [*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, **quiet)  # type: ignore[call-overload]
    # The dependencies are those of this environment; its own gainsay comes after the wheel's.
    (packages,) = (work / "venv").glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    folder = work / "empty"
    folder.mkdir()
    return Installed(wheel, python, folder)


def test_the_wheel_holds_what_runs_and_no_tests(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        names = archive.namelist()
    assert {
        "gainsay/__main__.py",
        "gainsay/py.typed",
        "contracts/solc/solc.js",
        "explorer/static/index.html",
    } <= set(names)
    for folder, pattern in (("contracts/src", "*.sol"), ("verifier_gen/templates", "*")):
        for path in (ROOT / folder).rglob(pattern):
            assert path.is_dir() or path.relative_to(ROOT).as_posix() in names, path
    tests = [
        name for name in names if name.startswith("tests/") or "/test" in name or name.endswith(".t.sol")
    ]
    assert not tests, tests


def test_the_releases_named_without_a_checkout_are_those_of_package_json() -> None:
    package = json.loads((ROOT / "package.json").read_text())
    pinned = package["dependencies"] | package["devDependencies"]
    assert all(pinned[name] == release for name, release in RELEASES.items())


def test_what_needs_npm_says_what_to_install(installed: Installed) -> None:
    version = installed.run("--version")
    assert version.returncode == 0 and version.stdout.startswith("gainsay 0."), version.stderr
    up = installed.run("devnet", "up", PATH="/nowhere")
    assert up.returncode == EnvironmentMissingError.exit_code, up.stderr
    assert "npm install --prefix" in up.stderr and "GAINSAY_NODE_MODULES" in up.stderr
    assert up.stderr.count("\n") == 1 and "@foundry-rs/anvil@" in up.stderr


def test_an_installed_command_reaches_a_chain(
    installed: Installed, local_chain: LocalChain, deployment: Deployment
) -> None:
    file = installed.folder / "deployment.json"
    file.write_text(json.dumps(deployment.as_json()))
    chain = ("--rpc-url", local_chain.chain.rpc_url, "--deployment", str(file))
    without = installed.run("settlements", "list", *chain)
    assert without.returncode == EnvironmentMissingError.exit_code, without.stderr
    assert "npm install --prefix" in without.stderr and "@openzeppelin/contracts" in without.stderr
    # What was compiled before is looked up by its sources' hash, which is the same in the wheel.
    kept = ROOT / ".gainsay" / "cache" / "solc"
    shutil.copytree(kept, installed.folder / ".gainsay" / "cache" / "solc")
    modules = {"GAINSAY_NODE_MODULES": str(ROOT / "node_modules")}
    listed = installed.run("settlements", "list", "--json", *chain, **modules)
    assert listed.returncode == 0, listed.stderr
    assert json.loads(listed.stdout).keys() == {"batches", "disputes"}
    account = local_chain.chain.unlocked_accounts()[9]
    paid = installed.run("provider", "deposit", "0.5", "--account", account, *chain, **modules)
    assert paid.returncode == 0 and "0.5 ETH" in paid.stdout, paid.stderr


@pytest.mark.long
def test_an_installed_command_compiles(installed: Installed, tmp_path: Path) -> None:
    compiling = "from contracts.bindings.compiler import protocol_artifacts; print(len(protocol_artifacts()))"
    environment = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "GAINSAY_SOLC")
    }
    answer = subprocess.run(
        [str(installed.python), "-c", compiling],
        cwd=tmp_path, env=environment | {"GAINSAY_NODE_MODULES": str(ROOT / "node_modules")},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert answer.returncode == 0 and int(answer.stdout) > 4, answer.stderr
    assert list((tmp_path / ".gainsay" / "cache" / "solc").glob("*.json"))
