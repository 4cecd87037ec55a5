"""The command: one lazy table of sub-commands.

`gainsay --help` reads only this table. A sub-command's package is imported when it is called, because Numba,
torch and web3 take seconds to import.

Exit codes are those of `prover.errors` (0 done, 1 anything else, 2 wrong usage, 3 not found, 4 malformed input,
5 chain, 6 proof rejected, 7 environment, 8 out of range) and 130 after Ctrl-C. Errors are one sentence on
standard error; `GAINSAY_DEBUG=1` shows the traceback.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from prover.errors import EnvironmentMissingError, GainsayError


@dataclass(frozen=True)
class Entry:
    """Where a sub-command lives: `module:attribute` names a Typer app, or a function that becomes a command.

    `more` names apps of other modules (or packages further up) whose commands appear beside those of `target`.
    """

    target: str
    help: str
    more: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        return self.target.partition(":")[0]


COMMANDS: dict[str, Entry] = {
    "demo": Entry(
        "devnet.demo_cli:demo", "Answer, cheat, dispute and settle on a local chain with the real model."
    ),
    "devnet": Entry("devnet.cli:app", "Start, inspect and stop a local chain with the contracts deployed."),
    "model": Entry(
        "prover.model.cli:app", "From a GGUF file to a registered model.", more=("devnet.model_cli:app",)
    ),
    "provider": Entry(
        "node.cli:app",
        "Serve a model: HTTP API, committer and defender.",
        more=("node.payments.provider_cli:app",),
    ),
    "pay": Entry("node.payments.pay_cli:app", "Pay providers: deposits, vouchers, refunds."),
    "receipt": Entry("node.receipt_cli:app", "Check the receipts that providers sign."),
    "challenger": Entry("challenger.cli:app", "Re-run responses and dispute the wrong ones."),
    "dispute": Entry("challenger.dispute_cli:app", "Open, inspect and play disputes by hand."),
    "settlements": Entry("node.settlements_cli:app", "Batches, disputes, stakes, bonds and credits."),
    "deploy": Entry("ops.deploy_cli:app", "Deploy the contracts on any chain; verify a deployment."),
    "key": Entry("ops.key_cli:app", "Make, import and name keys in encrypted keystores."),
    "doctor": Entry(
        "ops.doctor_cli:doctor", "Look at all that can be wrong before a start, and say what to do."
    ),
    "backup": Entry(
        "ops.backup_cli:backup", "Copy what cannot be made again into one file, while the program runs."
    ),
    "restore": Entry("ops.backup_cli:restore", "Put a copy back, and make it safe to start on."),
    "monitor": Entry(
        "ops.monitor_cli:monitor", "Watch a deployment from outside: deadlines, stakes, ether, nodes."
    ),
    "explorer": Entry(
        "ops.explorer_cli:explorer",
        "Pages about a deployment: batches, disputes as pictures, models, accounts.",
    ),
    "economics": Entry(
        "economics.cli:economics", "When honesty pays: locks, bonds and fees against what a lie saves."
    ),
    "audit": Entry(
        "prover.audits.cli:app",
        "Choose steps of a private answer, have them proven, verify the proofs.",
        more=("challenger.audit_cli:app", "challenger.audit_chain_cli:app"),
    ),
    "prove": Entry("prover.cli:prove", "Prove one step of one window to a file, without a chain."),
    "verify": Entry("prover.cli:verify", "Check a proof file, without a chain."),
    "kernels": Entry("prover.cli:kernels", "Compile the prover's kernels now, once per machine."),
    "srs": Entry("prover.curve.srs_cli:app", "Import a powers-of-tau ceremony as the reference string."),
    "verifier": Entry("verifier_gen.cli:app", "Generate the Solidity verifiers of an architecture."),
    "bench": Entry("devnet.bench_cli:app", "Measure the figures that docs/reference.md states."),
}


# Typer adds these to every app; they could only install the completion of a part of the command.
_COMPLETION_OPTIONS = ("install_completion", "show_completion")


class LazyGroup(TyperGroup):
    """Shows the table's lines in the help and imports a sub-command only to run it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in self.commands:
            if args[0] != "doctor":  # which has a line about them
                _require_known_settings()
            self.commands[args[0]] = load(args[0])
        return super().resolve_command(ctx, args)


def _require_known_settings() -> None:
    """Raises SettingsError for misspelt settings; imports the programs' settings only where there are any."""
    if (
        not any(name.upper().startswith("GAINSAY_") for name in os.environ)
        and not Path("gainsay.toml").exists()
    ):
        return
    from ops.settings import require_all_names_known

    require_all_names_known()


def load(name: str) -> Any:
    """The real command behind a name of the table.

    Raises EnvironmentMissingError when a package that it needs is not installed.
    """
    entry = COMMANDS[name]
    try:
        target = _attribute(entry.target)
        if not isinstance(target, typer.Typer):
            target = _single_command(name, target)
        command = typer.main.get_command(target)
        for other in entry.more:
            command.commands |= typer.main.get_command(_attribute(other)).commands  # type: ignore[attr-defined]
    except ModuleNotFoundError as error:
        raise EnvironmentMissingError(
            f"`gainsay {name}` needs the Python module {error.name!r}, which is not installed; run `make setup`"
        ) from error
    command.name = name
    command.short_help = entry.help
    command.help = command.help or entry.help
    command.params = [option for option in command.params if option.name not in _COMPLETION_OPTIONS]
    _use_plain_help(command)
    return command


def _attribute(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _use_plain_help(command: Any) -> None:
    """The same plain help everywhere: it is what docs/reference.md quotes."""
    command.rich_markup_mode = None
    for below in getattr(command, "commands", {}).values():
        _use_plain_help(below)


def _single_command(name: str, function: Callable[..., Any]) -> typer.Typer:
    application = typer.Typer(add_completion=False)
    application.command(name=name)(function)
    return application


def _exists(module: str) -> bool:
    """Whether a module's file is there, found without importing any of its parents."""
    package, _, rest = module.partition(".")
    found = importlib.util.find_spec(package)
    if found is None:
        return False
    tail = Path(*rest.split("."))
    locations = [Path(place) for place in found.submodule_search_locations or []]
    return any((place / tail).with_suffix(".py").is_file() or (place / tail).is_dir() for place in locations)


def _version(value: bool) -> None:
    if value:
        typer.echo(
            f"gainsay {importlib.metadata.version('gainsay')}" if _installed() else "gainsay (not installed)"
        )
        raise typer.Exit


def _installed() -> bool:
    try:
        importlib.metadata.version("gainsay")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback(help="Hold an LLM provider to its word: optimistic inference, bisection, proof of one layer.")
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Options that stand before every sub-command."""


def _register_placeholders() -> None:
    """One line of help per existing entry; `LazyGroup` swaps the placeholder for the real command."""
    for name, entry in COMMANDS.items():
        if _exists(entry.module):
            app.command(name=name, help=entry.help)(_placeholder)


def _placeholder() -> None:
    raise AssertionError("a placeholder is replaced before it runs")


_register_placeholders()


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and leave the process with a documented exit code."""
    command = typer.main.get_command(app)
    try:
        command.main(args=arguments, prog_name="gainsay")
    except Exception as error:
        if os.environ.get("GAINSAY_DEBUG", "") not in ("", "0"):
            raise
        sys.stderr.write(f"gainsay: {_sentence(error)}\n")
        code = getattr(error, "exit_code", 1)
        raise SystemExit(code if isinstance(code, int) else 1) from None
    raise SystemExit(0)


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, GainsayError) or hasattr(error, "exit_code"):
        return text or type(error).__name__
    return f"unexpected {type(error).__name__}: {text or 'no message'}; set GAINSAY_DEBUG=1 to see where"


if __name__ == "__main__":
    main()
