"""What the chain says about batches and disputes, read without a database."""

from __future__ import annotations

from typing import Any

from contracts.bindings.audit import differences
from contracts.bindings.books import GameBook, GamePage
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError
from contracts.bindings.indexer import Indexer
from contracts.protocol.clock_text import show_time
from contracts.protocol.game import Game

from .errors import UnknownSettlementError


def list_batches(
    contracts: ProtocolContracts, provider: str | None = None, last: int = 50
) -> list[dict[str, Any]]:
    """The newest batches, oldest first; of one provider if named."""
    count = contracts.ledger.batch_count()
    batches = [batch_facts(contracts, number) for number in range(max(1, count - last + 1), count + 1)]
    return [batch for batch in batches if provider is None or batch["provider"].lower() == provider.lower()]


def list_games(
    contracts: ProtocolContracts, account: str | None = None, last: int = 50
) -> list[dict[str, Any]]:
    """The newest disputes, oldest first; those in which an account is one of the sides if named."""
    count = contracts.game.game_count()
    games = [game_facts(contracts, number) for number in range(max(1, count - last + 1), count + 1)]
    return [
        game
        for game in games
        if account is None or account.lower() in (game["provider"].lower(), game["challenger"].lower())
    ]


def batch_facts(contracts: ProtocolContracts, batch_id: int) -> dict[str, Any]:
    """One batch. Raises UnknownSettlementError."""
    if not 1 <= batch_id <= contracts.ledger.batch_count():
        raise UnknownSettlementError(f"there is no batch {batch_id}; `gainsay settlements list` shows them")
    batch = contracts.ledger.batch(batch_id)
    over = contracts.chain.head().timestamp > batch.deadline
    return {
        "batch_id": batch_id,
        "provider": batch.provider,
        "model_id": "0x" + batch.model_id.hex(),
        "model_deprecated": contracts.registry.is_deprecated(batch.model_id),
        "root": "0x" + batch.root.hex(),
        "salt": "0x" + batch.salt.hex(),
        "responses": batch.count,
        "disputed": batch.disputed_count,
        "posted_at": batch.posted_at,
        "challenge_deadline": batch.deadline,
        "state": "final" if batch.finalised else "waits to be finalised" if over else "can be disputed",
    }


def response_states(contracts: ProtocolContracts, batch_id: int) -> list[str]:
    """Status of every response of a batch, by index, and whether it is asked for or shown on chain."""
    return [_response_state(contracts, batch_id, i) for i in range(contracts.ledger.batch(batch_id).count)]


def _response_state(contracts: ProtocolContracts, batch_id: int, index: int) -> str:
    state = contracts.ledger.response_status(batch_id, index).name.lower()
    response = contracts.ledger.response(batch_id, index)
    if response.is_asked_for and not response.is_void:
        return f"{state}, asked for, to be shown until {show_time(response.show_deadline)}"
    return f"{state}, shown on chain" if response.shown else state


def game_facts(contracts: ProtocolContracts, game_id: int) -> dict[str, Any]:
    """One dispute. Raises UnknownSettlementError."""
    try:
        game = contracts.game.game(game_id)
    except ContractError as error:
        raise UnknownSettlementError(
            f"there is no dispute {game_id}; `gainsay settlements list` shows them"
        ) from error
    return {
        "game_id": game_id,
        "batch_id": game.batch_id,
        "index": game.index,
        "provider": game.provider,
        "challenger": game.challenger,
        "phase": game.phase.name.lower(),
        "round": game.round,
        "disputed": _disputed(game),
        "deadline": game.deadline,
        "provider_clock_s": game.provider_clock,
        "challenger_clock_s": game.challenger_clock,
        "bond_wei": str(game.bond),
        "outcome": game.outcome.name.lower(),
        "reason": game.reason.name.lower(),
    }


def find_games(
    contracts: ProtocolContracts,
    *,
    response: tuple[int, int] | None = None,
    provider: str | None = None,
    challenger: str | None = None,
    first: int = 0,
    limit: int = 50,
) -> dict[str, Any]:
    """A page of the disputes about one response, or of one side, or of all, oldest first; from events alone."""
    books = Indexer(contracts).catch_up()
    if response is not None:
        page: GamePage = books.games_of_response(*response, first, limit)
    elif provider is not None:
        page = books.games_of_provider(provider, first, limit)
    elif challenger is not None:
        page = books.games_of_challenger(challenger, first, limit)
    else:
        page = books.all_games(first, limit)
    return {"total": page.total, "first": first, "disputes": [_booked(game) for game in page.games]}


def _booked(game: GameBook) -> dict[str, Any]:
    return {
        "game_id": game.game_id,
        "batch_id": game.batch_id,
        "index": game.index,
        "provider": game.provider,
        "challenger": game.challenger,
        "model_id": "0x" + game.model_id.hex(),
        "opened_in_block": game.opened_in_block,
        "phase": game.phase.name.lower(),
        "deadline": game.deadline,
        "outcome": game.outcome.name.lower(),
        "reason": game.reason.name.lower(),
    }


def audit(contracts: ProtocolContracts) -> dict[str, Any]:
    """The books that events alone make, and where they differ from what the contracts say at the same block."""
    indexer = Indexer(contracts)
    books = indexer.catch_up()
    block = indexer.cursor.number if indexer.cursor else 0
    totals = books.totals()
    return {
        "block": block,
        "accounts": len(books.accounts),
        "models": len(books.models),
        "batches": len(books.batches),
        "responses": sum(batch.count for batch in books.batches.values()),
        "void": sum(state.is_void for state in books.responses.values()),
        "asks": len(books.asks),
        "games": len(books.games),
        "receipts_claimed": len(books.receipts),
        "stake_wei": str(totals.stake),
        "escrow_wei": str(totals.escrow),
        "credits_wei": str(totals.credits),
        "burned_wei": str(totals.burned),
        "differences": differences(books, contracts, block),
    }


def _disputed(game: Game) -> str:
    match game.target.name:
        case "EMBEDDING":
            return "embedding"
        case "HEAD":
            return f"output token after position {game.position}: {game.chosen_id} or {game.rival_id}"
    if game.range_end - game.range_start == 1:
        return f"step {game.range_start}"
    return f"steps {game.range_start} to {game.range_end - 1}"
