"""What is hashed while a proof is made or verified: by the prover, the reference verifier, the contract's byte code.

On the chain nothing is instrumented: Anvil runs the deployed verifier and reports the memory that every KECCAK256
instruction reads. In Python the transcript's hash function is listened to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from eth_abi import encode
from eth_hash.auto import keccak

import prover.argument.transcript
from tests.verifier_gen.evm import GAS_LIMIT, SELECTOR, Evm, Verifier

WORD = 32
_INDEX_BYTES = 4

_TRACER = """{
    hashed: [],
    step: function (log) {
        if (log.op.toString() !== "KECCAK256") return;
        var start = log.stack.peek(0).valueOf(), size = log.stack.peek(1).valueOf();
        this.hashed.push(size ? toHex(log.memory.slice(start, start + size)) : "0x");
    },
    fault: function () {},
    result: function (context) { return { hashed: this.hashed, output: toHex(context.output) }; }
}"""
_ACCEPTED = "0x" + (1).to_bytes(WORD, "big").hex()


class TraceError(RuntimeError):
    """The node did not trace the call, or the verifier did not accept."""


class TracingEvm(Evm):
    """A client that can also trace calls and reach precompiles."""

    def hashed(self, verifier: Verifier, key: bytes, inputs: list[int], proof: bytes) -> list[bytes]:
        """What every KECCAK256 of an accepting call reads, in order. Raises TraceError."""
        data = SELECTOR + encode(["bytes", "uint256[]", "bytes"], [key, inputs, proof])
        call = {"to": verifier.address, "data": "0x" + data.hex(), "gas": hex(GAS_LIMIT)}
        answer = self._request("debug_traceCall", call, "latest", {"tracer": _TRACER})
        result = answer.get("result")
        if not result or result["output"] != _ACCEPTED:
            raise TraceError(f"no trace of an accepting call: {str(answer)[:300]}")
        return [bytes.fromhex(item[2:]) for item in result["hashed"]]

    def precompile(self, address: int, data: bytes) -> bytes | None:
        """What the precompile returns; None when it refuses its input."""
        answer: dict[str, Any] = self.call({"to": f"0x{address:040x}", "data": "0x" + data.hex()})
        return None if "error" in answer else bytes.fromhex(answer["result"][2:])


@dataclass(frozen=True)
class Absorption:
    """One transcript call as the bytes say it: state || label || words."""

    label: str
    index: int
    words: tuple[int, ...]
    state: bytes

    @classmethod
    def parse(cls, hashed: bytes) -> Absorption:
        """The label is ASCII padded with zeros; its last four bytes are the index."""
        state, label, words = hashed[:WORD], hashed[WORD : 2 * WORD], hashed[2 * WORD :]
        return cls(
            label[:-_INDEX_BYTES].rstrip(b"\0").decode("ascii"),
            int.from_bytes(label[-_INDEX_BYTES:], "big"),
            tuple(int.from_bytes(words[at : at + WORD], "big") for at in range(0, len(words), WORD)),
            state,
        )

    @property
    def data(self) -> bytes:
        """The words as bytes."""
        return b"".join(word.to_bytes(WORD, "big") for word in self.words)


@contextmanager
def hashed_by_transcripts() -> Iterator[list[bytes]]:
    """Everything that Python transcripts hash inside the block, in order: the domain tag, then one item per call."""
    hashed: list[bytes] = []

    def listening(data: bytes) -> bytes:
        hashed.append(bytes(data))
        return keccak(data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prover.argument.transcript, "keccak", listening)
        yield hashed
