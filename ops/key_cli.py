"""`gainsay key`: encrypted keystores, which every other command takes with --keystore."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make, import and name keys: encrypted keystores (eth-account's JSON, mode 600).",
)

KeystoreFile = Annotated[Path, typer.Argument(metavar="FILE", help="The keystore; never overwritten.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        envvar="GAINSAY_KEYSTORE_PASSWORD_FILE",
        help="File with the keystore's password; without it, it is asked for.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def new(file: KeystoreFile, password_file: PasswordFile = None, as_json: AsJson = False) -> None:
    """Make a new key and write it encrypted; keep the file and the password, nobody can restore them."""
    from contracts.bindings.keys import create_keystore

    _require_absent(file)
    _show(create_keystore(file, _password(password_file, confirm=True)), file, as_json)


@app.command("import")
def import_key(
    file: KeystoreFile,
    private_key_file: Annotated[
        Path | None,
        typer.Option("--private-key-file", help="File with 64 hex digits; without it, they are asked for."),
    ] = None,
    from_keystore: Annotated[
        Path | None,
        typer.Option("--from-keystore", help="A keystore of another program, to be encrypted anew."),
    ] = None,
    from_password_file: Annotated[
        Path | None, typer.Option("--from-password-file", help="Password of that keystore.")
    ] = None,
    password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """Encrypt a key that exists; it never appears on a command line."""
    from contracts.bindings.keys import create_keystore, decrypt_keystore
    from prover.errors import UsageError

    _require_absent(file)
    if from_keystore is not None and private_key_file is not None:
        raise UsageError("--private-key-file and --from-keystore exclude each other; leave one out")
    if from_keystore is not None:
        secret = decrypt_keystore(
            from_keystore, _password(from_password_file, what=f"Password of {from_keystore}")
        )
    else:
        secret = _private_key(private_key_file)
    _show(create_keystore(file, _password(password_file, confirm=True), secret), file, as_json)


@app.command()
def address(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A keystore.")],
    check: Annotated[
        bool,
        typer.Option("--check", help="Decrypt it, too: the password is right and the address is the key's."),
    ] = False,
    password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """Print a keystore's address, which needs no password; --check decrypts it."""
    from contracts.bindings.errors import KeyUnavailable
    from contracts.bindings.keys import KeystoreSigner, keystore_address

    written = keystore_address(file)
    if check or written is None:
        found = KeystoreSigner(file, _password(password_file)).address
        if written is not None and written != found:
            raise KeyUnavailable(
                f"{file} says that it is {written}, but its key is {found}'s; make the file again"
            )
        written = found
    _show(written, file, as_json)


def _show(found: str, file: Path, as_json: bool) -> None:
    typer.echo(json.dumps({"address": found, "keystore": str(file)}) if as_json else found)


def _require_absent(file: Path) -> None:
    """Before anything is asked. Raises KeyUnavailable."""
    from contracts.bindings.errors import KeyUnavailable

    if file.exists() or file.is_symlink():
        raise KeyUnavailable(f"{file} exists already; choose another file name.")


def _password(file: Path | None, *, confirm: bool = False, what: str = "Password of the keystore") -> str:
    from contracts.bindings.settings import read_secret_file
    from prover.errors import UsageError

    if file is not None:
        password = read_secret_file(file, "password file")
    elif sys.stdin.isatty():
        password = str(typer.prompt(what, hide_input=True, confirmation_prompt=confirm, err=True))
    else:
        raise UsageError("there is no terminal to ask for the password; name a file with --password-file")
    if confirm and len(password) < 8:
        raise UsageError("the password is shorter than 8 characters; choose a longer one")
    return password


def _private_key(file: Path | None) -> str:
    from contracts.bindings.settings import read_secret_file
    from prover.errors import UsageError

    if file is not None:
        return read_secret_file(file, "private key file").strip()
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask for the key; name a file with --private-key-file")
    return str(typer.prompt("Private key (64 hex digits)", hide_input=True, err=True)).strip()
