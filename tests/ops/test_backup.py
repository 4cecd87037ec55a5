"""Copies of a database in use: consistent, whole or not there, without secrets; put back only where nothing newer is."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from ops.backup import (
    SQLITE,
    Manifest,
    Progress,
    Source,
    copy_sqlite,
    open_archive,
    progress_of,
    without_secrets,
    write_archive,
)
from ops.errors import BackupRefused
from ops.restoring import Restored, put_sqlite, require_not_newer, require_not_running


def database(path: Path, rows: int = 3) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE response (id INTEGER PRIMARY KEY, twice INTEGER)")
        connection.executemany("INSERT INTO response VALUES (?, ?)", [(n, 2 * n) for n in range(rows)])
        connection.commit()
    return path


def source(folder: Path, database: Path, **more: object) -> Source:
    return Source(
        "provider", 31337, "0x" + "ab" * 32, "0x" + "01" * 20, "0x" + "02" * 20, 7, database, folder / "record.json",
        folder / "gainsay.toml", **more,  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_copy_of_a_database_that_is_written_to_is_of_one_moment(tmp_path: Path) -> None:
    live, stop = database(tmp_path / "live.sqlite"), threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(live, timeout=10)) as connection:
            number = 1000
            while not stop.is_set():
                number += 1
                connection.execute("INSERT INTO response VALUES (?, 0)", (number,))
                connection.execute("UPDATE response SET twice = ? WHERE id = ?", (2 * number, number))
                connection.commit()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(5):
            copy = tmp_path / f"copy-{number}.sqlite"
            copy_sqlite(live, copy)
            with closing(sqlite3.connect(copy)) as connection:
                assert connection.execute(
                    "SELECT count(*) FROM response WHERE twice != 2 * id"
                ).fetchone() == (0,)
    finally:
        stop.set()
        thread.join()
    assert progress_of(copy).responses >= 3


def test_an_archive_appears_whole_or_not_at_all_and_never_replaces_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "record.json").write_text("{}")
    of = source(tmp_path, database(tmp_path / "live.sqlite"))
    target = tmp_path / "copy.tar"

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for at in ("ops.backup.copy_sqlite", "ops.backup.tarfile.open", "ops.backup.os.link"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(at, killed)
            write_archive(of, target)
        assert not target.exists() and not list(tmp_path.glob(".gainsay-backup-*"))
    assert write_archive(of, target).progress == Progress(responses=3)
    assert target.stat().st_mode & 0o077 == 0
    with pytest.raises(BackupRefused, match="exists"):
        write_archive(of, target)


def test_secrets_stay_out_and_keystores_only_when_asked_for_and_encrypted(tmp_path: Path) -> None:
    (tmp_path / "gainsay.toml").write_text(
        'rpc_url = "http://x"\nkeystore_password = "hunter2"\n[provider]\nport = 1\n'
        'database_url = "postgresql://me:hunter2@x/y"\nreceipt_keystore_password = "hunter2"\n'
    )
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps({"crypto": {"ciphertext": "aa", "kdf": "scrypt"}}))
    bad.write_text(json.dumps({"privateKey": "hunter2"}))
    live = database(tmp_path / "live.sqlite")
    of = source(tmp_path, live, keystores=[good], blindings=[tmp_path / "secret.blindings"])
    plain = write_archive(of, tmp_path / "plain.tar")
    assert plain.keystores == (str(good),) and plain.blindings == (str(tmp_path / "secret.blindings"),)
    assert (
        set(plain.files) == {SQLITE, "gainsay.toml"}
        and b"hunter2" not in (tmp_path / "plain.tar").read_bytes()
    )
    assert "keystores/good.json" in write_archive(of, tmp_path / "keys.tar", with_keystores=True).files
    with pytest.raises(BackupRefused, match="no encrypted keystore"):
        write_archive(source(tmp_path, live, keystores=[bad]), tmp_path / "bad.tar", with_keystores=True)
    with pytest.raises(BackupRefused, match="password"):
        without_secrets('provider = {keystore_password = "hunter2"}\n')


def test_a_damaged_or_foreign_archive_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "copy.tar"
    write_archive(source(tmp_path, database(tmp_path / "live.sqlite")), archive)
    good = archive.read_bytes()
    place = good.index(b"SQLite format 3")
    for bad in (good[: len(good) // 2], good[:place] + b"X" + good[place + 1 :], b"", b"words"):
        archive.write_bytes(bad)
        with pytest.raises(BackupRefused):
            open_archive(archive, tmp_path / "out")
    manifest = Manifest.read(
        json.dumps({
            "role": "provider", "chain_id": 1, "genesis_hash": "", "ledger": "", "account": "", "database": SQLITE, "progress": {},
            "head": 0, "made_at": "", "keystores": [], "blindings": [], "files": {SQLITE: ""}, "format": 1,
        }).encode()
    )  # fmt: skip
    assert manifest.progress == Progress()
    with pytest.raises(BackupRefused, match="format 1"):
        Manifest.read(b'{"format": 2}')


def test_what_knows_more_or_is_in_use_is_not_replaced(tmp_path: Path) -> None:
    live, archive = database(tmp_path / "live.sqlite"), tmp_path / "copy.tar"
    manifest = write_archive(source(tmp_path, live), archive)
    require_not_newer(manifest, live)
    with closing(sqlite3.connect(live)) as connection:
        connection.execute("INSERT INTO response VALUES (99, 198)")
        connection.execute("CREATE TABLE sender_lease (scope, name, holder, beat INTEGER)")
        connection.execute("INSERT INTO sender_lease VALUES ('s', 'running provider', 'token', 1)")
        connection.commit()
    with pytest.raises(BackupRefused, match="knows more"):
        require_not_newer(manifest, live)

    def beat(_seconds: float) -> None:
        with closing(sqlite3.connect(live)) as connection:
            connection.execute("UPDATE sender_lease SET beat = beat + 1")
            connection.commit()

    with pytest.raises(BackupRefused, match="works on"):
        require_not_running(live, beat)


@pytest.mark.parametrize("killed_at", ["repair", "os.link", "os.replace", None])
def test_a_restore_that_is_killed_leaves_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: str | None
) -> None:
    target, copy = database(tmp_path / "node.sqlite", rows=2), database(tmp_path / "copy.sqlite", rows=5)
    copy_sqlite(copy, tmp_path / "plain.sqlite")

    def killed(*_: object) -> Restored:
        raise KeyboardInterrupt

    def repair(_url: str) -> Restored:
        return Restored(sealed=1)

    if killed_at is not None:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            if killed_at != "repair":
                patch.setattr(f"ops.restoring.{killed_at}", killed)
            put_sqlite(tmp_path / "plain.sqlite", target, killed if killed_at == "repair" else repair)
        assert progress_of(target).responses == 2
    found, old = put_sqlite(tmp_path / "plain.sqlite", target, repair)
    assert found.sealed == 1 and progress_of(target).responses == 5
    assert old is not None and progress_of(old).responses == 2
    assert not target.with_name("node.sqlite-wal").exists()
