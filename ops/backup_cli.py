"""The commands `gainsay backup` and `gainsay restore`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from contracts.bindings.opening import OpenedChain

Archive = Annotated[Path, typer.Argument(metavar="FILE", help="The archive, a .tar file.")]
Role = Annotated[str, typer.Option("--role", help="Whose: provider or challenger.")]
Devnet = Annotated[bool, typer.Option("--devnet", help="Use the chain of `gainsay devnet up`.")]
RpcUrl = Annotated[str | None, typer.Option("--rpc-url", help="RPC endpoint of the chain.")]
Record = Annotated[Path | None, typer.Option("--deployment", help="The deployment's record.")]
Keystore = Annotated[
    Path | None,
    typer.Option("--keystore", help="Encrypted keystore of the account (only its address is read)."),
]
Account = Annotated[str | None, typer.Option("--account", help="The program's account.")]
DatabaseUrl = Annotated[
    str | None, typer.Option("--database-url", help="A provider's: sqlite:///file or postgresql://… .")
]
Database = Annotated[Path | None, typer.Option("--database", help="A challenger's SQLite file.")]
PostgresBin = Annotated[
    Path | None,
    typer.Option("--postgres-bin", help="Folder of PostgreSQL's pg_dump and psql (default: the path)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True)
class _Place:
    """What the settings name: a chain, an account, its database (a SQLite file or a URL), and the files around it."""

    opened: OpenedChain
    account: str
    database: Path | str
    settings: Any
    keystores: list[Path]
    blindings: list[Path]

    def show(self) -> str:
        from sqlalchemy.engine import make_url

        if isinstance(self.database, Path):
            return str(self.database)
        return make_url(self.database).render_as_string(hide_password=True)


def backup(
    archive: Archive,
    role: Role = "provider",
    with_keystores: Annotated[
        bool,
        typer.Option(
            "--with-keystores",
            help="Put the keystores into it, too; encrypted as they are, never a password.",
        ),
    ] = False,
    devnet: Devnet = False,
    rpc_url: RpcUrl = None,
    deployment: Record = None,
    keystore: Keystore = None,
    account: Account = None,
    database_url: DatabaseUrl = None,
    database: Database = None,
    postgres_bin: PostgresBin = None,
    as_json: Json = False,
) -> None:
    """Copy what cannot be made again into one file, while the program runs: its database, settings, the deployment's record."""
    from contracts.bindings.settings import CONFIGURATION_FILE

    from .backup import Source, write_archive

    place = _place(role, devnet, rpc_url, deployment, keystore, account, database_url, database)
    chain, contracts = place.opened.chain, place.opened.contracts
    source = Source(
        role, chain.chain_id, "0x" + chain.genesis_hash.hex(), contracts.ledger.address, place.account, chain.head().number,
        place.database, place.settings.deployment, CONFIGURATION_FILE, place.keystores, place.blindings,
    )  # fmt: skip
    manifest = write_archive(source, archive, with_keystores=with_keystores, postgres_bin=postgres_bin)
    if as_json:
        typer.echo(json.dumps(asdict(manifest)))
        return
    typer.echo(f"{archive}: {place.show()} with {manifest.progress}, as of block {manifest.head}")
    for path in manifest.keystores:
        typer.echo(
            f"  {'with' if with_keystores else 'without'} the keystore {path}; its password is not in it"
        )
    for path in manifest.blindings:
        typer.echo(
            f"  without the private model's blindings {path}: copy that file yourself; without it no audit is answered"
        )
    later = "answer and voucher" if role == "provider" else "verdict and opening"
    typer.echo(f"  every {later} after this moment is missing in it; make the next one soon")


def restore(
    archive: Archive,
    role: Role = "provider",
    devnet: Devnet = False,
    rpc_url: RpcUrl = None,
    deployment: Record = None,
    keystore: Keystore = None,
    account: Account = None,
    database_url: DatabaseUrl = None,
    database: Database = None,
    postgres_bin: PostgresBin = None,
    as_json: Json = False,
) -> None:
    """Put a copy back and make it safe to start on: never over a database that knows more, of another chain, or in use."""
    import tempfile

    from .backup import POSTGRES, SQLITE, open_archive
    from .errors import BackupRefused
    from .restoring import (
        put_postgres,
        put_sqlite,
        repair,
        require_not_newer,
        require_not_running,
        require_same_chain,
    )

    place = _place(role, devnet, rpc_url, deployment, keystore, account, database_url, database)
    contracts = place.opened.contracts
    with tempfile.TemporaryDirectory(prefix="gainsay-restore-") as folder:
        manifest = open_archive(archive, Path(folder))
        require_same_chain(manifest, role, place.opened.chain, contracts.ledger.address, place.account)
        kind = SQLITE if isinstance(place.database, Path) else POSTGRES
        if manifest.database != kind:
            raise BackupRefused(
                f"the copy is a {manifest.database}, the settings name {place.show()}; use the same kind of database"
            )
        copy, old = Path(folder) / kind, None

        def repaired(url: str) -> Any:
            return repair(url, role, contracts, place.account)

        if isinstance(place.database, Path):
            if place.database.exists():
                require_not_running(place.database)
                require_not_newer(manifest, place.database)
            found, old = put_sqlite(copy, place.database, repaired)
        else:
            found = put_postgres(copy, place.database, repaired, postgres_bin)
    if as_json:
        typer.echo(json.dumps(asdict(found) | {"moved_to": None if old is None else str(old)}))
        return
    typer.echo(
        f"{place.show()} is the copy of {manifest.made_at}: {manifest.progress}, as of block {manifest.head}"
    )
    if old is not None:
        typer.echo(f"  what was there before is {old}")
    typer.echo(
        f"  {found.sealed} open batches take no more answers; transactions: {found.mined_since} were mined since in another form, "
        f"{found.given_up} given up (programs plan theirs again; look before you repeat one by hand); {found.games} games opened since"
    )
    for warning in found.warnings:
        typer.echo(f"  WARNING: {warning}")


def _place(
    role: str, devnet: bool, rpc_url: str | None, deployment: Path | None, keystore: Path | None, account: str | None,
    database_url: str | None, database: Path | None,
) -> _Place:  # fmt: skip
    from contracts.bindings.devnet_file import devnet_values
    from contracts.bindings.opening import open_chain
    from prover.errors import UsageError

    if role not in ("provider", "challenger"):
        raise UsageError(f"there is no role {role!r}; say --role provider or --role challenger")
    given: dict[str, Any] = {
        "rpc_url": rpc_url,
        "deployment": deployment,
        "keystore": keystore,
        "account": account,
    }
    if devnet:
        values = devnet_values(deployment, role)
        if keystore is not None:
            values.pop("account")
        given |= {name: value for name, value in values.items() if given.get(name) is None}
    settings = _settings(role, given, database_url, database)
    opened = open_chain(settings)
    acting = _address(settings)
    names = ("keystore", "receipt_keystore")
    keystores = [path for name in names if (path := getattr(settings, name, None)) is not None]
    if role == "provider":
        from eth_utils.address import to_checksum_address
        from sqlalchemy.engine import make_url

        from contracts.bindings.settings import STATE
        from node.chain_access import default_database

        owner = to_checksum_address(settings.provider) if settings.provider else acting
        url = settings.database_url or default_database(
            opened.chain, opened.contracts.ledger.address, owner, STATE / "provider"
        )
        parsed = make_url(url)
        where = Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else url
        return _Place(opened, owner, where, settings, keystores, _blindings(settings))
    from challenger.startup import database_path

    file = settings.challenger_database or database_path(opened.chain, opened.contracts.deployment, acting)
    return _Place(opened, acting, file, settings, keystores, [])


def _settings(role: str, given: dict[str, Any], database_url: str | None, database: Path | None) -> Any:
    from challenger.settings import load_settings as of_challenger
    from node.settings import load_settings as of_provider

    if role == "provider":
        return of_provider(**given, database_url=database_url)
    return of_challenger(**given, challenger_database=database)


def _address(settings: Any) -> str:
    """The account, without its password."""
    from eth_utils.address import to_checksum_address

    from contracts.bindings.settings import SettingsError
    from prover.foreign_json import ForeignJsonError, read_json_file

    if settings.account is not None:
        return str(to_checksum_address(settings.account))
    if settings.keystore is None:
        raise SettingsError("whose database is meant? Name the account with --account or --keystore")
    try:
        content = read_json_file(settings.keystore)
    except (OSError, ForeignJsonError) as error:
        raise SettingsError(f"the keystore {settings.keystore} cannot be read: {error}") from error
    written = content.get("address") if isinstance(content, dict) else None
    if not isinstance(written, str):
        raise SettingsError(f"{settings.keystore} does not say its address; name it with --account")
    return str(to_checksum_address("0x" + written.removeprefix("0x")))


def _blindings(settings: Any) -> list[Path]:
    """The file that a private model cannot be served without."""
    if settings.blindings is not None:
        return [settings.blindings]
    return sorted(settings.models_dir.glob(f"{settings.model}-*.blindings"))
