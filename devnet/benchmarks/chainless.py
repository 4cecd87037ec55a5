"""A provider's API, fair queue, batch, journal and receipts in a process of its own, without a chain: what a benchmark of serving loads.

Started by `load.started`; everything that answers a request is the production code, what posts and defends is not there.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from pathlib import Path

import uvicorn

from node.api.application import create_application
from node.api.connections import BACKLOG, IDLE_SECONDS, bounded_protocol, most_connections
from node.inference import InferenceQueue
from node.metrics import Metrics
from node.receipts import Issuer, ReceiptDesk
from node.records import Records
from node.service import AnswerService, ServedModel
from node.store import Journal, open_engine
from node.store.journal import BatchTerms
from node.texts import Texts
from prover.model.batch import batch_in_memory
from prover.model.execute import Executor
from prover.model.library import load_model

from .serve import CHAIN_ID, LEDGER, MemorySigner

READY = "ready"
_MEMORY = 1 << 30


def main(name: str, models: Path, port: int, at_once: int, queue_size: int) -> None:
    """Serve until killed; says `READY` once the port is open and the kernels are warm."""
    model = load_model(name, models=models)
    executor = Executor(model)
    executor.generate([1] * 3, 2, end_ids=())
    signer = MemorySigner()
    issuer = Issuer(CHAIN_ID, LEDGER, LEDGER, signer.address, bytes(range(32)))
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(open_engine(f"sqlite:///{folder}/node.db"))
        terms = BatchTerms(interval_s=30, posting_window_s=60, largest=1000)
        service = AnswerService(
            ServedModel(
                name,
                issuer.model_id,
                model.tokenizer,
                model.config.max_positions,
                int(time.time()),
                model.logit_scale,
            ),
            InferenceQueue(executor, queue_size, batch_in_memory(executor, _MEMORY, at_once), at_once),
            ReceiptDesk(journal, signer, issuer, terms, now=lambda: int(time.time())),
            Metrics(),
            default_max_tokens=64,
        )
        app = create_application(
            service,
            Records(journal, issuer, name),
            lambda _: {"batches": []},
            Texts(journal, model.tokenizer),
        )

        class Announcing(uvicorn.Server):
            async def startup(self, sockets: list | None = None) -> None:  # type: ignore[type-arg]
                await super().startup(sockets)
                print(READY, flush=True)

        logging.getLogger("asyncio").setLevel(logging.ERROR)
        Announcing(
            uvicorn.Config(
                app,
                port=port,
                http=bounded_protocol(most_connections()),
                backlog=BACKLOG,
                ws="none",
                log_level="error",
                timeout_keep_alive=IDLE_SECONDS,
            )
        ).run()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
