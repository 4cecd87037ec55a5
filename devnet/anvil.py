"""Anvil's life: start it detached, wait until it answers, stop it."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from contracts.bindings.npm_packages import how_to_install, node_modules

from .errors import AnvilDidNotStart, AnvilNotFound, PortInUse

HOST = "127.0.0.1"
CHAIN_ID = 31337
DEFAULT_PORT = 8545
ACCOUNT_COUNT = 13
BALANCE_ETHER = 10_000
KEPT_STATES = 128
"""Past states that can still be asked for, and that a reorganisation can go back to."""
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class AnvilProcess:
    pid: int
    port: int

    @property
    def rpc_url(self) -> str:
        return f"http://{HOST}:{self.port}"


def find_anvil() -> Path:
    """The npm package's binary itself, so that the process id is Anvil's; else its launcher."""
    machine = _MACHINES.get(platform.machine().lower(), platform.machine().lower())
    system = platform.system().lower()
    candidates = [
        node_modules() / "@foundry-rs" / f"anvil-{system}-{machine}" / "bin" / "anvil",
        node_modules() / ".bin" / "anvil",
    ]
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    raise AnvilNotFound(f"Anvil is not installed; {how_to_install()}.")


def port_is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def start_anvil(
    port: int, log_file: Path, *, block_time_s: int | None = 1, timeout_s: float = 30.0
) -> AnvilProcess:
    """Start Anvil detached from this program and wait until it answers.

    With `block_time_s` it mines every so many seconds (so that time passes) and at once for every
    transaction; with None only for transactions. Raises `AnvilNotFound`, `PortInUse`, `AnvilDidNotStart`.
    """
    executable = find_anvil()
    if not port_is_free(port):
        raise PortInUse(
            f"Port {port} is in use; stop what listens there (`gainsay devnet down` for an older devnet) "
            "or choose another with --port."
        )
    command = [str(executable), "--host", HOST, "--port", str(port), "--chain-id", str(CHAIN_ID)]
    command += ["--accounts", str(ACCOUNT_COUNT), "--balance", str(BALANCE_ETHER), "--quiet"]
    # without it the states of all blocks are written below ~/.foundry, and fill the disk in the end
    command += ["--prune-history", str(KEPT_STATES)]
    if block_time_s is not None:
        command += ["--mixed-mining", "--block-time", str(block_time_s)]
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    started = AnvilProcess(process.pid, port)
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if process.poll() is not None:
            raise AnvilDidNotStart(f"Anvil ended at once (status {process.returncode}): {_tail(log_file)}")
        if _answers(started.rpc_url):
            return started
        time.sleep(0.05)
    stop_process(process.pid)
    raise AnvilDidNotStart(f"Anvil did not answer within {timeout_s:.0f} s: {_tail(log_file)}")


def _answers(rpc_url: str) -> bool:
    from contracts.bindings.chain import Chain
    from contracts.bindings.errors import BindingsError

    try:
        return Chain(rpc_url, attempts=1, timeout_s=1.0).chain_id == CHAIN_ID
    except BindingsError:
        return False


def _tail(log_file: Path) -> str:
    text = log_file.read_text(encoding="utf-8", errors="replace").strip()
    return text[-500:] or f"its log {log_file} is empty"


def process_runs(pid: int) -> bool:
    """Whether the process exists and is Anvil (a process id may have been used again since)."""
    try:
        command_line = Path(f"/proc/{pid}/cmdline").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return b"anvil" in command_line and state != "Z"
    except OSError:
        pass
    if Path("/proc/self").exists():
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def stop_process(pid: int, timeout_s: float = 5.0) -> bool:
    """Ask Anvil to end, then make it end. False when it did not run."""
    if not process_runs(pid):
        return False
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        _reap(pid)
        if not process_runs(pid):
            return True
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    _reap(pid)
    return True


def _reap(pid: int) -> None:
    """Collect the exit status when the process is a child of this program."""
    with contextlib.suppress(OSError):
        os.waitpid(pid, os.WNOHANG)
