"""RPC endpoints as they are: limited, overloaded, frozen, behind, on another chain. A real chain is behind each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from contracts.bindings import endpoints
from contracts.bindings.chain import Chain
from contracts.bindings.contract import Call
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import EndpointsDisagree, RpcRefused, RpcUnavailable
from contracts.bindings.events import Deposited
from contracts.bindings.journal import IntentStatus
from contracts.bindings.keys import UnlockedSigner
from contracts.bindings.log_reader import LogReader
from contracts.bindings.sender import open_sender
from tests.contracts.local_chain import LocalChain
from tests.contracts.rpc_proxy import Answer, RpcProxy, error, rpc_proxy

Open = Callable[[], RpcProxy]


@pytest.fixture
def endpoint(local_chain: LocalChain) -> Iterator[Open]:
    with ExitStack() as stack:
        yield lambda: stack.enter_context(rpc_proxy(local_chain.chain.rpc_url))


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the pauses between tries: what is asked is whether there is another try."""
    monkeypatch.setattr(endpoints, "_FIRST_PAUSE_S", 0.01)


@pytest.fixture(scope="module")
def deposits(local_chain: LocalChain, contracts: ProtocolContracts) -> int:
    """First block of a stretch of 3,000 with six deposits of account 9 in it."""
    first = local_chain.chain.head().number + 1
    sender = local_chain.sender(9, journal="endpoints")
    for number in range(6):
        sender.send(contracts.stake.deposit(number + 1), f"endpoints {number}")
        local_chain.mine(500)
    return first


def limited(blocks: int, answer: Answer | int) -> Callable[[str, list[Any]], Answer | int | None]:
    def script(method: str, parameters: list[Any]) -> Answer | int | None:
        if method != "eth_getLogs":
            return None
        asked = int(parameters[0]["toBlock"], 16) - int(parameters[0]["fromBlock"], 16) + 1
        return answer if asked > blocks else None

    return script


@pytest.mark.parametrize(
    "refusal",
    [
        error("query returned more than 10000 results", -32005),
        error("exceed maximum block range: 100", -32602),
        413,
        *(
            pytest.param(refusal, marks=pytest.mark.long)
            for refusal in (
                error("block range too large"),
                error("Log response size exceeded.", -32602),
                error("query timeout exceeded"),
                400,
            )
        ),
    ],
)
def test_logs_come_in_pieces_that_the_endpoint_takes(
    contracts: ProtocolContracts, deposits: int, endpoint: Open, refusal: Answer | int
) -> None:
    proxy = endpoint()
    proxy.script = limited(100, refusal)
    chain = Chain(proxy.url)
    logs = chain.logs([contracts.stake.address], deposits, chain.head().number)
    amounts = [e.amount for e in contracts.events.decode(logs) if isinstance(e, Deposited)]
    assert amounts == [1, 2, 3, 4, 5, 6]
    assert proxy.methods().count("eth_getLogs") < 3_000 / 64 + 10
    proxy.requests.clear()
    chain.logs([contracts.stake.address], deposits, deposits + 200)  # what was learned is remembered
    assert proxy.methods().count("eth_getLogs") <= 4


def test_an_endpoint_that_takes_long_ranges_is_asked_seldom(
    contracts: ProtocolContracts, deposits: int, endpoint: Open
) -> None:
    proxy = endpoint()
    chain = Chain(proxy.url)
    chain.logs([contracts.stake.address], deposits, chain.head().number)
    assert proxy.methods().count("eth_getLogs") <= 4
    proxy.script = lambda method, parameters: error("no logs here") if method == "eth_getLogs" else None
    with pytest.raises(RpcRefused, match="no logs here"):
        chain.logs([contracts.stake.address], deposits, deposits + 10)


@pytest.mark.parametrize(
    "failure",
    [
        error("header not found"), error("rate limit exceeded", -32005), 502, 429,
        *(
            pytest.param(failure, marks=pytest.mark.long) for failure in (
                error("internal error", -32603), error("missing trie node 0xab (path )"), error("unknown block"),
                error("request timed out"), error("Too Many Requests", 429), 503, 504,
            )
        ),
    ],
)  # fmt: skip
def test_what_passes_is_waited_for(
    local_chain: LocalChain, endpoint: Open, short_pauses: None, failure: Answer | int
) -> None:
    proxy, chain = endpoint(), Chain(local_chain.chain.rpc_url)
    left = [2]

    def script(method: str, parameters: list[Any]) -> Answer | int | None:
        left[0] -= 1
        return failure if left[0] >= 0 else None

    proxy.script = script
    assert Chain(proxy.url).head() == chain.head()


_READINGS: dict[str, Callable[[Chain], object]] = {
    "eth_chainId": lambda chain: chain.chain_id,
    "eth_getBlockByNumber": lambda chain: chain.head(),
    "eth_getBalance": lambda chain: chain.balance_wei(_ACCOUNT),
    "eth_getTransactionCount": lambda chain: chain.nonce(_ACCOUNT),
    "eth_call": lambda chain: chain.call(_ACCOUNT, b""),
    "eth_estimateGas": lambda chain: chain.estimate_gas(_ACCOUNT, b"", sender=_ACCOUNT, value_wei=0),
    "eth_getLogs": lambda chain: chain.logs([_ACCOUNT], 0, 1),
    "eth_getTransactionReceipt": lambda chain: chain.receipt(bytes(32)),
    "eth_accounts": lambda chain: chain.unlocked_accounts(),
}
_ACCOUNT = "0x" + 40 * "1"
_NO_ANSWERS = [
    "words",
    "0x",
    "0xg1",
    7,
    -1.5,
    True,
    None,
    [],
    {},
    ["0x1", None],
    {"number": 1},
    {"blockNumber": "0x1"},
    [{}],
]


# An object, a word, a list, and an object or none; the others are of the same kinds.
_KINDS = ("eth_getBlockByNumber", "eth_call", "eth_getLogs", "eth_getTransactionReceipt")


@pytest.mark.parametrize(
    "method", [m if m in _KINDS else pytest.param(m, marks=pytest.mark.long) for m in _READINGS]
)
def test_what_is_no_answer_to_the_question_is_an_endpoint_that_does_not_answer(
    local_chain: LocalChain, endpoint: Open, short_pauses: None, method: str
) -> None:
    proxy, right = endpoint(), _READINGS[method](Chain(local_chain.chain.rpc_url))
    for nothing in _NO_ANSWERS:
        left = [1]

        def script(
            asked: str, parameters: list[Any], nothing: object = nothing, left: list[int] = left
        ) -> Any:
            if asked != method:
                return None
            left[0] -= 1
            return {"result": nothing} if left[0] >= 0 else None

        proxy.script = script
        once = Chain(proxy.url, attempts=1, timeout_s=2)
        try:
            found = _READINGS[method](once)
        except RpcUnavailable as error:
            assert "something that is no" in str(error) and method in str(error)
        except RpcRefused as error:
            assert nothing is None and method == "eth_getBlockByNumber", error
        else:  # some of them are right answers to some of the questions
            assert (method, nothing) in [
                ("eth_call", "0x"), ("eth_getLogs", []), ("eth_accounts", []), ("eth_getTransactionReceipt", None),
                ("eth_getTransactionReceipt", {}), ("eth_getTransactionReceipt", {"number": 1}),
            ], found  # fmt: skip
    left = [1]
    proxy.script = lambda asked, _: {"result": "words"} if asked == method and left and left.pop() else None
    assert _READINGS[method](Chain(proxy.url)) == right  # and is asked again


def test_what_does_not_pass_ends_in_time(endpoint: Open) -> None:
    proxy = endpoint()
    chain = Chain(proxy.url, timeout_s=1.5)
    for failure, raised in (
        (error("rate limit exceeded", -32005), RpcUnavailable),
        (error("missing trie node"), RpcRefused),  # an archive would know; this one never will
        (503, RpcUnavailable),
    ):
        proxy.script = lambda method, parameters, failure=failure: failure
        started = time.monotonic()
        with pytest.raises(raised):
            chain.head()
        assert time.monotonic() - started < 2.5


@pytest.mark.parametrize("how", [pytest.param("frozen", marks=pytest.mark.long), "dripping"])
def test_a_request_never_takes_longer_than_it_may(endpoint: Open, how: str) -> None:
    proxy = endpoint()
    chain = Chain(proxy.url, timeout_s=1.5)
    if how == "frozen":
        proxy.frozen.set()
    else:
        proxy.drip_s = 0.3  # a byte now and then, from the first of the status line on
    started = time.monotonic()
    with pytest.raises(RpcUnavailable, match="it took too long"):
        chain.head()
    assert time.monotonic() - started < 2.5


@pytest.mark.parametrize(
    "how", ["gone", *(pytest.param(how, marks=pytest.mark.long) for how in ("dripping", "frozen", "502"))]
)
def test_another_endpoint_takes_over(local_chain: LocalChain, endpoint: Open, how: str) -> None:
    first, second = endpoint(), endpoint()
    chain = Chain([first.url, second.url], timeout_s=3)
    asked = len(second.requests)
    chain.head()
    assert len(second.requests) == asked  # one endpoint at a time
    if how == "frozen":
        first.frozen.set()
    elif how == "dripping":
        first.drip_s = 0.5
    elif how == "502":
        first.script = lambda method, parameters: 502
    else:
        chain = Chain(["http://127.0.0.1:9", second.url], timeout_s=3)
    started = time.monotonic()
    assert chain.head() == local_chain.chain.head()
    assert time.monotonic() - started < 2.5
    first.requests.clear()
    for _ in range(3):
        chain.head()
    assert first.requests == []


def test_an_endpoint_that_is_behind_is_not_taken(local_chain: LocalChain, endpoint: Open) -> None:
    first, second = endpoint(), endpoint()
    chain = Chain([first.url, second.url], timeout_s=2)
    head = chain.head().number

    def behind(method: str, parameters: list[Any]) -> Answer | None:
        return {"result": hex(head - 1)} if method == "eth_blockNumber" else None

    second.script = behind
    first.script = lambda method, parameters: 502
    with pytest.raises(RpcUnavailable):
        chain.head()
    second.script = lambda method, parameters: None
    time.sleep(1)
    assert chain.head().number == head


def test_an_endpoint_of_another_chain_is_refused(endpoint: Open) -> None:
    first, second = endpoint(), endpoint()
    second.script = lambda method, parameters: {"result": "0x5"} if method == "eth_chainId" else None
    with pytest.raises(EndpointsDisagree, match=r"another chain \(5"):
        Chain([first.url, second.url])


def test_a_lagging_endpoint_rewinds_nothing(
    local_chain: LocalChain, contracts: ProtocolContracts, deposits: int, endpoint: Open
) -> None:
    proxy = endpoint()
    chain = Chain(proxy.url)
    reader = LogReader(ProtocolContracts(chain, replace(contracts.deployment, first_block=deposits)))
    history = []
    while (reading := reader.read(history)) is not None:
        history.insert(0, reading.cursor)
    behind = local_chain.chain.head().number - 700

    def lag(method: str, parameters: list[Any]) -> Answer | None:
        if method != "eth_getBlockByNumber":
            return None
        if parameters[0] == "latest":
            return {"result": local_chain.chain.request(method, [hex(behind), False])}
        return {"result": None} if int(parameters[0], 16) > behind else None

    proxy.script = lag
    assert reader.read(history) is None
    proxy.script = lambda method, parameters: None
    local_chain.mine()
    caught_up = reader.read(history)
    assert caught_up is not None and caught_up.rewound_to is None


def test_the_chain_may_say_what_is_final(
    local_chain: LocalChain, contracts: ProtocolContracts, deposits: int, endpoint: Open, tmp_path: Any
) -> None:
    proxy = endpoint()
    chain = Chain(proxy.url, confirmation_tag="finalized")
    final = local_chain.chain.head().number - 5

    def finalised(method: str, parameters: list[Any]) -> Answer | None:
        if parameters and parameters[0] == "finalized":
            return {"result": local_chain.chain.request(method, [hex(final), False])}
        return None

    proxy.script = finalised
    assert chain.confirmed_head(0).number == final
    sender = open_sender(
        chain, UnlockedSigner(chain, chain.unlocked_accounts()[9]), f"sqlite:///{tmp_path}/j.sqlite"
    )
    intent = sender.submit(Call(sender.address, b"", 1, "to itself"), "final")
    until = time.monotonic() + 30
    while sender.journal.get(intent).status is IntentStatus.SIGNED and time.monotonic() < until:
        sender.recover()  # Anvil answers before it has mined: the first look may find no receipt
        time.sleep(0.05)
    assert sender.journal.get(intent).status is IntentStatus.MINED
    final = local_chain.chain.head().number
    sender.recover()
    assert sender.journal.get(intent).status is IntentStatus.CONFIRMED
    unknown = error("finalized block not supported")
    proxy.script = lambda method, parameters: unknown if parameters[:1] == ["finalized"] else None
    assert chain.confirmed_head(3).number == chain.head().number - 64
