"""Putting a copy back, so that nothing is done again that the chain has already, and no place is given out twice.

What a copy cannot know is what its program did afterwards. So before it is put in place:
- an open batch takes no more answers: the same places were perhaps given to others, whose receipts are out;
- a transaction that was only planned is given up: it may have been sent since. Programs plan their moves again from what the chain
  says; a person gives the command again after looking;
- a signed transaction stays while its nonce is free; if it was replaced since, and the replacement mined, that is written down;
- games that this challenger opened since are noted as opened.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, text

from contracts.bindings.chain import Chain
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import BindingsError
from contracts.bindings.indexer import Indexer

from . import postgres_copy
from .backup import Manifest, progress_of
from .errors import BackupRefused

#: A node that runs shows life every two seconds (`lease.running_alone`).
_LIFE_S = 10.0
_GIVEN_UP = "the database was restored from a copy; whether this was sent is not known"


@dataclass
class Restored:
    """What was found while a copy was put back; sentences for whoever did it."""

    sealed: int = 0
    given_up: int = 0
    mined_since: int = 0
    games: int = 0
    warnings: list[str] = field(default_factory=list)


def require_same_chain(manifest: Manifest, role: str, chain: Chain, ledger: str, account: str) -> None:
    """Raises BackupRefused when the copy is of something else."""
    for what, copied, here in (
        ("role", manifest.role, role),
        ("chain", manifest.chain_id, chain.chain_id),
        ("first block", manifest.genesis_hash, "0x" + chain.genesis_hash.hex()),
        ("ledger", manifest.ledger.lower(), ledger.lower()),
        ("account", manifest.account.lower(), account.lower()),
    ):
        if copied != here:
            raise BackupRefused(f"the copy's {what} is {copied}, here it is {here}; nothing was restored")
    if chain.head().number < manifest.head:
        raise BackupRefused(
            f"the chain's newest block is {chain.head().number}, the copy was made at {manifest.head}: the endpoint lags, or it is another chain"
        )


def require_not_newer(manifest: Manifest, target: Path) -> None:
    """Raises BackupRefused when what is in place knows more than the copy."""
    here = progress_of(target)
    if manifest.progress.is_behind(here):
        raise BackupRefused(
            f"{target} knows more ({here}) than the copy ({manifest.progress}); if it is damaged, move it away yourself first"
        )


def require_not_running(target: Path, sleep: Callable[[float], None] = time.sleep) -> None:
    """Watches the leases of a SQLite database. Raises BackupRefused when somebody shows life."""
    before = _beats(target)
    if not before:
        return
    until = time.monotonic() + _LIFE_S
    while time.monotonic() < until:
        if _beats(target) != before:
            raise BackupRefused(f"a program works on {target}; stop it first")
        sleep(0.5)


def _beats(target: Path) -> list[tuple[str, str, int]]:
    try:
        with closing(sqlite3.connect(f"file:{target}?mode=ro", uri=True, timeout=10)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sender_lease'").fetchone():
                return []
            query = "SELECT scope, name, beat FROM sender_lease WHERE name LIKE 'running %' AND holder IS NOT NULL"
            return [tuple(row) for row in connection.execute(query)]
    except sqlite3.Error as error:
        raise BackupRefused(f"the database {target} cannot be read: {error}") from error


# --- putting it in place


def put_sqlite(copy: Path, target: Path, repair: Callable[[str], Restored]) -> tuple[Restored, Path | None]:
    """Repair the copy beside the target, then exchange both in one step. Returns where the old database went to.

    Killed before the exchange it has changed nothing that anybody uses; killed after it, it is done.
    """
    beside = target.with_name(target.name + ".restoring")
    beside.unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside.write_bytes(copy.read_bytes())
    found = repair(f"sqlite:///{beside}")
    _close_log(beside)
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    old: Path | None = None
    if target.exists():
        _close_log(target)  # a log that is left behind would be played into the new file
        when = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        old = target.with_name(f"{target.name}.before-{when}-{secrets.token_hex(2)}")
        os.link(target, old)
    os.replace(beside, target)
    return found, old


def _close_log(database: Path) -> None:
    try:
        with closing(sqlite3.connect(database, timeout=5)) as connection:
            (mode,) = connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.Error as error:
        raise BackupRefused(f"{database} is in use or damaged ({error}); stop what uses it") from error
    if mode != "delete":
        raise BackupRefused(f"{database} is in use; stop what uses it")


def put_postgres(
    copy: Path, url: str, repair: Callable[[str], Restored], binaries: Path | None = None
) -> Restored:
    """Into an empty database. Until the repair is done no node starts on it; the same command carries on after a kill."""
    state = postgres_copy.state_of(url)
    if state == "used":
        raise BackupRefused(
            "the database is in use already; create an empty one, and name it with --database-url"
        )
    if state == "empty":
        postgres_copy.load(url, copy, binaries)
    return repair(url)


# --- repairing


def repair(url: str, role: str, contracts: ProtocolContracts, account: str) -> Restored:
    """Make a loaded copy safe to start on, in one transaction (beside migrations). Raises BackupRefused, and what the bindings raise."""
    if role == "provider":
        from node.store import open_engine

        open_engine(url).dispose()  # migrated to this release
    engine = create_engine(
        url.replace("postgresql://", "postgresql+psycopg://").replace("postgres://", "postgresql+psycopg://")
    )
    found = Restored()
    try:
        with engine.begin() as connection:
            _settle_transactions(connection, contracts.chain, found)
            if role == "provider":
                _settle_batches(connection, contracts, account, found)
            else:
                _note_games(connection, contracts, account, found)
    finally:
        engine.dispose()
    return found


def _settle_transactions(connection: Connection, chain: Chain, found: Restored) -> None:
    query = "SELECT id, scope, target, data, value_wei, status, nonce FROM transaction_intent WHERE status IN ('planned', 'signed', 'mined')"
    for intent in connection.execute(text(query)).mappings().all():
        if intent["status"] == "planned" or intent["nonce"] is None:
            _give_up(connection, intent["id"], found)
            continue
        account, nonce = str(intent["scope"]).rpartition(":")[2], int(intent["nonce"])
        if chain.nonce(account) <= nonce:
            continue  # still free: the same transaction can be mined once at most
        attempts = connection.execute(
            text("SELECT hash FROM transaction_attempt WHERE intent_id = :id"), {"id": intent["id"]}
        )
        if any(chain.receipt(bytes(hash_)) is not None for (hash_,) in attempts):
            continue  # the sender finds it
        mined = _mined_instead(chain, account, nonce)
        if mined is None or not _is_same(mined, intent):
            _give_up(connection, intent["id"], found)
            continue
        _note_mined(connection, chain, intent["id"], mined)
        found.mined_since += 1


def _give_up(connection: Connection, intent_id: int, found: Restored) -> None:
    change = "UPDATE transaction_intent SET status = 'refused', error = :why WHERE id = :id"
    connection.execute(text(change), {"why": _GIVEN_UP, "id": intent_id})
    found.given_up += 1


def _mined_instead(chain: Chain, account: str, nonce: int) -> dict[str, Any] | None:
    try:
        taker = chain.transaction_at_nonce(account, nonce)
        if taker is None:
            return None
        body = chain.request("eth_getTransactionByHash", ["0x" + taker.hash.hex()])
    except BindingsError:
        return None  # the endpoint does not know the states of that time
    return body if isinstance(body, dict) else None


def _is_same(mined: dict[str, Any], intent: Any) -> bool:
    return (
        str(mined.get("to") or "").lower() == str(intent["target"] or "").lower()
        and bytes.fromhex(str(mined["input"]).removeprefix("0x")) == bytes(intent["data"])
        and int(str(mined["value"]), 16) == int(intent["value_wei"])
    )


def _note_mined(connection: Connection, chain: Chain, intent_id: int, mined: dict[str, Any]) -> None:
    try:
        raw = bytes.fromhex(
            str(chain.request("eth_getRawTransactionByHash", [mined["hash"]])).removeprefix("0x")
        )
    except (BindingsError, ValueError):
        raw = b""
    hash_ = bytes.fromhex(str(mined["hash"])[2:])
    values = {
        "intent": intent_id, "hash": hash_, "raw": raw, "highest": str(int(str(mined.get("maxFeePerGas", "0x0")), 16)),
        "priority": str(int(str(mined.get("maxPriorityFeePerGas", "0x0")), 16)), "now": time.time(),
    }  # fmt: skip
    connection.execute(
        text(
            "INSERT INTO transaction_attempt (intent_id, hash, raw, max_fee_wei, priority_fee_wei, signed_at) "
            "VALUES (:intent, :hash, :raw, :highest, :priority, :now)"
        ),
        values,
    )
    connection.execute(
        text(
            "UPDATE transaction_intent SET status = 'mined', mined_hash = :hash, mined_block = :block WHERE id = :intent"
        ),
        {"hash": hash_, "block": int(str(mined["blockNumber"]), 16), "intent": intent_id},
    )


def _settle_batches(
    connection: Connection, contracts: ProtocolContracts, provider: str, found: Restored
) -> None:
    sealed = connection.execute(text("UPDATE batch SET state = 'sealed' WHERE state = 'open'"))
    found.sealed = int(sealed.rowcount)
    marked = connection.execute(text("SELECT value FROM fact WHERE name = 'deployment'")).scalar()
    if marked is not None and str(marked).startswith(postgres_copy.RESTORING):
        value = str(marked).removeprefix(postgres_copy.RESTORING)
        connection.execute(text("UPDATE fact SET value = :value WHERE name = 'deployment'"), {"value": value})
    counts = {
        str(salt): int(count) for salt, count in connection.execute(text("SELECT salt, count FROM batch"))
    }
    books = Indexer(contracts).catch_up()
    for number, batch in sorted(books.batches.items()):
        if batch.provider.lower() != provider.lower() or batch.finalised:
            continue
        known = counts.get("0x" + batch.salt.hex(), 0)
        if known < batch.count:
            found.warnings.append(
                f"batch {number} on chain has {batch.count} answers, the copy knows {known}: the others cannot be shown or defended "
                f"by this node, and can cost a lock each until {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(batch.deadline))} UTC"
            )
    for receipt in books.receipts.values():
        if receipt.provider.lower() == provider.lower() and receipt.status.name == "CLAIMED":
            found.warnings.append(
                f"receipt 0x{receipt.receipt_id.hex()} is claimed on chain; answer it in time"
            )


def _note_games(
    connection: Connection, contracts: ProtocolContracts, challenger: str, found: Restored
) -> None:
    """The secret of an opening follows from the store, so a copy would commit and open the same again."""
    books = Indexer(contracts).catch_up()
    for game in books.games.values():
        if game.challenger.lower() != challenger.lower():
            continue
        place = {"batch": game.batch_id, "index": game.index}
        known = connection.execute(
            text('SELECT state FROM challenger_opening WHERE batch_id = :batch AND "index" = :index'), place
        ).scalar()
        if known == "opened":
            continue
        found.games += 1
        if known is None:
            connection.execute(
                text(
                    'INSERT INTO challenger_opening (batch_id, "index", state, tries, next_try_at, lost) '
                    "VALUES (:batch, :index, 'opened', 0, 0, 0)"
                ),
                place,
            )
        else:
            connection.execute(
                text(
                    "UPDATE challenger_opening SET state = 'opened' WHERE batch_id = :batch AND \"index\" = :index"
                ),
                place,
            )
