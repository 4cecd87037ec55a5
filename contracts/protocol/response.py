"""What one response says, its leaf, and the receipt that the provider signs for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.abi import encode
from eth_hash.auto import keccak

from prover.sampling import Sampling

from .merkle import leaf_hash
from .sampling import sampling_word
from .token_ids import token_ids_hash

WINDOW_ROWS = 32
#: Payer of a receipt for which nobody paid, and the "token" of fees in ether.
NOBODY = ETHER_TOKEN = "0x" + 40 * "0"

#: `audit_root` of a response of a public model: it is disputed, not audited.
NO_AUDITS = bytes(32)

#: What a leaf says, as Solidity writes it.
LEAF_FIELDS = (
    "uint256 chainId,address ledger,address provider,bytes32 modelId,bytes32 batchSalt,uint256 index,"
    "bytes32 promptHash,bytes32 outputHash,uint256 promptLength,uint256 outputLength,uint256 maxTokens,"
    "bytes32 samplingHash,uint256 feeWei,bytes32 auditRoot"
)
RESPONSE_LEAF_TYPEHASH = keccak(f"Response({LEAF_FIELDS})".encode())
_LEAF_TYPES = ["bytes32", *(field.split(" ")[0] for field in LEAF_FIELDS.split(","))]


@dataclass(frozen=True)
class ResponseFields:
    """One response beside provider, model, batch salt and index; hashes are 32 bytes."""

    prompt_hash: bytes
    output_hash: bytes
    prompt_length: int
    output_length: int
    max_tokens: int
    sampling_hash: bytes
    fee_wei: int
    audit_root: bytes

    @classmethod
    def of(
        cls,
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
        max_tokens: int,
        fee_wei: int,
        sampling: Sampling | None = None,
        audit_root: bytes = NO_AUDITS,
    ) -> ResponseFields:
        """The fields of a response, greedy unless `sampling` says otherwise; `audit_root` (`audits.BoundaryTree`) where the model is
        private."""
        return cls(
            prompt_hash=token_ids_hash(prompt_ids),
            output_hash=token_ids_hash(output_ids),
            prompt_length=len(prompt_ids),
            output_length=len(output_ids),
            max_tokens=max_tokens,
            sampling_hash=sampling_word(sampling),
            fee_wei=fee_wei,
            audit_root=audit_root,
        )

    def matches(self, prompt_ids: Sequence[int], output_ids: Sequence[int]) -> bool:
        """Whether these are the token ids that the fields commit to."""
        return (
            len(prompt_ids) == self.prompt_length
            and len(output_ids) == self.output_length
            and token_ids_hash(prompt_ids) == self.prompt_hash
            and token_ids_hash(output_ids) == self.output_hash
        )

    @property
    def positions(self) -> int:
        """T: positions that the model is run on (the last output token is never fed)."""
        return self.prompt_length + self.output_length - 1

    @property
    def windows(self) -> int:
        """W = ceil(T / 32)."""
        return -(-self.positions // WINDOW_ROWS)


@dataclass(frozen=True)
class Receipt:
    """What a provider's receipt key signs (EIP-712) when it answers. Its leaf is the leaf in the batch.

    `issued_at` (seconds) is when the key must have been registered; `payer` is the zero address when unpaid.
    """

    provider: str
    model_id: bytes
    batch_salt: bytes
    index: int
    prompt_hash: bytes
    output_hash: bytes
    prompt_length: int
    output_length: int
    max_tokens: int
    sampling_hash: bytes
    fee_wei: int
    audit_root: bytes
    payer: str
    fee_token: str
    issued_at: int
    posting_deadline: int
    signer: str

    @classmethod
    def of(
        cls,
        provider: str,
        model_id: bytes,
        batch_salt: bytes,
        index: int,
        fields: ResponseFields,
        issued_at: int,
        posting_deadline: int,
        signer: str | None = None,
        payer: str = NOBODY,
        fee_token: str = ETHER_TOKEN,
    ) -> Receipt:
        """Unpaid; signed by the owner's own key unless `signer` names another."""
        return cls(
            provider=provider,
            model_id=model_id,
            batch_salt=batch_salt,
            index=index,
            prompt_hash=fields.prompt_hash,
            output_hash=fields.output_hash,
            prompt_length=fields.prompt_length,
            output_length=fields.output_length,
            max_tokens=fields.max_tokens,
            sampling_hash=fields.sampling_hash,
            fee_wei=fields.fee_wei,
            audit_root=fields.audit_root,
            payer=payer,
            fee_token=fee_token,
            issued_at=issued_at,
            posting_deadline=posting_deadline,
            signer=signer or provider,
        )

    @property
    def fields(self) -> ResponseFields:
        return ResponseFields(
            prompt_hash=self.prompt_hash,
            output_hash=self.output_hash,
            prompt_length=self.prompt_length,
            output_length=self.output_length,
            max_tokens=self.max_tokens,
            sampling_hash=self.sampling_hash,
            fee_wei=self.fee_wei,
            audit_root=self.audit_root,
        )

    def leaf(self, chain_id: int, ledger: str) -> bytes:
        return response_leaf(
            chain_id, ledger, self.provider, self.model_id, self.batch_salt, self.index, self.fields
        )


def response_leaf(
    chain_id: int,
    ledger: str,
    provider: str,
    model_id: bytes,
    batch_salt: bytes,
    index: int,
    fields: ResponseFields,
) -> bytes:
    """keccak256(keccak256(abi.encode(RESPONSE_LEAF_TYPEHASH, chainId, ..., auditRoot))), 32 bytes."""
    return leaf_hash(
        encode(
            _LEAF_TYPES,
            [
                RESPONSE_LEAF_TYPEHASH,
                chain_id,
                ledger,
                provider,
                model_id,
                batch_salt,
                index,
                fields.prompt_hash,
                fields.output_hash,
                fields.prompt_length,
                fields.output_length,
                fields.max_tokens,
                fields.sampling_hash,
                fields.fee_wei,
                fields.audit_root,
            ],
        )
    )
