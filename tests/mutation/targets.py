"""What is mutated, and which tests have to notice, cheapest first."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .generator_mutator import generator_mutants
from .mutants import Mutant
from .python_mutator import python_mutants
from .solidity_mutator import solidity_mutants

Mutator = Callable[[str, str, Callable[[str], bool]], list[Mutant]]


@dataclass(frozen=True)
class Scope:
    """Files of one kind. only, without: regular expressions on qualified function names (full match)."""

    paths: tuple[str, ...]
    mutator: Mutator = python_mutants
    only: str = r".*"
    without: str = r"$^"

    def wanted(self, function: str) -> bool:
        """Whether the functions of this name are mutated."""
        return bool(re.fullmatch(self.only, function)) and not re.fullmatch(self.without, function)

    def mutants(self, root: Path) -> list[Mutant]:
        """Every mutant of the files, in order."""
        return [
            mutant
            for path in self.paths
            for mutant in self.mutator(path, (root / path).read_text(encoding="utf-8"), self.wanted)
        ]


@dataclass(frozen=True)
class Target:
    """tests: arguments of pytest; commands: arguments of Forge, one run after the other, behind the nearest test file.

    pins: tests that notice every change, because they compare with what was there before. They run when nothing else
    noticed, and are counted apart: they say that something changed, not that it is wrong.
    """

    title: str
    scopes: tuple[Scope, ...]
    tests: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()
    nearest: Mapping[str, str] = field(default_factory=dict)

    def asks(self, by: str) -> bool:
        """Whether a test that noticed a mutant is still among those that run; what is no test of pytest's always is."""
        return not self.tests or not by.startswith("tests/") or by.startswith((*self.tests, *self.pins))

    def mutants(self, root: Path) -> list[Mutant]:
        """Every mutant, in order."""
        return [mutant for scope in self.scopes for mutant in scope.mutants(root)]


_PROVING = r"(.*\.)?(run|run_rounded|run_product|_rounding|_limit|_store|unpadded|witness|witness_rounded|_root|_limbs|_attend_rows|_extend|_along_axes|contract_exactly|_keys|_picked|_largest|_quotient)"
_MEANING = r"requantise_half_up|remainder_half_up|_rotary_tables|_cos_sin_fixed"

_GAS = "tests/verifier_gen/test_golden_proofs.py::test_a_kept_proof_costs_what_the_snapshot_says"
"""It measures optimised code, and mutants are compiled without the optimiser (run.py)."""

TARGETS: dict[str, Target] = {
    "python-verifier": Target(
        "Python verifier",
        (
            Scope(
                (
                    "prover/verify.py",
                    "prover/claims.py",
                    "prover/proof.py",
                    "prover/merkle.py",
                    "prover/zones.py",
                )
            ),
            Scope(
                ("prover/plan.py",),
                only=r"inverse_expression|Plan\.(_zones|_insides?|zone_of|outputs|window_bits|output_bits|fills_chunk|short_outputs|_send|place_bits|place|input_points|key_layout|layout|_shape_of|own_width|_real_size|parts_by_axis|in_block)|_weights_in_quads|_is_weight_over|_is_slice|_is_behind",
            ),
            Scope(("prover/block_layout.py",), without=r"BlockLayout\.pack|_box"),
            Scope(("prover/evaluations.py",), only="monomials|affine"),
            Scope(("prover/quads.py",), without="to_quads|quads_of"),
            Scope(("prover/embedding.py", "prover/statement.py")),
            Scope(
                ("prover/model_commitment.py",),
                only=r"step_kind|\w+_leaf|ModelCommitment.*|_load|decode_step_key",
            ),
            Scope(
                tuple(
                    f"prover/argument/{name}.py"
                    for name in ("mercury", "points", "reduction", "sumcheck", "transcript")
                )
            ),
            Scope(("prover/argument/multilinear.py",), only="eq_table"),
            Scope(("prover/curve/g1.py",), only=r"<module>|is_on_curve|validate|negate|point_\w+"),
            Scope(("prover/curve/plain_sums.py",)),
        ),
        tests=(
            "tests/prover/test_merkle.py",
            "tests/prover/test_places.py",
            "tests/prover/test_plan.py",
            "tests/prover/test_affine.py",
            "tests/prover/argument/test_multilinear.py",
            "tests/prover/argument/test_reduction.py",
            "tests/prover/private/test_masked_embeddings.py",
            "tests/tampering/test_masked_quotients.py",
            "tests/tampering/test_chunk_sizes.py",
            "tests/prover/curve/test_g1.py",
            "tests/prover/curve/test_canonical_points.py",
            "tests/prover/curve/test_plain_sums.py",
            "tests/prover/test_quads.py",
            "tests/prover/test_golden_proofs.py",
            "tests/prover/test_rejections.py",
            "tests/prover/test_model_commitment.py",
            "tests/prover/test_block_layout.py",
        ),
    ),
    "relations": Target(
        "Relations",
        (
            Scope(("prover/relations.py",)),
            Scope(
                tuple(
                    f"prover/operators/{name}.py"
                    for name in (
                        "activation",
                        "attend",
                        "closed_sum",
                        "exponential",
                        "gated_rows",
                        "group_scores",
                        "head_matmul",
                        "head_pair",
                        "head_tile",
                        "inverse_root",
                        "layer_norm",
                        "matmul",
                        "multiply",
                        "partial_sum",
                        "requantised_sum",
                        "residual_add",
                        "rms_norm",
                        "rotary",
                        "rounding",
                        "routed_rows",
                        "routing_weights",
                        "score_weights",
                        "top_k",
                    )
                ),
                without=rf"{_PROVING}|{_MEANING}",
            ),
            Scope(
                (
                    "prover/architectures/llama.py",
                    "prover/architectures/mixture_parts.py",
                    "prover/architectures/parts.py",
                    "prover/architectures/steps.py",
                )
            ),
        ),
        tests=(
            "tests/prover/test_relations.py",
            "tests/prover/operators/test_ranges.py",
            "tests/prover/operators/test_limits.py",
            "tests/prover/operators/test_meaning.py",
            "tests/prover/test_tables.py",
            "tests/prover/test_function_tables.py",
            "tests/prover/operators/test_check.py::test_valid_witness_has_no_violation",
            "tests/prover/operators/test_check.py::test_no_changed_value_survives",
            "tests/prover/operators/test_uniqueness.py",
            "tests/prover/operators/test_norms.py",
            "tests/prover/operators/test_attend.py",
            "tests/prover/operators/test_exponential.py",
            "tests/prover/operators/test_routing.py",
            "tests/prover/operators/test_head_pair.py",
            "tests/tampering/test_head_tiles.py::test_a_lie_has_no_witness",
            "tests/prover/operators/test_matmul.py",
            "tests/prover/operators/test_rotary.py",
            "tests/prover/architectures/test_programs.py",
            "tests/prover/model/test_families.py::test_the_integers_say_what_the_floats_say",
            "tests/prover/operators/test_forger.py",
        ),
        pins=("tests/prover/test_golden_proofs.py::test_a_kept_proof_is_accepted",),
    ),
    "tables": Target(
        "Tables and closed forms",
        (Scope(("prover/tables.py",)),),
        tests=(
            "tests/prover/test_tables.py",
            "tests/prover/test_function_tables.py",
            "tests/prover/operators/test_ranges.py",
            "tests/prover/operators/test_meaning.py",
            "tests/prover/operators/test_check.py::test_valid_witness_has_no_violation",
        ),
        pins=("tests/prover/test_golden_proofs.py::test_a_kept_proof_is_accepted",),
    ),
    "solidity-verifier": Target(
        "Solidity verifier",
        (
            Scope(
                tuple(
                    f"verifier_gen/templates/{name}"
                    for name in (
                        "step_verifier.sol",
                        "transcript.yul",
                        "sumcheck.yul",
                        "closed_forms.yul",
                        "claims.yul",
                        "commitments.yul",
                        "mercury.yul",
                        "embedding_verifier.sol",
                    )
                ),
                solidity_mutants,
            ),
            Scope(
                tuple(
                    f"verifier_gen/{name}.py"
                    for name in (
                        "layout",
                        "statement_section",
                        "expressions",
                        "final_value",
                        "claim_products",
                        "claim_sections",
                    )
                ),
                generator_mutants,
                without=r"describe|_bits|_power_names|Memory\.constants",
            ),
            Scope(
                ("verifier_gen/generator.py",),
                generator_mutants,
                only=r"step_verifier|embedding_verifier|_srs_words|_labels|_selectors?",
            ),
        ),
        tests=(
            "tests/verifier_gen/test_templates.py",
            "tests/verifier_gen/test_layout.py",
            "tests/verifier_gen/test_closed_forms.py",
            "tests/verifier_gen/test_claim_sections.py",
            "tests/verifier_gen/test_coefficients.py",
            "tests/verifier_gen/test_golden_proofs.py",
            f"--deselect={_GAS}",
            "tests/verifier_gen/test_expressions.py",
            "tests/oracles/test_fiat_shamir.py::test_the_byte_code_hashes_the_same_bytes",
        ),
    ),
    "dispute-game": Target(
        "Dispute contracts",
        (
            Scope(
                (
                    "contracts/src/DisputeGame.sol",
                    "contracts/src/ProviderStake.sol",
                    "contracts/src/InferenceLedger.sol",
                    "contracts/src/Openings.sol",
                    "contracts/src/Guardian.sol",
                    "contracts/src/ModelRegistry.sol",
                    "contracts/src/adapters/ResponseProofVerifier.sol",
                    "contracts/src/adapters/ResponseValidator.sol",
                    "contracts/src/adapters/StepProofVerifier.sol",
                    "contracts/src/Receipts.sol",
                    "contracts/src/Payments.sol",
                    *(
                        f"contracts/src/libraries/{name}.sol"
                        for name in (
                            "Bisection",
                            "Boundary",
                            "ChessClock",
                            "Claims",
                            "Leaves",
                            "Parameters",
                            "Refutations",
                            "ResponseRules",
                            "Statements",
                            "TokenIds",
                            "VerifierCall",
                        )
                    ),
                ),
                solidity_mutants,
                without=r"devnet|l1|l2",
            ),
        ),
        commands=(
            ("test", "--fail-fast", "--no-match-test", "invariant"),
            ("test", "--fail-fast", "--match-test", "invariant"),
        ),
        nearest={
            "contracts/src/Guardian.sol": "contracts/test/Guardian.t.sol",
            "contracts/src/libraries/Parameters.sol": "contracts/test/ParameterLimits.t.sol",
            "contracts/src/libraries/Claims.sol": "contracts/test/Claims.t.sol",
            "contracts/src/libraries/Refutations.sol": "contracts/test/RefuteClaim.t.sol",
            **{
                f"contracts/src/adapters/{name}.sol": "contracts/test/Adapters.t.sol"
                for name in ("ResponseProofVerifier", "ResponseValidator", "StepProofVerifier")
            },
        },
    ),
}
