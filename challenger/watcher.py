"""From logs to work: batches to look at, own games to play, in step with the chain."""

from __future__ import annotations

import structlog

from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.events import (
    BatchPosted,
    ChallengeWindowExtended,
    Event,
    GameOpened,
    GameResolved,
    OpeningJoined,
    PlaceFreed,
    ResponseAsked,
    ResponseDisputed,
    ResponseNotShown,
    ResponseShown,
    ResponseVoided,
    TurnStarted,
    Unreadable,
)
from contracts.bindings.log_reader import LogReader, Reading

from .store import BatchRow, ChainRow, Ending, GameRow, Store, Turn
from .tables import LARGEST_INTEGER, AskedRow, DisputedRow, JoinedRow, OthersGameRow, ShownRow, encode_fields

log = structlog.get_logger(__name__)


class Watcher:
    """Turns events into rows, together with the cursor in one transaction; drops what a reorganisation took."""

    def __init__(
        self, contracts: ProtocolContracts, store: Store, own_address: str | None, *, confirmations: int = 0
    ) -> None:
        self._reader = LogReader(contracts, confirmations=confirmations, unsettled=store.unsettled)
        self._chain = contracts.chain
        self._confirmations = confirmations
        self._store = store
        self._own_address = own_address
        self.now = 0  # chain time of the newest block that was looked at

    def poll(self) -> int:
        """Handle everything new; the number of events."""
        handled = 0
        while (reading := self._reader.read(self._store.history())) is not None:
            if reading.again:
                log.info("blocks read again", after_block=reading.rewound_to)
            elif reading.rewound_to is not None:
                log.warning("chain reorganised", back_to_block=reading.rewound_to)
            self._take(reading)
            handled += len(reading.events)
        self.now = self._chain.confirmed_head(self._confirmations).timestamp
        return handled

    def _take(self, reading: Reading) -> None:
        rows: list[ChainRow] = []
        closed: dict[tuple[int, int], int] = {}
        ended: dict[int, Ending] = {}
        turns: dict[int, Turn] = {}
        for event in reading.events:
            # Strangers' events too: one that fits no row must not keep the others from being seen.
            try:
                self._sort(event, rows, ended, turns, closed)
            except Exception:
                log.exception("event left out", kind=type(event).__name__, block=event.at.block_number)
        self._store.advance(
            reading.cursor,
            reading.rewound_to,
            rows,
            ended,
            turns,
            closed,
            again=reading.again,
            unsettled=reading.unsettled,
        )

    def _sort(
        self,
        event: Event,
        rows: list[ChainRow],
        ended: dict[int, Ending],
        turns: dict[int, Turn],
        closed: dict[tuple[int, int], int],
    ) -> None:
        block = event.at.block_number
        match event:
            case Unreadable():
                log.error("event left out", name=event.name, block=block, reason=event.why)
            case BatchPosted():
                rows.append(_batch_row(event))
            case GameOpened() if event.challenger == self._own_address:
                rows.append(_game_row(event))
            case GameOpened():
                rows.append(_others_game_row(event))
            case GameResolved():
                log.info(
                    "game over",
                    game=event.game_id,
                    outcome=event.outcome.name.lower(),
                    reason=event.reason.name.lower(),
                )
                ended[event.game_id] = Ending(event.outcome.name.lower(), event.reason.name.lower(), block)
            case TurnStarted():
                turns[event.game_id] = Turn(_fitting(event.deadline), block)
            case ResponseDisputed():
                rows.append(_disputed_row(event.batch_id, event.index, block))
            case ChallengeWindowExtended():
                rows.append(
                    _disputed_row(event.batch_id, event.index, block, deadline=event.challenge_deadline)
                )
            case PlaceFreed():
                rows.append(_disputed_row(event.batch_id, event.index, block, empty_until=event.empty_until))
            case ResponseVoided():
                rows.append(_disputed_row(event.batch_id, event.index, block, is_void=True))
                closed[event.batch_id, event.index] = block  # whoever asked was paid
            case OpeningJoined() if event.challenger == self._own_address:
                rows.append(JoinedRow(batch_id=event.batch_id, index=event.index, block_number=block))
            case ResponseAsked():
                rows.append(_asked_row(event))
            case ResponseShown():
                rows.append(_shown_row(event))
                closed[event.batch_id, event.index] = block
            case ResponseNotShown():
                closed[event.batch_id, event.index] = block


def _batch_row(event: BatchPosted) -> BatchRow:
    log.info("batch posted", batch=event.batch_id, provider=event.provider, responses=event.count)
    return BatchRow(
        batch_id=event.batch_id,
        block_number=event.at.block_number,
        provider=event.provider,
        model_id=event.model_id,
        root=event.root,
        salt=event.salt,
        count=event.count,
        deadline=_fitting(event.deadline),
    )


def _game_row(event: GameOpened) -> GameRow:
    return GameRow(
        game_id=event.game_id,
        block_number=event.at.block_number,
        touched_block=event.at.block_number,
        batch_id=event.batch_id,
        index=event.index,
        model_id=event.model_id,
    )


def _others_game_row(event: GameOpened) -> OthersGameRow:
    return OthersGameRow(
        game_id=event.game_id,
        block_number=event.at.block_number,
        touched_block=event.at.block_number,
        batch_id=event.batch_id,
        index=event.index,
    )


def _disputed_row(
    batch_id: int, index: int, block: int, *, deadline: int = 0, empty_until: int = 0, is_void: bool = False
) -> DisputedRow:
    return DisputedRow(
        batch_id=batch_id,
        index=index,
        block_number=block,
        challenge_deadline=_fitting(deadline),
        empty_until=_fitting(empty_until),
        is_void=is_void,
    )


def _asked_row(event: ResponseAsked) -> AskedRow:
    return AskedRow(
        batch_id=event.batch_id,
        index=event.index,
        block_number=event.at.block_number,
        asker=event.asker,
        show_deadline=_fitting(event.show_deadline),
    )


def _shown_row(event: ResponseShown) -> ShownRow:
    log.info("response shown on chain", batch=event.batch_id, index=event.index)
    return ShownRow(
        batch_id=event.batch_id,
        index=event.index,
        block_number=event.at.block_number,
        leaf=event.leaf,
        fields_json=encode_fields(event.fields),
        path_nodes=b"".join(event.path),
        prompt_packed=event.prompt_ids,
        output_packed=event.output_ids,
    )


def _fitting(number: int) -> int:
    return min(number, LARGEST_INTEGER)
