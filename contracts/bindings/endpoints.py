"""Several RPC endpoints as one: what is asked comes from one of them until it fails, then from another one that is
on the same chain and not behind."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from typing import Any

from .endpoint import Endpoint, EndpointFailed
from .errors import EndpointsDisagree, RpcRefused, RpcUnavailable
from .rpc_answers import what_is_wrong

_FIRST_PAUSE_S = 0.1
_LONGEST_REST_S = 30.0
# An endpoint with several nodes behind it may ask one that has not caught up; a node itself may have lost the state
# for good. So these are asked again, but not for as long as a silent endpoint.
_BEHIND = (
    "header not found",
    "unknown block",
    "missing trie node",
    "block not found",
    "header for hash not found",
)
_BEHIND_TRIES = 4
_BUSY = (
    "rate limit", "too many requests", "rate exceeded", "capacity", "throughput", "internal error",
    "internal server error", "timeout", "timed out", "temporarily", "try again", "overloaded", "bad gateway",
    "service unavailable",
)  # fmt: skip
_BUSY_CODES = (-32005, 429)
_RATE = ("rate limit", "too many requests", "rate exceeded", "capacity", "throughput")
_MALFORMED = (400, 413, 414)  # the request itself is not taken, and would not be the next time


class _Try(Exception):
    """Another try, or another endpoint, may answer. `refusal` is what the endpoint said, if it said anything."""

    def __init__(self, reason: str, refusal: RpcRefused | None = None, behind: bool = False) -> None:
        super().__init__(reason)
        self.refusal, self.behind = refusal, behind


class Endpoints:
    """`total_s` bounds each request, all tries included."""

    def __init__(self, urls: Sequence[str], *, attempts: int, total_s: float) -> None:
        self._all = [_Known(Endpoint(url)) for url in dict.fromkeys(urls)]
        self._current = 0
        self._attempts, self._total_s = attempts, total_s
        self._highest = -1  # newest block that any answer spoke of
        self._identity: tuple[object, object] | None = None
        self._admitted: _Known | None = None
        self._lock = threading.Lock()

    @property
    def several(self) -> bool:
        return len(self._all) > 1

    def require_agreement(self) -> None:
        """All endpoints that answer must be on one chain. Raises `EndpointsDisagree`."""
        for known in self._all:
            try:
                self._check_identity(known, self._total_s / len(self._all))
            except _Try:
                known.rest()

    def request(self, method: str, parameters: list[object]) -> Any:
        """The result. Raises `RpcRefused`, and `RpcUnavailable` when nothing answers in time."""
        until = time.monotonic() + self._total_s
        failure, behind = _Try("no endpoint"), 0
        for number in range(max(self._attempts, 2 * len(self._all)) if self._attempts > 1 else 1):
            known = self._choose()
            if number and known.resting():  # there is no other one that is well
                pause = min(_FIRST_PAUSE_S * 2 ** (number - 1), 4.0) * random.uniform(1, 1.5)
                if time.monotonic() + pause >= until:
                    break
                time.sleep(pause)
            left = until - time.monotonic()
            if left <= 0:
                break
            try:
                self._admit(known, min(left, self._total_s / len(self._all)))
                left = until - time.monotonic()
                result = _ask(known, method, parameters, min(left, self._total_s / len(self._all)))
            except _Try as error:
                failure = error
                known.rest()
                behind += error.behind
                if behind >= _BEHIND_TRIES * len(self._all):
                    break
                continue
            known.well()
            self._note_block(method, result)
            return result
        if failure.refusal is not None:
            raise failure.refusal
        names = ", ".join(known.endpoint.shown_url for known in self._all)
        raise RpcUnavailable(
            f"{names} {'do' if self.several else 'does'} not answer ({failure}); check that the node runs and the "
            "URL is right."
        ) from failure

    def _choose(self) -> _Known:
        """The one in use; when it failed lately, the one that has rested longest."""
        with self._lock:
            if self._all[self._current].resting():
                self._current = min(range(len(self._all)), key=lambda i: self._all[i].rests_until)
            return self._all[self._current]

    def _admit(self, known: _Known, timeout_s: float) -> None:
        """Before an endpoint takes the place of another: it must be on the same chain, and at the same head."""
        if not self.several or known is self._admitted:
            return
        self._check_identity(known, timeout_s)
        head = int(_ask(known, "eth_blockNumber", [], timeout_s), 16)
        if head < self._highest:
            raise _Try(f"it is behind: at block {head}, {self._highest} was seen", behind=True)
        self._admitted = known

    def _check_identity(self, known: _Known, timeout_s: float) -> None:
        if known.checked:
            return
        chain_id = int(_ask(known, "eth_chainId", [], timeout_s), 16)
        genesis = (_ask(known, "eth_getBlockByNumber", ["0x0", False], timeout_s) or {}).get("hash")
        if self._identity is None:
            self._identity = (chain_id, genesis)
        if (chain_id, genesis) != self._identity:
            raise EndpointsDisagree(
                f"{known.endpoint.shown_url} is on another chain ({chain_id}, first block {genesis}) than the other RPC "
                f"endpoints ({self._identity[0]}, {self._identity[1]}); correct rpc_url and rpc_urls."
            )
        known.checked = True

    def _note_block(self, method: str, result: Any) -> None:
        if not self.several:
            return
        number = result
        if method == "eth_getBlockByNumber" and isinstance(result, dict):
            number = result.get("number")
        elif method != "eth_blockNumber":
            return
        if isinstance(number, str):
            self._highest = max(self._highest, int(number, 16))


class _Known:
    """An endpoint and its health."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.checked = False
        self.rests_until = 0.0
        self._failures = 0

    def resting(self) -> bool:
        return time.monotonic() < self.rests_until

    def rest(self) -> None:
        self._failures += 1
        self.rests_until = time.monotonic() + min(2.0 ** (self._failures - 1), _LONGEST_REST_S)

    def well(self) -> None:
        self._failures, self.rests_until = 0, 0.0


def _ask(known: _Known, method: str, parameters: list[object], timeout_s: float) -> Any:
    """Raises `RpcRefused`, or `_Try` for what another try may cure."""
    try:
        answer = known.endpoint.request(method, parameters, max(timeout_s, 0.05))
    except EndpointFailed as error:
        if error.status in _MALFORMED:
            raise RpcRefused(method, str(error)) from error
        raise _Try(str(error)) from error
    body = answer.get("error")
    if body is None:
        result = answer.get("result")
        if (wrong := what_is_wrong(method, result)) is not None:
            raise _Try(wrong)
        return result
    if not isinstance(body, dict):
        raise RpcRefused(method, str(body))
    message, code = str(body.get("message", body)), body.get("code")
    refusal = RpcRefused(method, message, body.get("data"))
    text = message.lower()
    if "revert" in text or isinstance(body.get("data"), str):
        raise refusal  # an answer about the call itself
    if method == "eth_getLogs":
        # Limits of ranges come with the same words and codes: these ask for less, not for patience.
        busy, behind = any(word in text for word in _RATE), any(word in text for word in _BEHIND)
    else:
        behind = any(word in text for word in _BEHIND)
        busy = code in _BUSY_CODES or any(word in text for word in _BUSY)
    if behind or busy:
        raise _Try(message, refusal if behind else None, behind)
    raise refusal
