"""The explorer's page draws every kind of batch and dispute from what the node reports."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from contracts.protocol.game import Outcome, Phase, Reason
from contracts.protocol.parameters import DEVNET
from node.game_story import GAME_EVENTS, tell
from node.store import ChainEventRow

PAGE = Path(__file__).resolve().parents[2] / "node" / "api" / "explorer.html"
DRAW = Path(__file__).with_name("draw_explorer.mjs")
PROVIDER, CHALLENGER = "0x" + "11" * 20, "0x" + "22" * 20


def game_events(game_id: int, *later: tuple[str, dict[str, Any]]) -> list[ChainEventRow]:
    opening = {
        "batch_id": 3, "index": 1, "challenger": CHALLENGER, "provider": PROVIDER,
        "fields": {"prompt_length": 40, "output_length": 30},
    }  # fmt: skip
    story = [("GameOpened", opening), ("TurnStarted", turn(Phase.AWAIT_BOUNDARIES)), *later]
    return [
        ChainEventRow(
            block_number=game_id * 100 + number, log_index=0, block_hash="0x0", transaction_hash=f"0x{number:064x}",
            timestamp=1_000 + number, name=name, game_id=game_id, gas_used=50_000, arguments=json.dumps(fields),
        )
        for number, (name, fields) in enumerate(story)
    ]  # fmt: skip


def turn(phase: Phase) -> dict[str, Any]:
    return {"phase": int(phase), "deadline": 2_000}


def narrowed_to_a_window() -> list[ChainEventRow]:
    return game_events(
        1,
        ("BoundariesPosted", {"round": 1, "hashes": ["0x"] * 9}),
        ("PartChallenged", {"part": 1, "range_start": 7, "range_end": 15}),
        ("BoundariesPosted", {"round": 2, "hashes": ["0x"] * 9}),
        ("PartChallenged", {"part": 3, "range_start": 10, "range_end": 11}),
        ("TurnStarted", turn(Phase.AWAIT_WINDOWS)),
        ("WindowsRevealed", {}),
        ("WindowChosen", {"window": 2}),
        ("TurnStarted", turn(Phase.AWAIT_PROOF)),
    )


def lost_at_the_head() -> list[ChainEventRow]:
    return game_events(
        2,
        ("HeadChallenged", {"position": 41, "chosen_id": 5, "rival_id": 6}),
        ("GameResolved", {"outcome": int(Outcome.CHALLENGER_WON), "reason": int(Reason.TIMED_OUT)}),
    )


def snapshot(games: list[dict[str, Any]]) -> dict[str, Any]:
    wei = {"lock_per_response", "challenger_bond", "receipt_claim_bond"}
    return {
        "chain": {"id": 31337, "head": 9, "time": 1_010, "ledger": "0x", "game": "0x"},
        "provider": {
            "address": PROVIDER, "stake_wei": str(5 * 10**18), "locked_wei": "0", "free_wei": "0",
            "credits_wei": "250000000000000000", "balance_wei": "0", "burned_wei": "0",
        },
        "model": {"name": "tiny", "model_id": "0x", "steps": 60},
        "parameters": {name: str(v) if name in wei else v for name, v in asdict(DEVNET).items()},
        "totals": {"responses": 1234, "batches": 2, "open_games": 1, "provider_won": 0, "challenger_won": 1},
        "games": games,
        "batches": [
            {
                "batch_id": number, "salt": f"0x{state}", "root": "0x" + "ab" * 32, "count": 1, "state": state,
                "challenge_deadline": 1_050, "posting_deadline": 1_060, "gas": 200_000, "failure": None,
                "responses": [{"index": 0, "state": "pending", "prompt": "<b>Hi</b>", "answer": "Hello"}],
            }
            for number, state in ((None, "open"), (2, "posted"), (1, "final"))
        ],
    }  # fmt: skip


def _step_name(step: int) -> str:
    return f"attention of layer {step // 2}"


def test_stories_follow_the_events() -> None:
    first, second = tell(narrowed_to_a_window() + lost_at_the_head(), 60, _step_name)
    one, two = (
        first.as_json(None, 5 * 10**17, 10**18, 5 * 10**16),
        second.as_json(None, 5 * 10**17, 10**18, 5 * 10**16),
    )
    ranges = [(0, 60, None), (7, 15, None), (10, 11, "attention of layer 5")]
    assert [(r["start"], r["end"], r["name"]) for r in one["ranges"]] == ranges
    assert (one["window"], one["windows"], one["phase"], one["mover"]) == (2, 3, "proof", "provider")
    assert one["gas"] == {"provider": 150_000, "challenger": 200_000} and one["settled"] is None
    assert (two["outcome"], two["reason"], two["position"]) == ("challenger_won", "timed_out", 41)
    assert set(GAME_EVENTS) >= {"GameOpened", "GameResolved", "TurnStarted"}


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_page_draws_batches_and_a_narrowing_bar(tmp_path: Path) -> None:
    stories = tell(narrowed_to_a_window() + lost_at_the_head(), 60, _step_name)
    games = [story.as_json(None, 5 * 10**17, 10**18, 5 * 10**16) for story in stories]
    file = tmp_path / "snapshot.json"
    file.write_text(json.dumps(snapshot(games)))
    drawn = subprocess.run(
        ["node", str(DRAW), str(PAGE), str(file)], capture_output=True, text=True, timeout=30
    )
    assert drawn.returncode == 0 and not drawn.stderr, drawn.stderr
    page = json.loads(drawn.stdout)
    assert "attention of layer 5" in page["games"] and "window 2 of 3" in page["games"]
    assert "the answer is void" in page["games"] and "timed out" in page["games"]
    assert "provider must prove" in page["games"] and "The provider loses 1 ETH" in page["games"]
    assert "1,234" in page["tiles"] and "0.25 ETH" in page["tiles"]
    assert "Next batch" in page["batches"] and "Batch 2" in page["batches"] and "<b>Hi</b>" in page["batches"]
    widths = [float(style["width"].rstrip("%")) for style in page["bars"][:3]]
    assert widths[0] == 100 and widths[0] > widths[1] > widths[2] > 0
