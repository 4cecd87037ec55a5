"""From logs to work: batches to look at, own games to play, in step with the chain."""

from __future__ import annotations

import structlog

from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.events import BatchPosted, GameOpened, GameResolved
from contracts.bindings.log_reader import LogReader

from .store import BatchRow, Ending, GameRow, Store

log = structlog.get_logger(__name__)


class Watcher:
    """Turns events into rows, together with the cursor in one transaction; drops what a reorganisation took."""

    def __init__(
        self, contracts: ProtocolContracts, store: Store, own_address: str | None, *, confirmations: int = 0
    ) -> None:
        self._reader = LogReader(contracts, confirmations=confirmations)
        self._store = store
        self._own_address = own_address

    def poll(self) -> int:
        """Handle everything new; the number of events."""
        handled = 0
        while (reading := self._reader.read(self._store.history())) is not None:
            rows: list[BatchRow | GameRow] = []
            ended: dict[int, Ending] = {}
            for event in reading.events:
                match event:
                    case BatchPosted():
                        rows.append(_batch_row(event))
                    case GameOpened() if event.challenger == self._own_address:
                        rows.append(_game_row(event))
                    case GameResolved():
                        ended[event.game_id] = Ending(
                            event.outcome.name.lower(), event.reason.name.lower(), event.at.block_number
                        )
            if reading.rewound_to is not None:
                log.warning("chain reorganised", back_to_block=reading.rewound_to)
            self._store.advance(reading.cursor, reading.rewound_to, rows, ended)
            handled += len(reading.events)
        return handled


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
        deadline=event.deadline,
    )


def _game_row(event: GameOpened) -> GameRow:
    return GameRow(
        game_id=event.game_id, block_number=event.at.block_number, batch_id=event.batch_id, index=event.index
    )
