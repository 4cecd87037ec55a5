"""Find the Solidity compiler, compile, and keep the results by the hash of what went in."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import CompilationFailed, CompilerNotFound
from .npm_packages import PROJECT_ROOT, how_to_install, is_checkout, missing, node_modules

#: The release that every code hash in this project was made with.
SOLC_VERSION = "0.8.34"
CONTRACT_SOURCES = PROJECT_ROOT / "contracts" / "src"
PACKAGED_COMPILER = PROJECT_ROOT / "contracts" / "solc" / "solc.js"
_IMPORT = re.compile(r"""^\s*import\b[^"';]*["']([^"']+)["']""", re.MULTILINE)
_OUTPUTS = ["abi", "userdoc", "evm.bytecode.object", "evm.deployedBytecode.object"]
_VERSION = re.compile(r"Version: (\d+\.\d+\.\d+)")


@dataclass(frozen=True)
class Artifact:
    """One compiled contract. `runtime_code` is what lies at its address, unless it has immutables."""

    name: str
    source: str
    abi: tuple[dict[str, Any], ...]
    creation_code: bytes
    runtime_code: bytes
    #: Custom error signature -> its documentation.
    error_notices: Mapping[str, str]


def find_compiler() -> Path:
    """GAINSAY_SOLC, else a native `solc` of `SOLC_VERSION` on the PATH, else the npm compiler.

    Raises `CompilerNotFound` when GAINSAY_SOLC has another version or nothing can be run.
    """
    named = os.environ.get("GAINSAY_SOLC")
    if named:
        version = _version_of(Path(named))
        if version != SOLC_VERSION:
            raise CompilerNotFound(
                f"GAINSAY_SOLC={named} is {f'solc {version}' if version else 'no Solidity compiler'}; "
                f"point it at solc {SOLC_VERSION} or unset it."
            )
        return Path(named)
    native = shutil.which("solc")
    if native and _version_of(Path(native)) == SOLC_VERSION:
        return Path(native)
    if PACKAGED_COMPILER.exists() and _version_of(PACKAGED_COMPILER) == SOLC_VERSION:
        return PACKAGED_COMPILER
    raise CompilerNotFound(
        f"No Solidity compiler {SOLC_VERSION} was found; {how_to_install()}, or set GAINSAY_SOLC to a native one."
    )


@lru_cache
def _version_of(executable: Path) -> str | None:
    try:
        answer = subprocess.run(
            [str(executable), "--version"], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(answer.stdout)
    return found.group(1) if found else None


def contract_sources() -> dict[str, str]:
    """The protocol's own Solidity files, keyed by their path in the project."""
    return {
        path.relative_to(PROJECT_ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(CONTRACT_SOURCES.rglob("*.sol"))
    }


def compile_sources(sources: Mapping[str, str], *, cache: Path | None = None) -> dict[str, Artifact]:
    """Compile Solidity files (path -> text) and whatever they import; artifacts by contract name.

    Imports may name another given file, a file of the protocol (`contracts/src/...`) or an npm package.
    Raises `CompilationFailed` or `CompilerNotFound`.
    """
    request = {
        "language": "Solidity",
        "sources": {path: {"content": text} for path, text in sorted(_with_imports(sources).items())},
        "settings": {
            "evmVersion": "cancun",
            "optimizer": {"enabled": True, "runs": 200},
            "viaIR": False,
            "metadata": {"bytecodeHash": "none"},
            "outputSelection": {path: {"*": _OUTPUTS} for path in sorted(sources)},
        },
    }
    digest = hashlib.sha256(json.dumps([SOLC_VERSION, request], sort_keys=True).encode()).hexdigest()
    cached = (cache or _cache_folder()) / f"{digest}.json"
    try:
        output = json.loads(cached.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        output = _run_compiler(request)
        _write_atomically(cached, json.dumps(output))
    return {
        name: _artifact(name, path, contract)
        for path, contracts in output.items()
        for name, contract in contracts.items()
    }


def protocol_artifacts() -> dict[str, Artifact]:
    """Artifacts of everything under contracts/src."""
    return compile_sources(contract_sources())


def _run_compiler(request: dict[str, Any]) -> dict[str, Any]:
    from solcx import compile_standard
    from solcx.exceptions import SolcError

    try:
        output: dict[str, Any] = compile_standard(request, solc_binary=find_compiler(), allow_empty=True)
    except SolcError as error:
        raise CompilationFailed(f"The Solidity sources do not compile:\n{error}") from error
    return dict(output.get("contracts", {}))


def _with_imports(sources: Mapping[str, str]) -> dict[str, str]:
    """The given files and, transitively, all that they import."""
    closure: dict[str, str] = {}
    waiting = dict(sources)
    while waiting:
        path, text = waiting.popitem()
        closure[path] = text
        for target in _IMPORT.findall(_without_comments(text)):
            name = (
                os.path.normpath(os.path.join(os.path.dirname(path), target)) if target[0] == "." else target
            )
            if name not in closure and name not in waiting:
                waiting[name] = sources[name] if name in sources else _read_import(name, path)
    return closure


def _without_comments(text: str) -> str:
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)


def _cache_folder() -> Path:
    """Beside the sources of a checkout; an installed program writes to the folder that it is run in."""
    return (PROJECT_ROOT if is_checkout() else Path()) / ".gainsay" / "cache" / "solc"


def _read_import(name: str, importer: str) -> str:
    for folder in (PROJECT_ROOT, node_modules()):
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8")
    if name.startswith("@"):
        raise missing("/".join(name.split("/")[:2]) + f", which {importer} imports,")
    raise CompilationFailed(f"{importer} imports {name}, which does not exist; correct the path.")


def _artifact(name: str, path: str, contract: Mapping[str, Any]) -> Artifact:
    documented = contract.get("userdoc", {}).get("errors", {})
    return Artifact(
        name=name,
        source=path,
        abi=tuple(contract["abi"]),
        creation_code=bytes.fromhex(contract["evm"]["bytecode"]["object"]),
        runtime_code=bytes.fromhex(contract["evm"]["deployedBytecode"]["object"]),
        error_notices={signature: notes[0].get("notice", "") for signature, notes in documented.items()},
    )


def _write_atomically(path: Path, text: str) -> None:
    """Readers see the old file or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)
