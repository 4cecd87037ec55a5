"""web3's HTTP provider with answers read by our own reader, so that a lying endpoint cannot end the process."""

from __future__ import annotations

from typing import Any, cast

from eth_typing import URI
from web3 import HTTPProvider
from web3.types import RPCEndpoint, RPCResponse

from prover.foreign_json import ForeignJsonError, Limits, read_json

ANSWER_LIMITS = Limits(bytes=64 * 2**20)
"""The logs of a thousand full proofs stay far below this."""
_WHAT = "the RPC endpoint's answer"


class BoundedHttpProvider(HTTPProvider):
    """`make_request` raises ForeignJsonError for an answer that is no JSON object within the limits."""

    def _make_request(self, method: RPCEndpoint, request_data: bytes) -> bytes:
        """The answer's bytes, of which no more than the limit are ever held."""
        options = {**self.get_request_kwargs(), "stream": True}
        uri = cast(URI, self.endpoint_uri)
        received = bytearray()
        with self._request_session_manager.get_response_from_post_request(
            uri, data=request_data, **options
        ) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_content(2**16):
                received += chunk
                if len(received) > ANSWER_LIMITS.bytes:
                    raise ForeignJsonError(
                        f"{_WHAT} is longer than {ANSWER_LIMITS.bytes} bytes; ask for less"
                    )
        return bytes(received)

    @staticmethod
    def decode_rpc_response(raw_response: bytes) -> RPCResponse:
        answer: Any = read_json(raw_response, what=_WHAT, limits=ANSWER_LIMITS)
        if not isinstance(answer, dict):
            raise ForeignJsonError(f"{_WHAT} is no JSON object; correct the URL")
        return cast(RPCResponse, answer)
