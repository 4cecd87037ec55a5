"""The faults. Each is drawn from a seed, lasts seconds, and says in a few words what it did."""

from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from contracts.bindings.errors import BindingsError
from devnet.anvil import free_port
from tests.contracts.rpc_proxy import Answer, RpcProxy, Script, error

from .programs import Program

if TYPE_CHECKING:
    from .world import World

#: How often each kind is drawn: what needs a start of a program is dear.
KINDS = {"kill": 12, "reorg": 20, "rpc": 28, "disk": 13, "database": 13, "clock": 11, "two nodes": 3}
#: A block must not be taken back that the world itself stands on.
_DEEPEST = 6
#: Seconds that the chain's time may jump ahead in one round: windows are 900 s and longer.
_MOST_JUMPED_S = 25


def inject(kind: str, world: World, rng: random.Random) -> str:
    """One fault of a kind; what it was. Returns when it is over (a killed program may still be starting)."""
    return _INJECTIONS[kind](world, rng)


def _some_program(world: World, rng: random.Random) -> Program:
    running = [program for program in world.programs if program.runs]
    return rng.choice(running or world.programs)


# --- kill


def _kill(world: World, rng: random.Random) -> str:
    """SIGKILL, now or in a moment, perhaps in the middle of a start; then it is started again at once."""
    program = rng.choice(world.programs)
    time.sleep(rng.uniform(0, 0.8))
    state = "running" if world.is_up(program) else "while it starts"
    program.kill()
    program.start()
    return f"{program.name} {state}"


# --- reorg


def _reorg(world: World, rng: random.Random) -> str:
    """Up to six blocks are replaced by empty ones, or the chain goes back to what it was some seconds ago."""
    chain = world.chain
    if rng.random() < 0.75:
        depth = min(rng.randint(1, _DEEPEST), chain.head().number - world.first_block)
        if depth > 0:
            chain.request("anvil_reorg", [depth, []])
        return f"{depth} blocks" if depth > 1 else "1 block"
    snapshot = chain.request("evm_snapshot", [])
    time.sleep(rng.uniform(0.5, 2.5))
    chain.request("evm_revert", [snapshot])
    return "back to a snapshot"


# --- rpc


def _older_head(world: World, rng: random.Random) -> Script:
    """The endpoint lags by some blocks, consistently in what it calls the newest."""
    behind = rng.randint(1, 8)

    def script(method: str, parameters: list[Any]) -> Answer | int | None:
        if method not in ("eth_blockNumber", "eth_getBlockByNumber", "eth_call", "eth_getTransactionCount"):
            return None
        old = hex(max(world.first_block, world.chain.head().number - behind))
        if method == "eth_blockNumber":
            return {"result": old}
        if "latest" not in parameters:
            return None
        return _asked(world, method, [old if value == "latest" else value for value in parameters])

    return script


def _asked(world: World, method: str, parameters: list[Any]) -> Answer:
    from contracts.bindings.errors import RpcRefused

    try:
        return {"result": world.chain.request(method, parameters)}
    except RpcRefused as refused:
        return {"error": {"code": -32000, "message": refused.rpc_message, "data": refused.data}}


def _answers(method: str, answer: Answer | int) -> Callable[[World, random.Random], Script]:
    return lambda world, rng: lambda asked, parameters: answer if asked == method else None


def _swallowing(world: World, rng: random.Random) -> Script:
    """Says that it took a transaction, and drops it."""
    return lambda method, _: {"result": "0x" + "ab" * 32} if method == "eth_sendRawTransaction" else None


def _sent_but_denied(world: World, rng: random.Random) -> Script:
    """Passes a transaction on, and says that this failed."""

    def script(method: str, parameters: list[Any]) -> Answer | int | None:
        if method != "eth_sendRawTransaction":
            return None
        with contextlib.suppress(BindingsError):
            world.chain.request(method, parameters)
        return error("internal error")

    return script


def _wrong_nonce(world: World, rng: random.Random) -> Script:
    offset = rng.choice([-2, -1, 1, 3])

    def script(method: str, parameters: list[Any]) -> Answer | int | None:
        if method != "eth_getTransactionCount":
            return None
        true = int(world.chain.request(method, parameters), 16)
        return {"result": hex(max(0, true + offset))}

    return script


def _sometimes_gone(world: World, rng: random.Random) -> Script:
    flips = random.Random(rng.random())
    return lambda method, _: 502 if flips.random() < 0.5 else None


_LIES: dict[str, Callable[[World, random.Random], Script]] = {
    "answers every second time": _sometimes_gone,
    "is behind": _older_head,
    "has no logs": _answers("eth_getLogs", {"result": []}),
    "has no receipts": _answers("eth_getTransactionReceipt", {"result": None}),
    "says that calls return nothing": _answers("eth_call", {"result": "0x"}),
    "says that calls return zeros": _answers("eth_call", {"result": "0x" + "00" * 32 * 24}),
    "refuses calls": _answers("eth_call", error("limit exceeded", -32005)),
    "swallows transactions": _swallowing,
    "denies transactions that it sends": _sent_but_denied,
    "does not know nonces": _wrong_nonce,
    "names another chain": _answers("eth_chainId", {"result": "0x1"}),
    "refuses signatures": _answers("eth_signTransaction", error("unknown account")),
    "answers 502": lambda world, rng: lambda method, parameters: 502,
    "answers words": lambda world, rng: lambda method, parameters: {"result": "words"},
}


def _rpc(world: World, rng: random.Random) -> str:
    """One program's endpoint hangs or lies for a while; the other program sees the chain as it is."""
    program = rng.choice(world.programs)
    proxy: RpcProxy = program.proxy
    lasting = rng.uniform(0.3, 2.5)
    if rng.random() < 0.2:
        proxy.frozen.set()
        time.sleep(lasting)
        proxy.frozen.clear()
        return f"hangs, {program.name}"
    name = rng.choice(sorted(_LIES))
    usual, proxy.script = proxy.script, _LIES[name](world, rng)
    time.sleep(lasting)
    proxy.script = usual
    return f"{name}, {program.name}"


# --- disk


def _disk(world: World, rng: random.Random) -> str:
    program = _some_program(world, rng)
    if not program.runs:
        return f"full, {program.name} (not running)"
    with contextlib.suppress(ProcessLookupError), program.with_full_disk():
        time.sleep(rng.uniform(0.2, 2))
    return f"full, {program.name}"


# --- database


def _database(world: World, rng: random.Random) -> str:
    program = rng.choice(world.programs)
    if program.database is not None:
        return _locked(program, 11.0 if rng.random() < 0.1 else rng.uniform(0.2, 2))
    assert world.postgres is not None and world.relay is not None
    how = rng.choice(["server killed", "connections cut", "does not answer"])
    lasting = rng.uniform(0.2, 2.5)
    if how == "server killed":
        world.postgres.stop(signal.SIGQUIT)
        time.sleep(lasting)
        world.postgres.start()
    elif how == "connections cut":
        world.relay.close()
        time.sleep(lasting)
        world.relay.open()
    else:
        world.relay.freeze()
        time.sleep(lasting)
        world.relay.thaw()
    return f"PostgreSQL {how}, {program.name}"


def _locked(program: Program, lasting_s: float) -> str:
    """Another program holds the write lock (longer than the ten seconds that a statement waits, sometimes)."""
    assert program.database is not None
    if not program.database.exists():
        return f"SQLite is not there yet, {program.name}"
    with contextlib.closing(sqlite3.connect(program.database, timeout=5, isolation_level=None)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(lasting_s)
            other.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return f"SQLite busy, {program.name}"
    return f"SQLite locked, {program.name}"


# --- clock


def _clock(world: World, rng: random.Random) -> str:
    if rng.random() < 0.35 and world.jumped_s < _MOST_JUMPED_S:
        seconds = rng.randint(1, 8)
        world.jumped_s += seconds
        world.chain.request("evm_increaseTime", [seconds])
        world.chain.request("anvil_mine", ["0x1"])
        return "the chain's jumps ahead"
    program = rng.choice(world.programs)
    seconds = rng.choice([-1, 1]) * rng.choice([2, 30, 600, 3600, 86_400])
    with program.with_clock_off_by(seconds):
        time.sleep(rng.uniform(0.3, 2.5))
    return f"{'ahead' if seconds > 0 else 'behind'}, {program.name}"


# --- two nodes


def _two_nodes(world: World, rng: random.Random) -> str:
    """A second program of the same account: on the same database it must leave, on another one it lives for a while."""
    program = rng.choice(world.programs)
    same = program is world.challenger or rng.random() < 0.6
    arguments = [*program.arguments]
    if program is world.provider:
        arguments[arguments.index("--port") + 1] = str(free_port())
    number = world.next_number()
    settings = {} if same else {"GAINSAY_DATABASE_URL": f"sqlite:///{world.folder}/second-{number}.sqlite"}
    log = world.folder / f"second-{number}.log"
    started = time.monotonic()
    process = program.spawn(arguments, log, settings)
    while time.monotonic() - started < (120 if same else rng.uniform(8, 14)) and process.poll() is None:
        time.sleep(0.1)
    if process.poll() is not None:
        if same and process.returncode == 0:
            world.findings.append(f"a second {program.name} ended as if all were well")
        return f"{program.name}, {'same' if same else 'another'} database: it left"
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(Exception):
        process.wait(10)
    process.kill()
    process.wait()
    if same and (
        (text := log.read_text(errors="replace")).count("serves tiny") or "challenger watches" in text
    ):
        world.findings.append(f"a second {program.name} on the same database works: {text[-500:]}")
    return f"{program.name}, {'same' if same else 'another'} database: it ran beside"


_INJECTIONS = {
    "kill": _kill, "reorg": _reorg, "rpc": _rpc, "disk": _disk, "database": _database, "clock": _clock,
    "two nodes": _two_nodes,
}  # fmt: skip
