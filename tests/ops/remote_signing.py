"""A remote signer as a process of its own: `python -m tests.ops.remote_signing KEY...` prints its URL.

It speaks web3signer's three methods over the keys (64 hex digits each) and signs with eth-account. Between requests a
test may POST a mode to /mode: honest, hangs, drips, refuses, forgets (its keys), another-key, another-chain, another-nonce,
another-value, another-target, another-data, another-fee, another-type, wrong-digest, garbage.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data

from .started import ROOT, environment

_CHANGES: dict[str, dict[str, Any]] = {
    "another-chain": {"chainId": 1},
    "another-nonce": {"nonce": 7_777},
    "another-value": {"value": 5 * 10**17},
    "another-target": {"to": "0x" + "11" * 20},
    "another-data": {"data": "0x1234"},
    "another-fee": {"maxFeePerGas": 10**15},
}


class Signing:
    def __init__(self, keys: list[str]) -> None:
        self.mode = "honest"
        self.accounts = {account.address: account for account in map(Account.from_key, keys)}

    def answer(self, method: str, parameters: list[Any]) -> dict[str, Any]:
        if self.mode == "hangs":
            time.sleep(60)
        if self.mode == "refuses":
            return {"error": {"code": -32000, "message": "locked by policy"}}
        if self.mode == "garbage":
            return {"result": "0xzz"}
        if method == "eth_accounts":
            return {"result": [] if self.mode == "forgets" else list(self.accounts)}
        if method == "eth_signTransaction":
            return {"result": self._transaction(parameters[0])}
        if method == "eth_signTypedData":
            return {"result": self._typed_data(*parameters)}
        return {"error": {"code": -32601, "message": "method not found"}}

    def _account(self, address: str) -> Any:
        mine = next(account for name, account in self.accounts.items() if name.lower() == address.lower())
        return Account.from_key(b"\x0b" * 32) if self.mode == "another-key" else mine

    def _transaction(self, asked: dict[str, Any]) -> str:
        numbers = ("type", "chainId", "nonce", "value", "gas", "maxFeePerGas", "maxPriorityFeePerGas")
        body = {name: int(asked[name], 16) for name in numbers} | {"data": asked["data"]}
        if "to" in asked:
            body["to"] = asked["to"]
        body |= _CHANGES.get(self.mode, {})
        if self.mode == "another-type":
            body = {
                name: body[name]
                for name in ("chainId", "nonce", "value", "gas", "data", "to")
                if name in body
            }
            body["gasPrice"] = 10**9
        return "0x" + bytes(self._account(asked["from"]).sign_transaction(body).raw_transaction).hex()

    def _typed_data(self, address: str, text: str) -> str:
        message = json.loads(text)
        for field in message["types"][message["primaryType"]]:
            if field["type"].startswith("uint"):
                message["message"][field["name"]] = int(message["message"][field["name"]])
        account = self._account(address)
        if self.mode == "wrong-digest":
            return "0x" + bytes(account.sign_message(encode_defunct(b"this")).signature).hex()
        return "0x" + bytes(account.sign_message(encode_typed_data(full_message=message)).signature).hex()


def main() -> None:
    signing = Signing(sys.argv[1:])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/mode":
                signing.mode, answer = body.decode(), b"{}"
            else:
                asked = json.loads(body)
                answer = json.dumps(
                    {"jsonrpc": "2.0", "id": asked["id"], **signing.answer(asked["method"], asked["params"])}
                ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            try:
                for byte in answer if signing.mode == "drips" else ():
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.5)
                if signing.mode != "drips":
                    self.wfile.write(answer)
            except OSError:
                pass

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


class SigningProcess:
    """A signer that a test talks to."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url

    def becomes(self, mode: str) -> None:
        urllib.request.urlopen(f"{self.url}/mode", data=mode.encode(), timeout=5).close()


@contextmanager
def remote_signer(*keys: str) -> Iterator[SigningProcess]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ops.remote_signing", *keys],
        cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield SigningProcess(process, process.stdout.readline().strip())
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
