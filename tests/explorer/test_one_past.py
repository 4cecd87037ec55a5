"""What happened is what the index, the terminal and a page in a browser say, after a stop and a reorganisation, too.

One module, so that one process plays the past.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Page

from contracts.bindings.audit import differences
from contracts.bindings.events import BatchPosted, GameOpened
from contracts.bindings.indexer import Indexer
from contracts.protocol.response import NO_AUDITS, Receipt
from explorer.errors import CacheUnusableError
from explorer.index import Index, Run
from explorer.pages import Pages
from explorer.search import Place, Search
from explorer.server import create_application
from explorer.terminal import _JsonLines, _MoveLines, _repeat, bar, event_line, game_lines, overview_lines
from prover.errors import NotFoundError

from .browser import until, visit
from .conftest import Past, Served, explorer_of


def test_the_books_are_those_of_the_contracts_and_a_cache_is_gone_on_from(
    past: Past, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contracts = past.stage.contracts
    file = tmp_path / "index.sqlite"
    first = Index(contracts, file)
    assert not first.catch_up(most_readings=0) and first.catch_up()
    assert first.cursor is not None and differences(first.books, contracts, first.cursor.number) == []
    with pytest.raises(CacheUnusableError, match="other program"):
        Index(contracts, file)
    first.cache.close()
    asked: list[int] = []
    logs = contracts.chain.logs
    monkeypatch.setattr(
        contracts.chain, "logs", lambda a, start, end: asked.append(start) or logs(a, start, end)
    )
    second = Index(contracts, file)
    assert second.catch_up() and asked == []
    assert second.books.games == first.books.games and second.books.batches == first.books.batches
    assert second.ledgers.all == first.ledgers.all and second.ledgers.all.total == 33


def test_logs_that_came_late_are_found_after_a_stop_and_told_once(
    past: Past, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the ranges that the file keeps: the last blocks, which an index without any would read again, are left out here."""
    monkeypatch.setattr("contracts.bindings.log_reader.READ_AGAIN_AFTER_S", (0.0, 3600.0))
    monkeypatch.setattr("contracts.bindings.log_reader._last_blocks", lambda history, *_: history[0].number)
    contracts, file = past.stage.contracts, tmp_path / "index.sqlite"
    whole = Indexer(contracts).catch_up()
    logs = contracts.chain.logs
    every = logs(contracts.addresses, 0, contracts.chain.head().number)
    events = contracts.events.decode(every)
    hidden = {event.at.block_number for event in events if isinstance(event, GameOpened)}
    monkeypatch.setattr(
        contracts.chain,
        "logs",
        lambda *asked: [log for log in logs(*asked) if log.block_number not in hidden],
    )
    first = Index(contracts, file)
    first.catch_up()
    assert not first.books.games and first.books.batches
    first.cache.close()
    hidden.clear()
    second, told = Index(contracts, file), []
    second.listener = told.append
    second.catch_up()
    assert second.books.games == whole.games and second.books.batches == whole.batches
    opened = [event.game_id for event in told if isinstance(event, GameOpened)]
    assert sorted(opened) == sorted(whole.games) and not [
        event for event in told if isinstance(event, BatchPosted)
    ]
    told.clear()
    second.catch_up()
    assert told == []


def test_an_index_of_an_earlier_release_is_gone_on_from(past: Past, tmp_path: Path) -> None:
    contracts, file = past.stage.contracts, tmp_path / "index.sqlite"
    first = Index(contracts, file)
    first.catch_up()
    first.cache.close()
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("DROP TABLE ranges")
    second = Index(contracts, file)
    assert second.catch_up() and second.books.batches == first.books.batches
    past.stage.arena.local_chain.mine()
    assert second.catch_up() and second.cache.unsettled()[-1].end == second.cursor.number  # type: ignore[union-attr]


def test_a_file_of_another_deployment_or_none_is_refused(past: Past, index: Index, tmp_path: Path) -> None:
    file = tmp_path / "index.sqlite"
    file.write_text("no database" * 100)
    with pytest.raises(CacheUnusableError, match="cannot be used"):
        Index(past.stage.contracts, file)
    file.unlink()
    Index(past.stage.contracts, file).cache.close()
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE meta SET value = '1:00:0x' WHERE name = 'identity'")
    with pytest.raises(CacheUnusableError, match="another deployment"):
        Index(past.stage.contracts, file)


def test_a_dispute_is_told(past: Past, index: Index) -> None:
    pages = explorer_of(past.stage, index).pages
    lost, won, running = (pages.game(number) for number in (past.lost, past.won, past.open))
    assert (lost["outcome"], lost["reason"], lost["step"], lost["window"]) == (
        "challenger_won",
        "timed_out",
        12,
        None,
    )
    assert lost["step_name"] == "keys and values of layer 3" and "did not go on in time" in lost["so_far"]
    assert lost["moves"][-1]["said"].endswith("here is what each of the 3 windows should be")
    assert won["window"] is not None and won["moves"][-1]["said"].startswith(
        f"here is the proof of window {won['window']}"
    )
    assert lost["rounds"][0]["cuts"] == [0, 2, 5, 7, 10, 12, 15, 17, 20]
    assert lost["rounds"][0]["chosen"] == {"start": 12, "end": 15}
    assert (won["outcome"], won["reason"]) == ("provider_won", "proven") and "accepted the proof" in won[
        "so_far"
    ]
    assert (running["outcome"], running["mover"], running["phase"]) == (None, "provider", "boundaries")
    game = past.stage.contracts.game.game(past.open)
    clocks = running["provider_clock"], running["challenger_clock"]
    assert clocks == (game.provider_clock, game.challenger_clock) and int(running["bond_wei"]) == game.bond
    opening = next(event for event in index.events_of_game(past.lost) if isinstance(event, GameOpened))
    receipt = past.stage.contracts.chain.receipt(opening.at.transaction_hash)
    assert receipt is not None and lost["moves"][0]["gas"] == receipt.gas_used


def test_pages_of_a_list_fit_together(past: Past, index: Index) -> None:
    pages = explorer_of(past.stage, index).pages
    seen, before = [], None
    while True:
        page = pages.responses(before=before, limit=10)
        seen += [(one["number"], one["batch_id"], one["index"]) for one in page["responses"]]
        if (before := page["before"]) is None:
            break
    first, second = past.first.batch_id, past.second.batch_id
    assert [number for number, _, _ in seen] == list(range(33, 0, -1))
    assert [place for _, *place in seen] == [[second, i] for i in range(29, -1, -1)] + [
        [first, i] for i in (2, 1, 0)
    ]
    states = {(one["batch_id"], one["index"]): one["state"] for one in pages.responses(limit=50)["responses"]}
    assert states[first, 1] == "void" and states[second, 8] == "disputed" and states[first, 0] == "pending"


def test_what_is_not_there_is_said(past: Past, index: Index) -> None:
    client = TestClient(create_application(explorer_of(past.stage, index)))
    for path in ("games/99", "batches/0", "responses/1/77", "models/0x00", "accounts/0x12"):
        answer = client.get(f"/v1/explorer/{path}")
        assert answer.status_code == 404 and answer.json()["error"]["code"] == "not_found", path
    with pytest.raises(NotFoundError):
        Pages(index).batch(77)
    for path in ("batches?limit=0", "batches?limit=201", "games?before=-1", "batches/x"):
        assert client.get(f"/v1/explorer/{path}").status_code == 422
    assert client.get("/v1/explorer/games?account=nonsense").json()["total"] == 0
    assert client.get("/explorer/../pyproject.toml").status_code == 404


def test_whatever_somebody_has_leads_somewhere(past: Past, index: Index) -> None:
    search, stage = Search(index), past.stage
    batch, game = index.books.batches[past.first.batch_id], past.lost
    opening = next(event for event in index.events_of_game(game) if isinstance(event, GameOpened))

    def pages(text: str) -> list[str]:
        return [hit["page"] for hit in search.find(text)]

    of_batch, of_response = f"batches/{past.first.batch_id}", f"responses/{past.first.batch_id}/1"
    assert (
        pages("0x" + batch.root.hex())
        == pages(batch.salt.hex())
        == pages(" 0x" + batch.root.hex()[:9])
        == [of_batch]
    )
    assert pages("0x" + opening.leaf.hex()) == pages(f"{past.first.batch_id}/1") == [of_response]
    assert pages("0x" + opening.at.transaction_hash.hex())[0] == f"games/{game}"
    assert pages("0x" + stage.arena.model_id.hex()) == [f"models/0x{stage.arena.model_id.hex()}"]
    provider = stage.arena.provider.address
    assert pages(provider.lower()) == pages(provider[:12]) == [f"accounts/{provider}"]
    assert pages(str(game)) == [of_batch, f"games/{game}"] or f"games/{game}" in pages(str(game))
    for nothing in ("", "zz", "0x" + "ab" * 32, "99/1", "1/99", "<script>", "%", "'; DROP TABLE logs"):
        assert pages(nothing) == [], nothing


def test_a_receipt_is_found_by_its_id_only_if_its_leaf_is_in_the_batch(past: Past, index: Index) -> None:
    contracts, posted = past.stage.contracts, past.first
    provider = past.stage.arena.provider.address
    right = Receipt.of(provider, past.stage.arena.model_id, posted.salt, 2, posted.fields[2], 1, 2)
    assert posted.fields[2].audit_root == NO_AUDITS
    place = Place(right, tuple(posted.tree.path(2)))
    leaf = "0x" + right.leaf(contracts.chain.chain_id, contracts.ledger.address).hex()
    other = Place(replace(right, index=1), place.path)
    resolved = [
        (place, True),
        (other, False),
        (Place(right, None), False),
        (Place(right, place.path[:-1]), False),
    ]
    for answer, is_found in resolved:
        hits = Search(index, [lambda name, answer=answer: answer]).find("chatcmpl-123")  # type: ignore[misc]
        assert bool(hits) is is_found
    search = Search(index, [lambda name: place])
    assert search.find(leaf)[0]["page"] == f"responses/{posted.batch_id}/2"
    assert search.find("0x" + "cd" * 32) == []  # an answer to another question


def test_a_run_names_responses_by_number() -> None:
    run = Run()
    for batch, count in ((4, 3), (9, 1), (11, 5)):
        run.add(batch, count)
    places = [run.response(number) for number in range(run.total)]
    assert places == [(4, 0), (4, 1), (4, 2), (9, 0), (11, 0), (11, 1), (11, 2), (11, 3), (11, 4)]


def test_a_bar_shows_where_a_part_lies() -> None:
    assert (
        bar(0, 90, 90) == "#" * 60 and bar(0, 1, 90) == "#" + "." * 59 and bar(89, 90, 90) == "=" * 59 + "#"
    )
    assert all(len(bar(step, step + 1, 7)) == 60 for step in range(7))


def test_a_dispute_is_drawn_and_told(past: Past, index: Index, capsys: pytest.CaptureFixture[str]) -> None:
    pages = explorer_of(past.stage, index).pages
    lost = pages.game(past.lost)
    drawn = "\n".join(game_lines(lost, 0))
    assert (
        "challenger won (timed out)" in drawn
        and "keys and values of layer 3" in drawn
        and "each of the 3 windows should be" in drawn
    )
    assert _MoveLines()(lost) and _JsonLines()(lost)
    *moves, over, text = capsys.readouterr().out.splitlines()
    assert (
        len(moves) == len(lost["moves"])
        and over.startswith("over: ")
        and json.loads(text) == json.loads(json.dumps(lost))
    )
    assert not _MoveLines()(pages.game(past.open))
    whole = pages.overview() | {"games": pages.games()["games"], "batches": pages.batches()["batches"]}
    assert "dispute 1" in "\n".join(overview_lines(whole, 0))
    assert "game opened" in event_line(index.events_of_game(past.lost)[0])


@pytest.mark.parametrize(
    ("columns", "rows", "misses_some"), [(80, 24, False), (60, 15, True), (100, 11, True), (200, 60, False)]
)
def test_a_terminal_shows_the_newest_moves_whatever_its_size(
    past: Past, index: Index, columns: int, rows: int, misses_some: bool
) -> None:
    game = explorer_of(past.stage, index).pages.game(past.lost)
    lines = game_lines(game, 0, (columns, rows))
    assert len(lines) <= rows and max(map(len, lines)) <= columns
    said = " ".join(line.strip() for line in lines)
    assert game["moves"][-1]["said"] in said and lines[0].startswith(f"dispute {past.lost}")
    assert ("earlier moves" in said) == misses_some
    assert game_lines(game, 0, (1000, 1000)) == game_lines(game, 0)


def test_ctrl_c_is_an_end_and_no_error() -> None:
    def look() -> object:
        raise KeyboardInterrupt

    _repeat(look, lambda _: False, 0.0)


def test_a_dispute_is_drawn_and_keeps_the_focus_over_an_update(
    page: Page, served: Served, past: Past, faults: list[str]
) -> None:
    stage = past.stage
    game = stage.open(past.second, 9)
    assert stage.step(game, stage.trace((13, 1)), stage.trace())
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    visit(page, served.url, f"#/games/{game}")
    until(page, f"document.querySelector('main h1').textContent.includes('Dispute {game}')")
    assert page.locator("svg[role=img] rect").count() > 10
    assert "8 parts" in page.inner_text("figure")
    copy = page.locator(".side.provider .copy")
    copy.focus()
    page.evaluate("document.activeElement.gainsayMark = 1")
    moves = page.locator("tbody tr").count()
    assert stage.step(game, stage.trace((13, 1)), stage.trace())
    until(page, f"document.querySelectorAll('main tbody tr').length > {moves}")
    assert page.evaluate("document.activeElement.gainsayMark") == 1  # the very element
    until(page, "document.getElementById('said').textContent.includes('turn')")
    assert faults == [] and all(url.startswith((served.url, "about:")) for url in asked)


def test_a_reorganisation_is_taken_out_again(past: Past, tmp_path: Path) -> None:
    stage, chain = past.stage, past.stage.contracts.chain
    index = Index(stage.contracts, tmp_path / "index.sqlite")
    index.catch_up()
    before = index.books.games[past.open]
    snapshot = chain.request("evm_snapshot", [])
    stage.arena.local_chain.mine(2)
    assert stage.step(past.open, stage.trace((13, 1)), stage.trace())
    index.catch_up()
    assert index.books.games[past.open] != before
    moves = len(index.events_of_game(past.open))
    chain.request("evm_revert", [snapshot])
    stage.arena.local_chain.pass_time(100)
    stage.arena.local_chain.mine(8)
    index.catch_up()
    assert index.books.games[past.open] == before and len(index.events_of_game(past.open)) < moves
    assert index.books.games == Indexer(stage.contracts).catch_up().games
