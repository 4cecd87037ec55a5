"""`gainsay provider api-key`: a new API key, and what the provider's file holds of it."""

from __future__ import annotations

import re
from typing import Annotated

import typer


def api_key(
    name: Annotated[
        str, typer.Argument(help="Under which the key is listed: letters, digits, '.', '_', '-'.")
    ],
    requests_per_minute: Annotated[int | None, typer.Option(min=1, help="Most requests a minute.")] = None,
    tokens_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Most tokens of prompts and answers a minute.")
    ] = None,
    concurrent: Annotated[int | None, typer.Option(min=1, help="Most answers at a time.")] = None,
) -> None:
    """Draw an API key: it goes to its holder, and the lines below it into the file that the setting api_keys names.

    The key is on standard error, so that `>> keys.toml` takes the lines alone.
    """
    from contracts.bindings.settings import SettingsError

    from .api_keys import draw_key, hash_of

    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
        raise SettingsError(f"the name {name[:80]!r} is none; use up to 64 letters, digits, '.', '_' and '-'")
    key = draw_key()
    typer.echo(key, err=True)
    limits = {
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "concurrent": concurrent,
    }
    typer.echo(f'[keys."{name}"]\nsha256 = "{hash_of(key).hex()}"')
    for limit, value in limits.items():
        if value is not None:
            typer.echo(f"{limit} = {value}")
