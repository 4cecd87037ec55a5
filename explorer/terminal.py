"""Disputes and batches in a terminal: drawn in place on one, a line for each change where there is none, or JSON."""

from __future__ import annotations

import json
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import BindingsError
from contracts.bindings.events import Event
from contracts.protocol.ether import show_ether

from .index import Index
from .pages import Pages, plain

Size = tuple[int, int]
"""Columns and rows."""

_BAR, _LEAST_BAR, _BESIDE_BAR = 60, 20, 46  # characters; beside a bar stands its title and what it means
_FEW_MOVES = 5  # lines: two or three moves and what is said of those before them
_LEFT_OUT = {"hashes", "sums", "spec", "step_verifiers", "path", "prompt_ids", "output_ids", "fields"}


def watch_game(
    contracts: ProtocolContracts, game_id: int, interval_s: float, confirmations: int, as_json: bool
) -> None:
    """One dispute until it is over, or Ctrl-C. Raises NotFoundError for one that is not there."""
    index = Index.for_a_look(contracts, confirmations)
    index.catch_up()
    pages = Pages(index)

    def look() -> dict[str, Any]:
        index.catch_up()
        return pages.game(game_id)

    look()  # what is not there is said before anything is drawn
    if as_json:
        _repeat(look, _JsonLines(), interval_s)
    elif sys.stdout.isatty():
        _redraw(look, lambda game, size: game_lines(game, _now(index), size), interval_s)
    else:
        _repeat(look, _MoveLines(), interval_s)


def watch_settlements(
    contracts: ProtocolContracts, interval_s: float, confirmations: int, as_json: bool
) -> None:
    """All batches and disputes from now on, until Ctrl-C."""
    index = Index.for_a_look(contracts, confirmations)
    index.catch_up()
    pages = Pages(index)

    def look() -> dict[str, Any]:
        index.catch_up()
        newest = {"games": pages.games(limit=8)["games"], "batches": pages.batches(limit=8)["batches"]}
        return pages.overview() | newest

    if as_json or not sys.stdout.isatty():
        index.listener = lambda event: print(
            json.dumps(event_facts(event)) if as_json else event_line(event), flush=True
        )
        _repeat(look, lambda _: False, interval_s)
    else:
        _redraw(
            look, lambda whole, size: fitted(overview_lines(whole, _now(index)), [], [], size), interval_s
        )


# --- what is drawn


def game_lines(game: Mapping[str, Any], now: int, size: Size | None = None) -> list[str]:
    """A dispute as the explorer draws it, in characters: `=` agreed, `#` disputed, `.` behind it.

    In a terminal of that size: lines cut to its width, sentences broken, and of the moves the newest.
    """
    lines = [
        f"dispute {game['game_id']}, about response {game['index']} of batch {game['batch_id']}: {state_of(game, now)}",
        "",
        game["so_far"],
        "",
    ]
    width = _BAR if size is None else max(_LEAST_BAR, min(_BAR, size[0] - _BESIDE_BAR))
    for number, one in enumerate(game["rounds"]):
        start, end = one["start"], one["end"]
        name = one["name"] or f"steps {start} to {end - 1}"
        lines.append(f"{_title(number):<10} [{bar(start, end, game['steps'], width)}] {name}")
    if game["window"] is not None:
        window = game["window"]
        lines.append(
            f"{'window':<10} [{bar(window, window + 1, game['windows'], width)}] {window} of 0 to {game['windows'] - 1}"
        )
    lines.append("")
    for side in ("provider", "challenger"):
        moves = game["mover"] == side
        left = max(0, game[f"{side}_clock"] - (max(0, now - game["turn_started_at"]) if moves else 0))
        lines.append(
            f"{side:<10} {game[side]}  {left:>5} s on its clock, {game['gas'][side]:>9,} gas{'  <- to move' if moves else ''}"
        )
    lines.append("")
    end = ["", game["settled"]] if game["settled"] else []
    return fitted(lines, [move_line(move) for move in game["moves"]], end, size, (game["so_far"], *end))


def fitted(
    head: Sequence[str],
    moves: Sequence[str],
    end: Sequence[str],
    size: Size | None,
    aside: Sequence[str] = (),
) -> list[str]:
    """All lines; in a terminal of that size broken to its width, without the oldest moves where they do not fit.

    aside: lines that go first, empty ones with them, where there is no room for a few moves.
    """
    if size is None:
        return [*head, *moves, *end]
    columns, rows = size
    for left_out in ((), ("", *aside)):
        before, behind = (
            [part for line in part_of if line not in left_out for part in _broken(line, columns)]
            for part_of in (head, end)
        )
        left = rows - len(before) - len(behind)
        if left >= _FEW_MOVES:
            break
    told = [_broken(move, columns) for move in moves]
    if sum(map(len, told)) <= left:
        return [*before, *(line for move in told for line in move), *behind]
    shown: list[str] = []
    dropped = len(told)
    while dropped and len(shown) + len(told[dropped - 1]) < left:
        dropped -= 1
        shown = [*told[dropped], *shown]
    return [*before, f"... {dropped} earlier moves (all: --json)", *shown, *behind]


def _broken(line: str, columns: int) -> list[str]:
    return textwrap.wrap(line, columns, subsequent_indent="  ") if len(line) > columns else [line]


def overview_lines(whole: Mapping[str, Any], now: int) -> list[str]:
    """Totals, the newest disputes and batches."""
    totals, chain = whole["totals"], whole["chain"]
    lines = [
        f"chain {chain['id']}, block {chain['head']}: {totals['responses']:,} responses in {totals['batches']:,} batches, "
        f"{totals['open_games']} open disputes, {totals['provider_won']} proven, {totals['challenger_won']} found wrong",
        f"stakes {show_ether(int(totals['stake_wei']))}, credits {show_ether(int(totals['credits_wei']))}, "
        f"burned {show_ether(int(totals['burned_wei']))}",
        "",
    ]
    lines += [
        f"dispute {game['game_id']:<6} response {game['index']} of batch {game['batch_id']}: {state_of(game, now)}"
        for game in whole["games"]
    ] or ["no disputes"]
    lines.append("")
    lines += [
        f"batch {batch['batch_id']:<8} {batch['count']:>5} responses by {batch['provider']}, {batch['state']}"
        for batch in whole["batches"]
    ] or ["no batches"]
    return lines


def state_of(game: Mapping[str, Any], now: int) -> str:
    if game["outcome"]:
        return f"{game['outcome']} ({game['reason']})".replace("_", " ")
    left = game["deadline"] - now
    return (
        f"{game['mover']} to move ({game['phase']}), {left} s left"
        if left >= 0
        else f"{game['mover']} is out of time"
    )


def bar(start: int, end: int, whole: int, width: int = _BAR) -> str:
    """Where start .. end - 1 lie among `whole`, in `width` characters; at least one of them."""
    first = min(width - 1, start * width // whole)
    last = max(first + 1, -(-end * width // whole))
    return "=" * first + "#" * (last - first) + "." * (width - last)


def move_line(move: Mapping[str, Any]) -> str:
    at = time.strftime("%H:%M:%S", time.gmtime(move["at"]))
    return f"{at}  {move['by']:<10}  {move['said']}  ({move['gas']:,} gas)"


def event_facts(event: Event) -> dict[str, Any]:
    """An event as JSON values, without what is long."""
    facts = {name: plain(value) for name, value in asdict(event).items() if name not in _LEFT_OUT | {"at"}}
    return {"event": type(event).__name__, "block": event.at.block_number} | facts


def event_line(event: Event) -> str:
    facts = event_facts(event)
    name = "".join(
        " " + letter.lower() if letter.isupper() else letter for letter in facts.pop("event")
    ).strip()
    block = facts.pop("block")
    return f"block {block}: {name}: " + ", ".join(
        f"{key.replace('_', ' ')} {value}" for key, value in facts.items()
    )


def _title(number: int) -> str:
    return "at first" if number == 0 else f"round {number}"


# --- again and again


class _MoveLines:
    """Prints what is new of a story; true when it is over."""

    def __init__(self) -> None:
        self._printed = 0

    def __call__(self, game: Mapping[str, Any]) -> bool:
        for move in game["moves"][self._printed :]:
            print(move_line(move), flush=True)
        self._printed = max(self._printed, len(game["moves"]))
        if game["outcome"]:
            print(f"over: {game['so_far']}", flush=True)
        return bool(game["outcome"])


class _JsonLines:
    """Prints a story whenever it changed; true when it is over."""

    def __init__(self) -> None:
        self._before = ""

    def __call__(self, game: Mapping[str, Any]) -> bool:
        text = json.dumps(game)
        if text != self._before:
            print(text, flush=True)
        self._before = text
        return bool(game["outcome"])


def _repeat(look: Callable[[], Any], show: Callable[[Any], bool], interval_s: float) -> None:
    """Until `show` says that it is over, or Ctrl-C. A look that fails is told once, and made again."""
    trouble = None
    try:
        while True:
            try:
                if show(look()):
                    return
                trouble = None
            except BindingsError as error:
                if str(error) != trouble:
                    print(
                        f"gainsay: {' '.join(str(error).split())}; trying again", file=sys.stderr, flush=True
                    )
                trouble = str(error)
            time.sleep(interval_s)
    except (KeyboardInterrupt, BrokenPipeError):
        return


def _redraw(
    look: Callable[[], Any], draw: Callable[[Any, Size | None], Sequence[str]], interval_s: float
) -> None:
    """In place; what is drawn last stays, whole."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:

        def show(seen: Any) -> bool:
            is_over = bool(seen.get("outcome"))
            lines = draw(seen, None if is_over else (console.width, console.height))
            live.update(Text("\n".join(lines)), refresh=True)  # as text: no name in it is markup
            return is_over

        _repeat(look, show, interval_s)


def _now(index: Index) -> int:
    head = index.head.timestamp if index.head else 0
    return max(head, int(time.time()))
