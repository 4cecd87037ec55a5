"""Checks of this machine: settings, secrets, disk, database, port, compiler, kernels."""

from __future__ import annotations

import json
import shutil
import socket
import stat
import tomllib
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from contracts.bindings.settings import CONFIGURATION_FILE, STATE

from .doctor import Doubtful, Known, Wrong

_SECRETS = ("keystore", "keystore_password_file", "receipt_keystore", "receipt_keystore_password_file")
_UNUSED = 1 / 8  # of the kernels are for other processors, or called from other kernels only
_LITTLE_DISK, _LEAST_DISK = 2 * 2**30, 64 * 2**20


def settings(known: Known) -> str:
    """Every name is known, every value is well formed."""
    from .settings import require_all_names_known

    require_all_names_known()
    known["settings"] = known["load"]()
    found = known["settings"]
    where = f", with {CONFIGURATION_FILE}" if CONFIGURATION_FILE.exists() else ""
    return f"of {found.table}: RPC {_shown(found.rpc_url)}, deployment {found.deployment}{where}"


def secrets(known: Known) -> str:
    """Keystores and passwords are there, and nobody else can read them."""
    found = known["settings"]
    files = [path for name in _SECRETS if (path := getattr(found, name, None)) is not None]
    if _configuration_has_secrets():
        files.append(CONFIGURATION_FILE)
    for path in files:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise Wrong(
                f"{path} cannot be read: {error.strerror}", "correct the setting that names it"
            ) from error
        if not stat.S_ISREG(mode):
            raise Wrong(f"{path} is no file", "correct the setting that names it")
        if mode & 0o077:
            raise Wrong(f"{path} has mode {mode & 0o777:03o}: others can read it", f"chmod 600 {path}")
    return f"{len(files)} files, for this user only" if files else "no key or password in a file"


def _configuration_has_secrets() -> bool:
    try:
        content = tomllib.loads(CONFIGURATION_FILE.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    tables: list[dict[str, Any]] = [
        content,
        *(value for value in content.values() if isinstance(value, dict)),
    ]
    return any("password" in key and not key.endswith("_file") for table in tables for key in table)


def disk(known: Known) -> str:
    """The state folder can be written to, and has room."""
    from node.pulse import DiskProbe

    folder = STATE if STATE.exists() else Path()
    DiskProbe([folder])()
    free = shutil.disk_usage(folder).free
    if free < _LITTLE_DISK:
        raise Doubtful(
            f"{free / 2**20:,.0f} MB are free for {folder}", "make room: databases and traces grow"
        )
    return f"{free / 2**30:,.1f} GB are free for {folder}"


def database(known: Known) -> str:
    """It opens, is whole, and nobody holds it; nothing is created or migrated."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    url = make_url(known["database_url"])
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite":
        file = Path(str(url.database))
        if not file.exists():
            return f"{file} is made at the first start"
        options: dict[str, Any] = {"connect_args": {"timeout": 2}}
    else:
        url = url.set(drivername="postgresql+psycopg")
        options = {
            "connect_args": {"connect_timeout": 5, "options": "-c statement_timeout=5s -c lock_timeout=2s"}
        }
    try:
        engine = create_engine(url, **options)
        with engine.connect() as connection:
            if url.get_backend_name() == "sqlite":
                verdict = str(connection.execute(text("PRAGMA quick_check(1)")).scalar())
                if verdict != "ok":
                    raise Wrong(
                        f"{shown} is damaged: {verdict}",
                        "restore it from a back-up, and start no node before",
                    )
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                connection.rollback()
            else:
                connection.execute(text("SELECT 1"))
        engine.dispose()
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0]
        raise Wrong(
            f"{shown}: {reason}", "look for another program that holds it, or for its server"
        ) from error
    return shown


def port(known: Known) -> str:
    """It is free, or a node of ours answers there."""
    found = known["settings"]
    host, number = found.host, found.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        raise Wrong(f"host {host!r} cannot be resolved", "use an address such as 127.0.0.1") from error
    except OSError as error:
        return _who_listens(host, number, error)
    return f"{host}:{number} is free"


def _who_listens(host: str, number: int, error: OSError) -> str:
    try:
        with urllib.request.urlopen(f"http://{host}:{number}/healthz", timeout=3) as answer:
            alive = json.load(answer).get("status") == "alive"
    except (OSError, ValueError, AttributeError):
        alive = False
    if not alive:
        raise Wrong(
            f"{host}:{number} cannot be used ({error.strerror})", "choose another --port (GAINSAY_PORT)"
        )
    try:
        urllib.request.urlopen(f"http://{host}:{number}/readyz", timeout=3).close()
    except urllib.error.HTTPError as unready:
        reason = json.load(unready).get("reason", "it does not say why")
        raise Wrong(f"the node at {host}:{number} is not ready: {reason}", "do what it says") from None
    except OSError:
        raise Wrong(f"the node at {host}:{number} hangs", "look at its log") from None
    return f"a node runs at {host}:{number} and is ready"


def compiler(known: Known) -> str:
    """Verifiers and contracts are compiled here: a model's id follows from them."""
    from contracts.bindings.compiler import SOLC_VERSION, find_compiler

    return f"solc {SOLC_VERSION} ({find_compiler().name})"


def kernels(known: Known) -> str:
    """Whether the prover's kernels are kept for this processor: compiling them takes a minute of the first game."""
    import prover.kernels as module

    every = module.all_kernels()
    missing = [name for name, kernel in every.items() if not _is_kept(kernel)]
    if len(missing) > _UNUSED * len(every):
        raise Doubtful(
            f"{len(missing)} of {len(every)} kernels are not compiled on this machine",
            "run `gainsay kernels`",
        )
    return f"{len(every) - len(missing)} kernels are compiled"


def _is_kept(kernel: Any) -> bool:
    """Numba's own index of what it kept; it is empty when the source changed or another processor made it."""
    try:
        return bool(kernel._cache._cache_file._load_index())
    except AttributeError:  # not one that is kept
        return True


def _shown(url: str) -> str:
    from contracts.bindings.endpoint import Endpoint

    return Endpoint(url).shown_url
