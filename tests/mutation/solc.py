"""A Solidity compiler that stays loaded, behind an executable that pytest and Forge take for the real one.

It is the compiler of `contracts/solc/solc.js`, asked over a socket: the same output, without loading it three times
per compilation. Settings may be replaced: without the optimiser it takes a fifth of the time.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SERVER = Path(__file__).with_name("solc_server.js")
CLIENT = """\
#!{python} -IS
import socket, sys
if "--version" in sys.argv:
    sys.stdout.write({version!r})
    sys.exit(0)
connection = socket.socket(socket.AF_UNIX)
connection.connect({address!r})
connection.sendall(sys.stdin.buffer.read())
connection.shutdown(socket.SHUT_WR)
answer = b"".join(iter(lambda: connection.recv(1 << 20), b""))
sys.stdout.buffer.write(answer)
sys.exit(0 if answer else 1)
"""


@contextmanager
def warm_compiler(folder: Path, settings: Mapping[str, Any] | None = None) -> Iterator[dict[str, str]]:
    """The environment that makes everybody use it; its socket and its executable lie in the folder.

    settings: of a standard JSON request, in place of those that are asked for.
    """
    address, client = folder / "solc.socket", folder / "solc"
    address.unlink(missing_ok=True)
    with subprocess.Popen(
        ["node", SERVER, address, json.dumps(settings or {})],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None and server.stdout is not None
        try:
            release = server.stdout.readline().strip().replace(".Emscripten.clang", ".Linux.g++")
            version = f"solc, the solidity compiler commandline interface\nVersion: {release}\n"
            client.write_text(CLIENT.format(python=sys.executable, version=version, address=str(address)))
            client.chmod(0o755)
            yield {"GAINSAY_SOLC": str(client), "FOUNDRY_SOLC": str(client)}
        finally:
            server.stdin.close()
            server.wait(timeout=60)
