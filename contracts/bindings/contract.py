"""One deployed contract: reads, and calls that are described before they are sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .abi import Interface
from .chain import Chain
from .compiler import Artifact

BlockId = int | None


@dataclass(frozen=True)
class Call:
    """A transaction that somebody may send: target (None deploys), calldata, ether, and a description."""

    to: str | None
    data: bytes
    value_wei: int = 0
    description: str = ""


class BoundContract:
    """A contract's interface at an address. Reads take `block` (a number; default the newest)."""

    def __init__(self, chain: Chain, address: str, artifact: Artifact) -> None:
        self.chain = chain
        self.address = address
        self.interface = Interface(artifact)

    def _read(
        self, function: str, *arguments: object, record: type | None = None, block: BlockId = None
    ) -> Any:
        answer = self.chain.call(
            self.address,
            self.interface.encode_call(function, arguments),
            block=block,
            description=f"{self.interface.name}.{function}",
        )
        return self.interface.decode_result(function, answer, record)

    def _call(self, function: str, *arguments: object, value_wei: int = 0) -> Call:
        data = self.interface.encode_call(function, arguments)
        return Call(self.address, data, value_wei, f"{self.interface.name}.{function}")
