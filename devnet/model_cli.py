"""`gainsay model commit`, `register` and `deprecate`: the parts of `model` that need curve, compiler and chain."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from string import hexdigits
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contracts.bindings.command_options import (
    Account,
    AsJson,
    DeploymentFile,
    Devnet,
    Keystore,
    RpcUrl,
    SignerUrl,
)

if TYPE_CHECKING:
    from contracts.bindings.sender import Sender
    from node.chain_access import ChainAccess

app = typer.Typer(no_args_is_help=True, help="Commit a model's weights and register it.")

Name = Annotated[str, typer.Argument(help="Name or directory of an imported model; 'tiny' is built in.")]
Models = Annotated[Path, typer.Option(envvar="GAINSAY_MODELS_DIR", help="Where imported models are.")]
Commitments = Annotated[
    Path, typer.Option(envvar="GAINSAY_COMMITMENTS_DIR", help="Where commitments are cached.")
]
Reference = Annotated[
    Path | None,
    typer.Option("--srs", envvar="GAINSAY_SRS", help="Reference string file (default: the devnet's)."),
]
Private = Annotated[
    bool,
    typer.Option(
        "--private",
        help="Hide the weights: points are blinded, and the blindings kept in one encrypted file.",
    ),
]
BlindingsOption = Annotated[
    Path | None,
    typer.Option("--blindings", envvar="GAINSAY_BLINDINGS", help="That file; beside the model by default."),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--blindings-password-file",
        envvar="GAINSAY_BLINDINGS_PASSWORD_FILE",
        help="File with its password; else GAINSAY_BLINDINGS_PASSWORD, or a question.",
    ),
]
_MODELS = Path(".gainsay") / "models"
_COMMITMENTS = Path(".gainsay") / "commitments"


@app.command()
def commit(
    name: Name = "smollm2-135m",
    models: Models = _MODELS,
    commitments: Commitments = _COMMITMENTS,
    srs: Reference = None,
    private: Private = False,
    blindings: BlindingsOption = None,
    password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """Commit all weights of a model, once; later uses read the cache.

    With --private nobody learns the weights: what is committed hides them, and clients get the file that is named at the end. Keep a copy of the
    blindings file: without it the model can prove nothing.
    """
    from prover.progress import reporting

    with reporting() as report:
        _, commitment, string, files = _committed(
            name,
            models,
            commitments,
            _reference_string(srs, report),
            report,
            _privacy(private, blindings, password_file),
        )
    facts = {
        "model": name,
        "privacy": commitment.privacy,
        **files,
        "steps": commitment.step_count,
        "vocabulary": commitment.vocabulary,
        "architecture_digest": "0x" + commitment.architecture_digest.hex(),
        "step_keys_root": "0x" + commitment.step_keys_root.hex(),
        "embedding_rows_root": "0x" + commitment.embedding_rows_root.hex(),
        "tokenizer_digest": "0x" + commitment.tokenizer_digest.hex(),
        "srs_digest": "0x" + commitment.srs_digest.hex(),
        "srs_insecure": string.insecure,
    }
    _print(facts, as_json)


@app.command()
def register(
    name: Name = "smollm2-135m",
    models: Models = _MODELS,
    commitments: Commitments = _COMMITMENTS,
    srs: Reference = None,
    private: Private = False,
    blindings: BlindingsOption = None,
    password_file: PasswordFile = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    signer_url: SignerUrl = None,
    devnet: Devnet = False,
    allow_insecure_srs: Annotated[
        bool,
        typer.Option(
            "--allow-insecure-srs",
            envvar="GAINSAY_ALLOW_INSECURE_SRS",
            help="Register off a devnet, though anyone can forge proofs.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Deploy a model's generated verifiers and register it."""
    from contracts.bindings.reference_string import require_secure_srs
    from prover.progress import reporting

    from .model_registration import register_model

    access, sender = _registrant(rpc_url, deployment, keystore, account, devnet, signer_url)
    hiding = _privacy(private, blindings, password_file)
    with reporting() as report:
        string = _reference_string(srs, report)
        require_secure_srs(
            access.chain,
            insecure=string.insecure,
            description=string.description,
            allowed=allow_insecure_srs,
            act="register a model",
        )
        model, commitment, string, _ = _committed(name, models, commitments, string, report, hiding)
        done = register_model(access.contracts, sender, model.config, commitment, string, report)
    facts = {
        "model": name,
        "model_id": "0x" + done.model_id.hex(),
        **{f"{kind}_verifier": address for kind, address in done.verifiers.items()},
        "gas_used": done.gas_used,
        "registered_before": done.registered_before,
        "deprecated": access.contracts.registry.is_deprecated(done.model_id),
    }
    _print(facts, as_json)


@app.command()
def deprecate(
    model_id: Annotated[str, typer.Argument(help="Id of a registered model: 0x and 64 digits.")],
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    signer_url: SignerUrl = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Mark a model that you registered as one that should not be used any more, for ever; it stops nobody."""
    from contracts.bindings.settings import SettingsError

    digits = model_id.removeprefix("0x")
    if len(digits) != 64 or not all(digit in hexdigits for digit in digits):
        raise SettingsError(f"{model_id!r} is no model id; give 0x and 64 hexadecimal digits")
    access, sender = _registrant(rpc_url, deployment, keystore, account, devnet, signer_url)
    identity = bytes.fromhex(digits)
    mined = sender.send(access.contracts.registry.deprecate(identity), f"deprecate {digits.lower()}")
    facts = {"model_id": "0x" + digits.lower(), "deprecated": True, "gas_used": mined.gas_used}
    _print(facts, as_json)


def _registrant(
    rpc_url: str | None,
    deployment: Path | None,
    keystore: Path | None,
    account: str | None,
    devnet: bool,
    signer_url: str | None,
) -> tuple[ChainAccess, Sender]:
    """The chain, and whoever registers models on it; raises what opening them raises."""
    from contracts.bindings.sender import open_sender
    from node.chain_access import open_chain, open_signer
    from node.command_settings import settings_of

    settings = settings_of(
        devnet, rpc_url, deployment, keystore, account, role="deployer", signer_url=signer_url
    )
    access = open_chain(settings)
    signer = open_signer(settings, access.chain)
    journal = (
        Path(".gainsay")
        / f"register-{access.chain.genesis_hash.hex()[:8]}-{signer.address[2:10].lower()}.sqlite"
    )
    journal.parent.mkdir(exist_ok=True)
    url = f"sqlite:///{journal}"
    return access, open_sender(access.chain, signer, url, confirmations=access.confirmations)


def _reference_string(srs: Path | None, report: Any) -> Any:
    from prover.curve.srs import DEVNET_BITS, SRS

    report("load reference string", 0, 1)
    return SRS.load(srs) if srs is not None else SRS.devnet(DEVNET_BITS)


def _committed(
    name: str, models: Path, commitments: Path, string: Any, report: Any, private: _Privacy | None
) -> tuple[Any, Any, Any, dict[str, str]]:
    from prover.model.library import load_model
    from prover.model_commitment import commit_model
    from prover.private_model import ask_password, commit_private

    report("load model", 0, 1)
    model = load_model(name, models=models)
    if private is None:
        return model, commit_model(model, string, progress=report, cache_dir=commitments), string, {}
    own = commit_private(
        model, string, ask_password(private.password_file), models=models, commitments=commitments,
        file=private.blindings, progress=report,
    )  # fmt: skip
    return model, own.commitment, string, {"blindings": str(own.secret), "published": str(own.published)}


@dataclass(frozen=True)
class _Privacy:
    """What a private model is committed with."""

    blindings: Path | None
    password_file: Path | None


def _privacy(private: bool, blindings: Path | None, password_file: Path | None) -> _Privacy | None:
    from contracts.bindings.settings import SettingsError

    if private:
        return _Privacy(blindings, password_file)
    if blindings is not None:
        raise SettingsError("--blindings has no meaning without --private; leave it out")
    return None


def _print(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for key, value in facts.items():
        typer.echo(f"{key.replace('_', ' '):<22}{value}")
