"""No listing ends a running challenger: a provider that answers with hostile JSON, seen by a started process."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from challenger.local_models import load_local_model
from contracts.bindings.deployment import Deployment, ProtocolContracts
from devnet.model_registration import register_model
from prover.curve.srs import SRS
from prover.model.library import load_model
from tests.contracts.local_chain import LocalChain
from tests.hostile_json import HOSTILE

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def lying_server(bodies: dict[str, bytes]) -> Iterator[tuple[str, set[str]]]:
    """URL and the paths that were asked for."""
    asked: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.add(self.path)
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(bodies.get(self.path, HOSTILE["deep arrays"]))

        def log_message(self, *arguments: object) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


def test_a_challenger_survives_every_listing(
    tmp_path: Path, local_chain: LocalChain, contracts: ProtocolContracts, deployment: Deployment
) -> None:
    tiny = load_local_model("tiny")
    provider = local_chain.sender(8)
    srs = SRS.devnet(18)
    done = register_model(contracts, provider, load_model("tiny").config, tiny.commitment, srs)
    provider.send(contracts.stake.deposit(10**20), key="stake")
    bodies = {}
    leaf = b"\x11" * 32
    for name, body in HOSTILE.items():
        salt = secrets.token_bytes(32)
        provider.send(
            contracts.ledger.post_batch(provider.address, leaf, salt, done.model_id, 1), key=f"batch {name}"
        )
        bodies[f"/v1/batches/{contracts.ledger.batch_of(provider.address, salt)}"] = body
    # One more whose listing is sound, and whose receipt is not.
    salt = secrets.token_bytes(32)
    provider.send(
        contracts.ledger.post_batch(provider.address, leaf, salt, done.model_id, 1),
        key="batch with a receipt",
    )
    last = contracts.ledger.batch_of(provider.address, salt)
    bodies[f"/v1/batches/{last}"] = json.dumps({"responses": [{"leaf": "0x" + leaf.hex()}]}).encode()

    file = tmp_path / "deployment.json"
    file.write_text(json.dumps(deployment.as_json()))
    with lying_server(bodies) as (url, asked):
        answer = subprocess.run(
            [
                sys.executable, "-m", "gainsay", "challenger", "run", "--once", "--model", "tiny",
                "--provider", f"{provider.address}={url}", "--rpc-url", local_chain.chain.rpc_url,
                "--deployment", str(file), "--account", local_chain.chain.unlocked_accounts()[9],
            ],
            cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert answer.returncode == 0, (answer.returncode, answer.stderr[-2000:])
    assert "Traceback" not in answer.stderr
    assert asked >= set(bodies), set(bodies) - asked


def environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GAINSAY_")}
    return kept | {"PYTHONPATH": str(ROOT)}
