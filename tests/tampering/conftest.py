"""The generated verifiers on an Anvil, as in the tests of the generator."""

from tests.verifier_gen.conftest import artifacts, evm, srs, verifier_of

__all__ = ["artifacts", "evm", "srs", "verifier_of"]
