"""The keys that act for a provider: which account sends, for whom, and which key signs the receipts."""

from __future__ import annotations

from dataclasses import dataclass

from eth_utils.address import is_address, to_checksum_address

from contracts.bindings.chain import Chain
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.keys import KeystoreSigner, Signer, UnlockedSigner
from contracts.bindings.provider_stake import ReceiptSigner
from contracts.bindings.remote_signer import RemoteSigner
from contracts.bindings.settings import SettingsError, read_secret_file
from contracts.protocol.ether import show_ether

from .settings import ProviderSettings

#: The operator of who named none.
NOBODY = "0x" + 40 * "0"


def checksum(address: str) -> str:
    """An address from a command line as the chain's answers write it. Raises `SettingsError`."""
    if not is_address(address):
        raise SettingsError(f"{address!r} is no address; write 0x and 40 hex digits")
    return str(to_checksum_address(address))


def provider_of(settings: ProviderSettings, account: str) -> str:
    """The provider that an account acts for: itself, unless a setting names its owner."""
    return account if settings.provider is None else to_checksum_address(settings.provider)


def open_receipt_key(settings: ProviderSettings, chain: Chain, signer: Signer) -> Signer:
    """What signs the receipts. Raises `SettingsError`, `KeyUnavailable` and `SignerUnavailable`."""
    if settings.receipt_keystore is not None and settings.receipt_signer_url is not None:
        raise SettingsError(
            "the receipt key has a keystore and a remote signer; leave receipt_keystore or receipt_signer_url out"
        )
    if settings.receipt_keystore is not None:
        return KeystoreSigner(settings.receipt_keystore, _password(settings))
    if (url := settings.receipt_signer_url) is not None:
        return RemoteSigner(url, settings.receipt_account)
    if settings.receipt_account is not None and settings.signer_url is not None:
        return RemoteSigner(settings.signer_url, settings.receipt_account)
    if settings.receipt_account is not None:
        return UnlockedSigner(chain, settings.receipt_account)
    return signer


def _password(settings: ProviderSettings) -> str:
    if settings.receipt_keystore_password is not None:
        return settings.receipt_keystore_password.get_secret_value()
    if (file := settings.receipt_keystore_password_file) is not None:
        return read_secret_file(file, "password file of the receipt key")
    raise SettingsError(
        "the receipt key's keystore needs its password: set GAINSAY_RECEIPT_KEYSTORE_PASSWORD, or name a file with "
        "GAINSAY_RECEIPT_KEYSTORE_PASSWORD_FILE"
    )


@dataclass(frozen=True)
class KeyState:
    """What the chain says about a node's keys at one block."""

    provider: str
    account: str
    receipt_key: str
    operator: str
    receipt_signer: ReceiptSigner

    @classmethod
    def read(cls, contracts: ProtocolContracts, provider: str, account: str, receipt_key: str) -> KeyState:
        stake = contracts.stake
        signer = stake.receipt_signer(provider, receipt_key)
        return cls(provider, account, receipt_key, stake.operator_of(provider), signer)

    @property
    def is_owner(self) -> bool:
        return self.account == self.provider

    def account_reason(self) -> str | None:
        """Why the account may not act for the provider, or None."""
        if self.is_owner or self.account == self.operator:
            return None
        named = "nobody" if self.operator == NOBODY else self.operator
        return (
            f"{self.account} is neither the owner nor the operator of provider {self.provider}, who named {named}; "
            f"its owner names this account with `gainsay provider set-operator {self.account}`"
        )

    def receipt_reason(self, lock_wei: int) -> str | None:
        """Why receipts of the key are worth nothing, or None; `lock_wei` is what one of them promises."""
        key = self.receipt_signer
        if not key.registered_at:
            return (
                f"the receipt key {self.receipt_key} is not registered for provider {self.provider}; "
                f"its owner does that with `gainsay provider add-signer {self.receipt_key} --allowance ETHER`"
            )
        if key.retired_at:
            return (
                f"the receipt key {self.receipt_key} is retired; restart with another --receipt-account or "
                "--receipt-keystore that the owner registered with `gainsay provider add-signer`"
            )
        if key.allowance - key.slashed < lock_wei:
            return (
                f"the receipt key {self.receipt_key} has {show_ether(key.allowance - key.slashed)} of its allowance left, "
                f"less than the {show_ether(lock_wei)} that a receipt promises; the owner raises it with "
                f"`gainsay provider add-signer {self.receipt_key} --allowance ETHER`"
            )
        return None
