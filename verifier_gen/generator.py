"""From a model's shape and an SRS to the sources of its verifiers.

Every source is one self-contained file. It depends on the architecture (ModelConfig) and the SRS only: step keys
arrive as calldata, so models of one architecture share their verifiers byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from string import Template

from eth_hash.auto import keccak

from prover.architectures import ModelConfig
from prover.architectures.audit_steps import statement_programs
from prover.argument.transcript import label_word
from prover.curve.g2 import point_g2_to_bytes
from prover.curve.srs import SRS
from prover.embedding import TRANSCRIPT_DOMAIN as EMBEDDING_DOMAIN
from prover.embedding import EmbeddingKey
from prover.field.reference import BASE_MODULUS, SCALAR_MODULUS
from prover.hiding import blinding_base
from prover.plan import PUBLIC, Privacy
from prover.program import WINDOW_ROWS
from prover.statement import TRANSCRIPT_DOMAIN, VerifyingKey

from .called_functions import without_uncalled_functions
from .claim_sections import ClaimSections
from .errors import GeneratorError
from .final_value import FinalValue
from .function import INDENT
from .layout import MEMORY_START, OPENING, TOP_BITS, StepLayout, eta_count, reads_tokens
from .statement_section import statement_functions

SOLIDITY_VERSION = "0.8.34"
ROUND_DEGREE = 4
"""What templates/sumcheck.yul is written for."""
TEMPLATES = Path(__file__).parent / "templates"

INSECURE_WARNING = (
    "\n// INSECURE: the secret of this SRS is public. For tests only; anybody can forge proofs."
)

CONTRACTS = {
    "positions": "PositionsVerifier",
    "keys_values": "KeysValuesVerifier",
    "keys_values_tile": "KeysValuesTileVerifier",
    "keys_values_close": "KeysValuesCloseVerifier",
    "query": "QueryVerifier",
    "query_tile": "QueryTileVerifier",
    "query_close": "QueryCloseVerifier",
    "attention": "AttentionVerifier",
    "query_latent": "QueryLatentVerifier",
    "query_latent_tile": "QueryLatentTileVerifier",
    "query_latent_close": "QueryLatentCloseVerifier",
    "attention_norm": "AttentionNormVerifier",
    "attention_tile": "AttentionTileVerifier",
    "attention_close": "AttentionCloseVerifier",
    "mlp": "MlpVerifier",
    "mlp_norm": "MlpNormVerifier",
    "mlp_tile": "MlpTileVerifier",
    "mlp_close": "MlpCloseVerifier",
    "router": "RouterVerifier",
    "expert_tile": "ExpertTileVerifier",
    "head": "HeadVerifier",
    "head_tile": "HeadTileVerifier",
    "embedding": "EmbeddingVerifier",
}
"""Statement kind -> contract (the file is named after it)."""

_TITLES = {
    "positions": "Learned positions added to one window",
    "keys_values": "Keys and values of one window",
    "keys_values_tile": "What some channels add to the sums of keys and values of one window",
    "keys_values_close": "Keys and values of one window: the sums of all tiles, rounded",
    "query": "Queries of one window, of all heads",
    "query_tile": "What some channels add to the sum of queries of one window",
    "query_close": "Queries of one window, of all heads: the sum of all tiles, rounded",
    "attention": "The attention step of one window, over the keys and values of all windows up to it",
    "query_latent": "The latents of one window's queries",
    "query_latent_tile": "What some channels add to the sum of the latents of one window's queries",
    "query_latent_close": "The latents of one window's queries: the sum of all tiles, rounded",
    "attention_norm": "The normalised rows of one window that attention reads",
    "attention_tile": "What some heads of attention add to the sum of one window, over the keys and values of all windows up to it",
    "attention_close": "The rows of one window behind attention: the sum of all tiles, rounded and added",
    "mlp": "The feed-forward step of one window",
    "mlp_norm": "The normalised rows of one window that the feed-forward unit reads",
    "mlp_tile": "What some hidden channels add to the sum of one window",
    "mlp_close": "The rows of one window behind the feed-forward unit: the sum of all tiles, rounded and added",
    "router": "The normalised rows of one window, and which experts count how much for each of them",
    "expert_tile": "What some hidden channels of one expert add to the sum of one window",
    "head": "The chosen token's logit beats the rival's at one row",
    "head_tile": "The committed tokens of one window beat the ids of one tile of the vocabulary",
}
LABELS = (
    "statement",
    "beta",
    "gamma",
    "alpha",
    "rho",
    "round",
    "eta",
    "reduction.round",
    "mercury.alpha",
    "mercury.gamma",
    "mercury.zeta",
    "mercury.beta",
    "mercury.z",
    "mercury.d",
)
_ERRORS = ("WrongLength", "OutOfRange", "NotCanonical", "InvalidPoint", "DegenerateChallenge")


def generate_sources(config: ModelConfig, srs: SRS, privacy: Privacy = PUBLIC) -> dict[str, str]:
    """File name -> Solidity source of the verifiers of an architecture under an SRS.

    With private weights also those of the steps that only audits have. Raises GeneratorError when the shape is one that generated
    verifiers do not support.
    """
    programs = config.programs if privacy == PUBLIC else statement_programs(config)
    sources = {
        f"{CONTRACTS[kind]}.sol": step_verifier(
            VerifyingKey.create(program, srs, privacy), insecure=srs.insecure
        )
        for kind, program in programs.items()
    }
    key = EmbeddingKey.create(config.channel_bits, srs, privacy)
    embedding = embedding_verifier(key, insecure=srs.insecure)
    return {**sources, f"{CONTRACTS['embedding']}.sol": embedding}


def step_verifier(key: VerifyingKey, *, insecure: bool) -> str:
    """The source for one layer program."""
    program = key.plan.program
    if key.chunk_bits % 2:
        raise GeneratorError(
            f"the opening needs an even mu, the SRS has {key.chunk_bits}: truncate it by one"
        )
    if key.plan.round_degree != ROUND_DEGREE:
        raise GeneratorError(
            f"verifiers check rounds of degree {ROUND_DEGREE}; batch {ROUND_DEGREE - 2} lookups per inverse"
        )
    layout = StepLayout(key)
    sections = ClaimSections(key, layout)
    final = FinalValue(key.plan, layout)
    closed_forms, final_value = final.emit()
    functions = statement_functions(key, layout, sections)
    # Written in the order in which they run, because what several claims share is computed by the first.
    claims = [sections.value(), sections.packed_claims(), sections.single_claims()]
    blocks = sections.block_claims()
    claims += blocks
    claims += [
        sections.slots.prepare(),
        *sections.masks.claims(),
    ]  # the slots are those that claims asked for
    half_bytes = 32 * (key.chunk_bits // 2)
    values: dict[str, object] = {
        "selectors": _selectors(),
        **{f"offset_{name}": hex(offset) for name, offset in OPENING.items()},
        **_srs_words(key.g2_one, key.g2_tau),
        "solidity_version": SOLIDITY_VERSION,
        "program": program.name,
        "key_digest": "0x" + key.digest.hex(),
        "srs_digest": "0x" + key.srs_digest.hex(),
        "mu": key.chunk_bits,
        "srs_warning": INSECURE_WARNING if insecure else "",
        "half_bytes": hex(half_bytes),
        "interface": _template("interface.sol", {}),
        "title": _TITLES[program.name],
        "contract": CONTRACTS[program.name],
        "inputs_layout": _inputs_layout(key),
        "key_layout": _key_layout(key),
        "proof_layout": sections.masks.proof_layout,
        "scalar_modulus": hex(SCALAR_MODULUS),
        "base_modulus": hex(BASE_MODULUS),
        "half": hex(pow(2, -1, SCALAR_MODULUS)),
        "memory": layout.memory.constants(),
        "memory_end": hex(layout.memory.end),
        "memory_start": hex(MEMORY_START),
        "labels": _labels(TRANSCRIPT_DOMAIN, key.digest, key.srs_digest),
        "power_count": key.plan.powers,
        "eta_count": eta_count(key),
        "top_bits": TOP_BITS,
        "combine_block_claims": "".join(f"\n            {function.head}" for function in blocks),
    }
    values |= sections.masks.values()
    if sections.masks.masks is not None:
        values["masks"] = _yul("masks", values)
    forms = ["closed_forms", *(["token_forms"] if reads_tokens(program) else [])]
    parts = {
        "statement": "\n\n".join(function.render() for function in functions) + "\n",
        "final_value": final_value + "\n",
        "claim_sections": "\n\n".join(function.render() for function in claims) + "\n",
        "combine_commitments": sections.commitments().render() + "\n",
        "closed_forms": "\n".join([*(_yul(name, values) for name in forms), closed_forms, ""]),
        **{
            name: _yul(name, values)
            for name in ("transcript", "sumcheck", "claims", "commitments", "mercury")
        },
    }
    return without_uncalled_functions(_template("step_verifier.sol", {**values, **parts}))


def embedding_verifier(key: EmbeddingKey, *, insecure: bool) -> str:
    """The source for the embedding statement, which is no layer program."""
    words = 64 * (WINDOW_ROWS + 1)
    values: dict[str, object] = {
        **_srs_words(key.g2_one, key.g2_tau),
        "solidity_version": SOLIDITY_VERSION,
        "interface": _template("interface.sol", {}),
        "contract": CONTRACTS["embedding"],
        "key_digest": "0x" + key.digest.hex(),
        "srs_digest": "0x" + key.srs_digest.hex(),
        "mu": key.chunk_bits,
        "srs_warning": INSECURE_WARNING if insecure else "",
        "rows": WINDOW_ROWS,
        "input_count": 2 * (WINDOW_ROWS + 1),
        "input_bytes": hex(words),
        "window_offset": hex(64 * WINDOW_ROWS),
        "channel_bits": key.channel_bits,
        "scalar_modulus": hex(SCALAR_MODULUS),
        "base_modulus": hex(BASE_MODULUS),
        "initial_state": "0x" + keccak(EMBEDDING_DOMAIN.encode()).hex(),
        "label": f"{label_word('embedding.z'):#066x}",
        "invalid_point": _selector("InvalidPoint"),
        "proof_bytes": key.proof_bytes,
    }
    if key.privacy == PUBLIC:
        values |= {
            "absorbed_bytes": hex(32 * 4 + words),
            "memory_end": hex(0x360 + words),
            "equation": "// by one KZG quotient: e(Q + z [quotient], [1]_2) = e([quotient], [tau]_2).",
            "proof_layout": "the quotient's commitment",
            "quotient": "proof.offset",
            "quotient_y": "add(proof.offset, 0x20)",
            "more_constants": "",
            "more_errors": "",
            "more_functions": "",
        }
        values["opening"] = _template("embedding_opening.yul", values)
        return _template("embedding_verifier.sol", values)
    quotient, (x, y) = key.proof_bytes - 64, blinding_base(key.srs_digest)
    values |= {
        "absorbed_bytes": hex(32 * 4 + words + 64),
        "memory_end": hex(0x360 + words + 64),
        "mask_place": hex(0x40 + words),
        "label_epsilon": f"{label_word('embedding.epsilon'):#066x}",
        "quotient_offset": hex(quotient),
        "blinding_x": hex(x),
        "blinding_y": hex(y),
        "equation": _MASKED_EQUATION,
        "proof_layout": "P (x, y), value, blinding, the quotient's commitment (x, y)",
        "quotient": f"add(proof.offset, {quotient:#x})",
        "quotient_y": f"add(proof.offset, {quotient + 32:#x})",
        "more_constants": f"    uint256 private constant NOT_CANONICAL = {_selector('NotCanonical')};"
        " // selector of NotCanonical\n",
        "more_errors": "    /// @notice A field element of the proof is not reduced modulo R.\n    error NotCanonical();\n",
        "more_functions": _template("embedding_constant.yul", {}),
    }
    values["opening"] = _template("embedding_masked_opening.yul", values)
    return _template("embedding_verifier.sol", values)


_MASKED_EQUATION = """\
// by a masked KZG quotient: rows and window hide what they hold behind multiples of H, P is a polynomial of degree one that masks
// Q, and e(P + epsilon Q - blinding H - value [1] + z [quotient], [1]_2) = e([quotient], [tau]_2)."""


def _srs_words(
    one: tuple[tuple[int, int], tuple[int, int]], tau: tuple[tuple[int, int], tuple[int, int]]
) -> dict[str, str]:
    """[1]_2 and [tau]_2 as the words that the pairing precompile takes."""
    result = {}
    for name, point in (("one", one), ("tau", tau)):
        encoded = point_g2_to_bytes(point)
        for index in range(4):
            result[f"g2_{name}_{index}"] = "0x" + encoded[32 * index : 32 * index + 32].hex()
    return result


def _labels(domain: str, key_digest: bytes, srs_digest: bytes) -> str:
    """Label words and what the transcript starts with, as constants."""
    constants = {
        "INITIAL_STATE": keccak(domain.encode("ascii")).hex(),
        "VERIFYING_KEY_DIGEST": key_digest.hex(),
        "SRS_DIGEST": srs_digest.hex(),
        **{f"LABEL_{label.replace('.', '_').upper()}": f"{label_word(label):064x}" for label in LABELS},
    }
    return "\n".join(f"    uint256 private constant {name} = 0x{value};" for name, value in constants.items())


def _inputs_layout(key: VerifyingKey) -> str:
    """The words of the public inputs, for the contract's documentation."""
    words = list(key.plan.program.public_scalars)
    for tensor in key.plan.program.inputs:
        bits = key.plan.place_bits(tensor, key.chunk_bits)
        several = f" of each chunk of 2^{bits} windows up to the window's" if "context" in tensor.axes else ""
        words.append(f"{tensor.name} (x, y{several})")
    return f"[{', '.join(words)}]"


def _key_layout(key: VerifyingKey) -> str:
    """The step key's words, for the contract's documentation."""
    program, layout = key.plan.program, key.plan.key_layout(key.chunk_bits)
    names = ", ".join(tensor.name for tensor in program.weights)
    points = [f"{layout.chunks} points of {names}"] if names else []
    return ", ".join([*program.parameters, *points]) or "empty"


def _selector(error: str) -> str:
    return "0x" + keccak(f"{error}()".encode())[:4].hex()


def _selectors() -> str:
    """Selectors of the custom errors as constants: WrongLength -> WRONG_LENGTH."""
    names = {error: re.sub(r"(?<!^)(?=[A-Z])", "_", error).upper() for error in _ERRORS}
    return "\n".join(
        f"    uint256 private constant {name} = {_selector(error)};" for error, name in names.items()
    )


def _template(name: str, values: Mapping[str, object]) -> str:
    return Template((TEMPLATES / name).read_text(encoding="utf-8")).substitute(values)


def _yul(name: str, values: Mapping[str, object]) -> str:
    """A file of Yul functions, indented for the assembly block."""
    text = _template(f"{name}.yul", values)
    return "\n".join(INDENT + line if line else "" for line in text.splitlines()) + "\n"
