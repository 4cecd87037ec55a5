"""A provider's public routes over HTTP, for a provider that may lie or withhold."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from contracts.protocol.response import ResponseFields
from tests.contracts.chain_game import PostedBatch

Ids = tuple[Sequence[int], Sequence[int]]


class ListingServer:
    """Serves `GET /v1/batches/{id}` and `GET /v1/receipts/{leaf}` as the node does."""

    def __init__(self) -> None:
        self.bodies: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.requests.append(self.path)
                body = owner.bodies.get(self.path)
                self.send_response(200 if body is not None else 404)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body if body is not None else {"error": {}}).encode())

            def log_message(self, *arguments: object) -> None:
                """Tests are quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def show(self, batch: PostedBatch, ids: Sequence[Ids | None], latency_s: float | None = None) -> None:
        """List a batch; None withholds the token ids of a response."""
        entries = []
        for index, (fields, known) in enumerate(zip(batch.fields, ids, strict=True)):
            leaf = "0x" + batch.tree.levels[0][index].hex()
            entry: dict[str, Any] = {"index": index, "receipt_id": leaf, "leaf": leaf, "latency_s": latency_s}
            if known is not None:
                entry |= {"prompt_ids": list(known[0]), "output_ids": list(known[1])}
                entry |= {"max_tokens": fields.max_tokens, "fee_wei": str(fields.fee_wei)}
            entries.append(entry)
            self.bodies[f"/v1/receipts/{leaf}"] = {"receipt": receipt_body(fields)}
        self.bodies[f"/v1/batches/{batch.batch_id}"] = {"batch_id": batch.batch_id, "responses": entries}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def receipt_body(fields: ResponseFields) -> dict[str, Any]:
    plain = {
        key: "0x" + value.hex() if isinstance(value, bytes) else value for key, value in vars(fields).items()
    }
    return plain | {"fee_wei": str(fields.fee_wei)}
