"""A started program that faults are injected into: killed, its disk full, its clock wrong, its chain and database behind proxies."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.contracts.rpc_proxy import RpcProxy

ROOT = Path(__file__).resolve().parents[2]
_SKEWED = Path(__file__).with_name("skewed")
#: Less than any page of a database: whatever wants to write fails.
_FULL = 4096


class Program:
    """`gainsay ...` as a process of its own; `url` is where it says that it is ready, None for one that does not."""

    def __init__(
        self,
        name: str,
        folder: Path,
        arguments: Sequence[str],
        settings: Mapping[str, str],
        proxy: RpcProxy,
        *,
        url: str | None,
        database: Path | None,
    ) -> None:
        """`database`: the SQLite file, None where a server keeps it."""
        self.name, self.folder, self.arguments, self.proxy = name, folder, list(arguments), proxy
        self.url, self.database = url, database
        self.settings = dict(settings)
        self.log = folder / f"{name}.log"
        self._clock = folder / f"{name}.clock"
        self._process: subprocess.Popen[bytes] | None = None
        self.starts_said = 0  # how often its log said that it is up, when it was started last

    def start(self) -> None:
        self.starts_said = self._said_up()
        self._process = self.spawn(self.arguments, self.log)

    def spawn(
        self, arguments: Sequence[str], log: Path, settings: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """A process with this program's settings."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("GAINSAY_")}
        environment = kept | {"PYTHONPATH": f"{_SKEWED}{os.pathsep}{ROOT}"} | self.settings
        environment |= {"GAINSAY_RPC_URL": self.proxy.url, "GAINSAY_TEST_CLOCK_FILE": str(self._clock)}
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "gainsay", *arguments],
                cwd=self.folder, env=environment | dict(settings or {}), stdout=output, stderr=output,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def end(self) -> None:
        if self._process is not None and self.runs:
            self._process.kill()
            self._process.wait()

    def keep_running(self) -> bool:
        """Start it again where it ended by itself, as a service manager does. Whether it had to be."""
        if self.runs:
            return False
        self.start()
        return True

    def unready(self) -> str | None:
        """Why it is not ready, or None."""
        if not self.runs:
            return "it does not run"
        if self.url is None:
            return None
        try:
            answer = httpx.get(f"{self.url}/readyz", timeout=5)
        except httpx.HTTPError as error:
            return f"it does not answer ({error!r})"
        return None if answer.status_code == 200 else str(answer.json().get("reason"))

    @contextmanager
    def with_full_disk(self) -> Iterator[None]:
        """No file of the process may grow, as on a full disk."""
        usual = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (_FULL, usual[1]))
        try:
            yield
        finally:
            if self.runs:
                resource.prlimit(self.pid, resource.RLIMIT_FSIZE, usual)

    @contextmanager
    def with_clock_off_by(self, seconds: float) -> Iterator[None]:
        self._clock.write_text(str(seconds))
        try:
            yield
        finally:
            self._clock.unlink(missing_ok=True)

    def says_up(self) -> bool:
        """Whether it wrote since its last start that it watches."""
        return self._said_up() > self.starts_said

    def _said_up(self) -> int:
        return self.log.read_text(errors="replace").count("challenger watches") if self.log.exists() else 0

    def said(self, characters: int = 3000) -> str:
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""


def wait_for(what: str, holds: object, within_s: float, pause_s: float = 0.25) -> None:
    """Raises TimeoutError with the name of what did not happen."""
    until = time.monotonic() + within_s
    while not holds():  # type: ignore[operator]
        if time.monotonic() > until:
            raise TimeoutError(f"not within {within_s:.0f} s: {what}")
        time.sleep(pause_s)
