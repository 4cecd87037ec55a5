"""The three functions of any ERC-20 that paying in it takes."""

from __future__ import annotations

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_hash.auto import keccak

from .chain import Chain
from .contract import Call
from .errors import BindingsMismatch


class Token:
    """An ERC-20 at an address; amounts are in its smallest unit."""

    def __init__(self, chain: Chain, address: str) -> None:
        self.chain, self.address = chain, address

    def approve(self, spender: str, amount: int) -> Call:
        """Let `spender` take so much; `Payments.deposit` takes it in the same amount, so nothing is left."""
        data = _selector("approve(address,uint256)") + encode(["address", "uint256"], [spender, amount])
        return Call(self.address, data, description="ERC20.approve")

    def balance_of(self, owner: str) -> int:
        return self._number("balanceOf(address)", owner)

    def allowance(self, owner: str, spender: str) -> int:
        return self._number("allowance(address,address)", owner, spender)

    def _number(self, signature: str, *addresses: str) -> int:
        data = _selector(signature) + encode(["address"] * len(addresses), addresses)
        answer = self.chain.call(self.address, data, description=f"ERC20.{signature.partition('(')[0]}")
        try:
            return int(decode(["uint256"], answer)[0])
        except DecodingError as error:
            raise BindingsMismatch(f"{self.address} is no ERC-20 token; correct --token.") from error


def _selector(signature: str) -> bytes:
    return keccak(signature.encode())[:4]
