"""Dockerfile, compose file and systemd units: every command in them exists, every file too, nothing is weaker than it says.

Neither Docker nor systemd runs here; what they would be told is read and held against the program.
"""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import ops
from gainsay import COMMANDS, load

FOLDER = Path(ops.__path__[0]) / "services"
ROOT = FOLDER.parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
UNITS = sorted(FOLDER.glob("*.service"))
#: What a unit must deny; Numba needs memory that it writes and runs.
HARDENED = {
    "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes", "PrivateDevices": "yes",
    "ProtectKernelTunables": "yes", "ProtectKernelModules": "yes", "ProtectControlGroups": "yes", "RestrictSUIDSGID": "yes",
    "RestrictNamespaces": "yes", "LockPersonality": "yes", "CapabilityBoundingSet": "", "SystemCallFilter": "@system-service",
}  # fmt: skip


def require_command(words: list[str]) -> None:
    """Fails unless `gainsay WORDS` names a command, and options that it has."""
    assert words[0] in COMMANDS, words
    command: Any = load(words[0])
    if isinstance(command, typer.Typer):
        command = typer.main.get_command(command)
    rest = words[1:]
    while hasattr(command, "commands"):
        assert rest[0] in command.commands, words
        command, rest = command.commands[rest[0]], rest[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= known, words


def unit_of(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text())
    return parser


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_runs_a_command_that_exists_and_is_hardened(path: Path) -> None:
    service = unit_of(path)["Service"]
    (words,) = re.findall(r"/opt/gainsay/bin/gainsay ([^\n']+)", service["ExecStart"] + "\n")
    require_command(shlex.split(words))
    assert {name: service[name] for name in HARDENED} == HARDENED
    assert service["User"] == "gainsay" and service["StateDirectory"] in service["WorkingDirectory"]
    assert "EnvironmentFile" in service and "password=" not in path.read_text().lower()
    credentials = set(re.findall(r"LoadCredential=([\w.]+):/etc/gainsay/\1\n", path.read_text()))
    assert set(re.findall(r"%d/([\w.]+)", path.read_text())) == credentials
    if path.stem != "gainsay-backup":
        assert service["Restart"] == "always" and unit_of(path)["Unit"]["StartLimitIntervalSec"] == "0"


def test_the_timer_starts_the_backup() -> None:
    timer = unit_of(FOLDER / "gainsay-backup.timer")
    assert timer["Timer"]["OnUnitActiveSec"] == "5min" and (FOLDER / "gainsay-backup.service") in UNITS
    assert "ReadWritePaths=/var/backups/gainsay" in (FOLDER / "gainsay-backup.service").read_text()


def test_the_compose_file_runs_commands_that_exist_without_privileges() -> None:
    for name, service in COMPOSE["services"].items():
        require_command(service["command"])
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"] and service["restart"] == "always"
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
        mounted = {volume.split(":")[0] for volume in service["volumes"] if not volume.startswith(".")}
        assert mounted <= set(COMPOSE["volumes"])
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        files = [v for k, v in service["environment"].items() if k.endswith(("KEYSTORE", "_FILE"))]
        assert all(file.removeprefix("/run/secrets/") in service["secrets"] for file in files)
        build = service.get("build")
        assert build is None or (FOLDER / build["context"] / build["dockerfile"]).resolve().is_file()


def test_the_image_is_built_from_package_registries_by_name_and_runs_as_nobody_special() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    images = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert {image.split(":")[0] for image in images} == {"node", "python"}
    assert (
        not any("/" in image for image in images)
        and "curl" not in text
        and "http" not in text
        and "ADD " not in text
    )
    users = re.findall(r"^USER (\w+)", text, re.MULTILINE)
    assert users == ["gainsay"] and text.index("USER gainsay") > text.index("pip install")
    for line in re.findall(r"^COPY (?!--from)(.+)", text, re.MULTILINE):
        assert all((ROOT / word).exists() for word in line.split()[:-1]), line
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", "ops/services/secrets"} <= set(ignored)
