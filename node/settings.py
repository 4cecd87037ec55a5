"""The provider's settings: flag > environment GAINSAY_* > gainsay.toml > default.

gainsay.toml holds shared settings at its top and the provider's own in a [provider] table:

    rpc_url = "http://127.0.0.1:8545"

    [provider]
    model = "smollm2-135m"
    port = 8000
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, SecretStr, ValidationError

from contracts.bindings.payments import LARGEST_CUMULATIVE
from contracts.bindings.settings import (
    CONFIGURATION_FILE,
    STATE,
    Address,
    ChainSettings,
    HexId,
    SettingsError,
    SignerUrl,
    Wei,
    read_secret_file,
)

_SHORTEST_VIEW_KEY = 16


class ProviderSettings(ChainSettings):
    """Everything that `gainsay provider` can be told."""

    table: ClassVar[str] = "provider"

    model: str = "smollm2-135m"  # name or directory of the model that is served
    models_dir: Path = STATE / "models"  # imported models
    commitments_dir: Path = STATE / "commitments"  # their commitments, made once
    device: str | None = None  # where the model is run by torch: cpu, cuda or cuda:N; None: without torch
    traces_dir: Path = STATE / "traces"  # boundaries of disputed answers
    model_id: HexId | None = None  # None: the registered model with this model's commitments

    self_check: bool = True  # prove a step of every kind and put it to the verifiers on chain before serving

    host: str = "127.0.0.1"  # address to listen on
    port: Annotated[int, Field(ge=1, le=65535)] = 8000  # of the HTTP API
    queue_size: Annotated[int, Field(ge=1, le=10_000)] = 32  # requests that may wait; more get 429
    at_once: Annotated[int, Field(ge=1, le=1024)] = (
        256  # most answers of a public model that are generated together; beyond 32 only while each gets a token every second
    )
    kv_cache_mib: Annotated[int, Field(ge=1)] = (
        1024  # memory for keys and values of running answers and known prompts; one whole context at least
    )
    share_prompts: bool = True  # what a client sent before is not run again while it stands in that memory
    default_max_tokens: Annotated[int, Field(ge=1)] = 256  # of a request that does not say

    provider: Address | None = None  # the owner's address when the account is its operator; None: the account
    receipt_account: Address | None = None  # signs receipts; None: the account itself
    receipt_signer_url: SignerUrl | None = None  # a remote signer that holds the receipt key
    receipt_keystore: Path | None = None  # encrypted key (JSON) that signs receipts
    receipt_keystore_password: SecretStr | None = None  # of the receipt keystore
    receipt_keystore_password_file: Path | None = None  # instead: a file whose text it is
    receipt_allowance: Wei | None = (
        None  # what an owner's own node registers; None: the locks of one whole batch
    )

    blindings: Path | None = None  # of a private model; None: beside the model
    blindings_password: SecretStr | None = None  # of the file with the blindings
    blindings_password_file: Path | None = None  # instead: a file whose text it is
    private: bool = False  # serve the model as a private one: answers commit to boundaries, which are audited
    audit_items: Annotated[int, Field(ge=1, le=64)] = 8  # most items of an answer that are proven off chain

    chain_id: Annotated[int, Field(ge=1)] | None = (
        None  # start only with a deployment on this chain; None: any
    )

    max_clock_lag_s: Annotated[float, Field(gt=0)] | None = (
        None  # of this machine behind the chain's newest block; None: unlimited on a devnet, else 30
    )

    database_url: str | None = None  # None: SQLite, one file per deployment and account
    batch_interval_s: Annotated[int, Field(ge=1)] | None = (
        None  # None: a sixth of the posting window, 300 at most
    )
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 256  # answers at which a batch is closed early
    fee_wei: Wei = 0  # the price of an answer, in the smallest unit of `fee_token`
    fee_token: Address = "0x" + 40 * "0"  # an ERC-20; the zero address is ether
    require_payment: bool = False  # refuse requests without a voucher
    contract_payers: bool = False  # take ERC-1271 signatures, which can be unsaid before they are redeemed
    redeem_least: Wei | None = None  # vouchers are redeemed once they bring so much; None: a hundred fees
    redeem_interval_s: Annotated[int, Field(ge=1)] = 60  # how often is looked
    cors_origins: tuple[
        str, ...
    ] = ()  # pages that may call the API from a browser ("*": all); none by default
    api_keys: Path | None = (
        None  # TOML file with the hashes of API keys and their limits; None: no key is needed
    )
    answers_per_request: Annotated[int, Field(ge=1, le=64)] = 20  # prompts times n of one request
    private_logprobs: bool = (
        False  # tell likelihoods of a private model's tokens, which give its last layer away
    )
    view_key: SecretStr | None = (
        None  # shows its holder every prompt and answer; None: only clients see their own
    )
    view_key_file: Path | None = None  # instead: a file whose text it is
    list_token_ids: bool = (
        True  # to everybody; false: only to an answer's client, and challengers ask on chain
    )


def _require_a_price(settings: ProviderSettings) -> None:
    if settings.require_payment and not settings.fee_wei:
        raise SettingsError(
            "require_payment is set, but an answer costs nothing; set the price with --fee-wei (or GAINSAY_FEE_WEI)"
        )
    if settings.fee_wei > LARGEST_CUMULATIVE:
        raise SettingsError("fee_wei is 2^112 or more, which no channel can pay; lower --fee-wei")


def view_key_of(settings: ProviderSettings) -> str | None:
    """The key that shows every text. Raises SettingsError for one that can be guessed, and when its file cannot be read."""
    key = None if settings.view_key is None else settings.view_key.get_secret_value()
    if key is None and settings.view_key_file is not None:
        key = read_secret_file(settings.view_key_file, "view key")
    if key is not None and len(key) < _SHORTEST_VIEW_KEY:
        raise SettingsError(
            f"view_key has {len(key)} characters, so it can be guessed; take {_SHORTEST_VIEW_KEY} random ones at least"
        )
    return key


def load_settings(**flags: Any) -> ProviderSettings:
    """The settings, with the given flags (None: not given) above everything else. Raises SettingsError."""
    try:
        settings = ProviderSettings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            f"setting {name} = {first.get('input')!r} is wrong: {first['msg'].lower()}; correct the flag "
            f"--{name.replace('_', '-')}, GAINSAY_{name.upper()} or {CONFIGURATION_FILE}"
        ) from error
    _require_a_price(settings)
    return settings
