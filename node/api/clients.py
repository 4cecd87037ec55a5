"""Whose request it is: for the fair queue, and for what may be shared in memory.

Nobody registers here, so a name that a caller gives itself would be a share of its own for the asking. A client is whoever pays
(vouchers are signed), else the address that the request came from, of IPv6 the first 64 bits, which belong to one customer.
Beginnings of prompts are shared among requests of one client with the same `Authorization`, if it sends one: programs behind
one address that have keys of their own learn nothing of each other.
"""

from __future__ import annotations

import hashlib
from ipaddress import IPv6Address, ip_address, ip_network

from fastapi import Request

from ..clients import Client
from ..payments.till import Payment

_CUSTOMER_BITS = 64


def client_of(request: Request, payment: Payment | None) -> Client:
    """Of a request whose payment was taken."""
    host = "" if request.client is None else request.client.host
    share = f"payer {payment.payer}" if payment is not None else f"address {network_of(host)}"
    key = request.headers.get("authorization", "")
    return Client(share, hashlib.sha256(f"{share}\0{key}".encode()).digest())


def network_of(host: str) -> str:
    """What one customer has of an address: all of it, of IPv6 the first 64 bits."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, _CUSTOMER_BITS), strict=False))
