"""What an endpoint must answer to the requests that `Chain` makes: anything else is no answer.

Proxies answer with pages of their own, half-broken nodes with words or null; what reads a result must not stumble over it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*")


def what_is_wrong(method: str, result: Any) -> str | None:
    """None where a result has the shape of the method's results, else a sentence for whoever runs the endpoint."""
    shape = _SHAPES.get(method)
    if shape is None or shape[1](result):
        return None
    return f"it answered {method} with something that is no {shape[0]}"


def _is_quantity(value: Any) -> bool:
    return isinstance(value, str) and _QUANTITY.fullmatch(value) is not None


def _is_data(value: Any) -> bool:
    return isinstance(value, str) and _DATA.fullmatch(value) is not None


def _has(value: Any, **members: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(fits(value.get(name)) for name, fits in members.items())


def _is_block(value: Any) -> bool:
    return value is None or _has(
        value, number=_is_quantity, hash=_is_data, parentHash=_is_data, timestamp=_is_quantity
    )


def _is_log(value: Any) -> bool:
    return _has(
        value, address=_is_data, data=_is_data, topics=_is_list_of(_is_data), blockNumber=_is_quantity,
        blockHash=_is_data, transactionHash=_is_data, logIndex=_is_quantity,
    )  # fmt: skip


def _is_list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _is_receipt(value: Any) -> bool:
    if value is None or (isinstance(value, dict) and value.get("blockNumber") is None):
        return True  # not mined
    return _has(
        value, blockNumber=_is_quantity, blockHash=_is_data, status=_is_quantity, gasUsed=_is_quantity,
        logs=_is_list_of(_is_log),
    )  # fmt: skip


_SHAPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    **{
        method: ("number", _is_quantity)
        for method in (
            "eth_blockNumber", "eth_chainId", "eth_getBalance", "eth_getTransactionCount", "eth_estimateGas", "eth_maxPriorityFeePerGas",
        )
    },
    "eth_call": ("bytes", _is_data),
    "eth_getCode": ("bytes", _is_data),
    "eth_getBlockByNumber": ("block", _is_block),
    "eth_getTransactionReceipt": ("receipt", _is_receipt),
    "eth_getLogs": ("list of logs", _is_list_of(_is_log)),
    "eth_accounts": ("list of accounts", _is_list_of(_is_data)),
}  # fmt: skip
"""Of what is not here (development chains' own methods, a transaction's hash, which is known without it), the caller reads nothing or judges itself."""
