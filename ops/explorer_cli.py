"""The command `gainsay explorer`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from explorer.search import Resolver
    from explorer.stories import StepName

    from .settings import ExplorerSettings

_RECEIPT_S = 5.0
_LONGEST_RECEIPT = 64 * 2**10


def explorer(
    devnet: Annotated[bool, typer.Option("--devnet", help="Use the chain of `gainsay devnet up`.")] = False,
    rpc_url: Annotated[str | None, typer.Option("--rpc-url", help="RPC endpoint of the chain.")] = None,
    deployment: Annotated[Path | None, typer.Option(help="The deployment's record.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (default 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the pages (default 8080).")] = None,
    index: Annotated[
        Path | None, typer.Option("--index", help="SQLite file that keeps what was read of the chain.")
    ] = None,
    node: Annotated[
        list[str] | None,
        typer.Option("--node", metavar="URL", help="A provider's API, asked for receipts; several times."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="A model on this machine, for names of steps; several times."),
    ] = None,
) -> None:
    """Serve the explorer of a deployment: batches, responses, disputes, models, accounts. It holds no key and sends nothing."""
    import uvicorn

    from contracts.bindings.opening import open_chain
    from explorer.index import Index, default_file
    from explorer.server import Explorer, create_application

    from .settings import load_explorer_settings

    settings = load_explorer_settings(
        devnet,
        rpc_url=rpc_url,
        deployment=deployment,
        explorer_host=host,
        explorer_port=port,
        explorer_index=index,
        explorer_nodes=node or None,
        explorer_models=model or None,
    )
    opened = open_chain(settings)
    default = default_file(opened.contracts)
    held = Index(opened.contracts, settings.explorer_index or default, confirmations=opened.confirmations)
    names, steps = _models(settings)
    shown = Explorer.over(
        held,
        settings.poll_s,
        model_names=names,
        step_names=steps,
        resolvers=[_resolver(url) for url in settings.explorer_nodes],
    )
    where = f"http://{settings.explorer_host}:{settings.explorer_port}/"
    typer.echo(f"the explorer of {settings.rpc_url} is at {where}; Ctrl-C stops it")
    uvicorn.run(
        create_application(shown), host=settings.explorer_host, port=settings.explorer_port, log_level="error"
    )


def _models(settings: ExplorerSettings) -> tuple[dict[bytes, str], dict[bytes, StepName]]:
    """Names of registered models, and of their steps, from the models on this machine that were named."""
    from challenger.local_models import load_local_model

    models = [load_local_model(name, settings.srs) for name in settings.explorer_models]
    built = {model.built_id: model for model in models if model.built_id is not None}
    return (
        {model_id: model.name for model_id, model in built.items()},
        {model_id: model.commitment.step_name for model_id, model in built.items()},
    )


def _resolver(url: str) -> Resolver:
    """Asks a provider's node for a receipt. Whatever goes wrong there, it has none."""
    from urllib.parse import quote

    from challenger.bounded_fetch import FetchFailed, shared_fetcher
    from contracts.bindings.receipt_body import parse_receipt
    from explorer.search import Place
    from prover.errors import BadInputError
    from prover.foreign_json import ForeignJsonError, read_json

    def resolve(name: str) -> Place | None:
        where = f"{url.rstrip('/')}/v1/receipts/{quote(name, safe='')}"
        try:
            body = shared_fetcher().get(where, within_s=_RECEIPT_S, at_most_bytes=_LONGEST_RECEIPT)
            said = read_json(body, what="receipt")
            path = said.get("path") if isinstance(said, dict) else None
            receipt, _ = parse_receipt(said)
            hashes = None if path is None else tuple(bytes.fromhex(text[2:]) for text in path)
        except (FetchFailed, ForeignJsonError, BadInputError, TypeError, ValueError):
            return None
        return Place(receipt, hashes)

    return resolve
