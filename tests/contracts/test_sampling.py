"""The sampling rule in Solidity and in Python: the same integers at random points, and at the ends of every range."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.bindings.compiler import compile_sources
from contracts.bindings.contract import BoundContract
from contracts.bindings.deployment import deploy_contract
from contracts.bindings.model_registry import TokenPair
from contracts.protocol.sampling import GREEDY, describe_sampling, sampling_of, sampling_word, unpack_sampling
from prover.sampling import (
    MOST_TEMPERATURE,
    SCALES,
    UNIT,
    Sampling,
    SamplingError,
    fixed_logarithm,
    gumbel,
    head_publics,
)
from tests.contracts.local_chain import LocalChain

_SOURCE = """
pragma solidity ^0.8.28;
import {TokenPair} from "contracts/src/interfaces/IModelRegistry.sol";
import {GumbelNoise} from "contracts/src/libraries/GumbelNoise.sol";
import {Sampling} from "contracts/src/libraries/Sampling.sol";

contract SamplingRules {
    function noises(uint256[3][] calldata points) external pure returns (int256[] memory all) {
        all = new int256[](points.length);
        for (uint256 i = 0; i < all.length; ++i) {
            all[i] = Sampling.noise(points[i][0], points[i][1], points[i][2]);
        }
    }
    function gumbels(uint256[] calldata words) external pure returns (int256[] memory all) {
        all = new int256[](words.length);
        for (uint256 i = 0; i < all.length; ++i) all[i] = GumbelNoise.gumbel(words[i]);
    }
    function logarithms(uint256[] calldata values) external pure returns (int256[] memory all) {
        all = new int256[](values.length);
        for (uint256 i = 0; i < all.length; ++i) all[i] = GumbelNoise.logarithm(values[i]);
    }
    function cuts(uint256[] calldata shares) external pure returns (int256[] memory all) {
        all = new int256[](shares.length);
        for (uint256 i = 0; i < all.length; ++i) all[i] = Sampling.cut(shares[i]);
    }
    function parse(bytes32 word, uint256 scale) external pure returns (bool, uint256) {
        return Sampling.parse(word, scale);
    }
    function pair(TokenPair calldata p, uint256 scale) external pure returns (bool, uint256, uint256) {
        return Sampling.pair(p, scale);
    }
}
"""
_ENDS = [0, 1, 2, (1 << 63) - 1, 1 << 63, (1 << 64) - 2, (1 << 64) - 1]
_SEEDS = st.sampled_from(_ENDS) | st.integers(0, (1 << 64) - 1)
_RULES = st.builds(
    Sampling,
    temperature=st.sampled_from([1, UNIT, MOST_TEMPERATURE]) | st.integers(1, MOST_TEMPERATURE),
    seed=_SEEDS,
    min_p=st.sampled_from([0, 0, 1, UNIT]) | st.integers(0, UNIT),
)
_TOKENS = st.sampled_from([0, 3, 4, (1 << 32) - 1]) | st.integers(0, (1 << 32) - 1)


@pytest.fixture(scope="module")
def rules(local_chain: LocalChain) -> BoundContract:
    artifact = compile_sources({"SamplingRules.sol": _SOURCE})["SamplingRules"]
    address = deploy_contract(local_chain.sender(5), artifact, key="sampling rules")
    return BoundContract(local_chain.chain, address, artifact)


def _many(count: int) -> list[int]:
    generator = random.Random(7)
    return [generator.getrandbits(64) >> generator.choice([0, 0, 8, 40]) for _ in range(count)]


def test_noise_is_the_same_in_both_languages(rules: BoundContract) -> None:
    words = _ENDS + _many(400) + [(1 << 64) - 1 - word for word in _many(200)]
    assert list(rules._read("gumbels", words)) == [gumbel(word) for word in words]
    values = [
        1,
        2,
        3,
        (1 << 118) - 1,
        *(1 + (a << 53 ^ b) for a, b in zip(words, reversed(words), strict=True)),
    ]
    assert list(rules._read("logarithms", values)) == [fixed_logarithm(value) for value in values]
    points = [[word, word % 16_384, word % (1 << 32)] for word in words[:300]]
    expected = [Sampling(1, seed).noise(position, token) for seed, position, token in points]
    assert list(rules._read("noises", points)) == expected
    shares = [*range(1, UNIT + 1, 7), UNIT]
    assert list(rules._read("cuts", shares)) == [Sampling(1, 0, share).cut for share in shares]


@settings(max_examples=40, deadline=None)
@given(
    rule=st.none() | _RULES,
    scale=st.sampled_from(SCALES),
    position=st.integers(0, (1 << 14) - 1),
    chosen=_TOKENS,
    rival=_TOKENS,
    winner=st.none() | _TOKENS,
)
def test_pairs_are_the_same_in_both_languages(
    rules: BoundContract,
    rule: Sampling | None,
    scale: int,
    position: int,
    chosen: int,
    rival: int,
    winner: int | None,
) -> None:
    word = sampling_word(rule)
    is_rule, packed = rules._read("parse", word, scale)
    assert is_rule and sampling_of(word, scale) == unpack_sampling(packed) == rule
    asked = TokenPair(packed, position, chosen, rival, chosen if winner is None else winner)
    is_pair, factor, offset = rules._read("pair", asked, scale)
    if winner not in (None, chosen) and (rule is None or not rule.min_p):
        assert not is_pair
        return
    assert is_pair
    assert {"factor": factor, "offset": offset} == head_publics(rule, scale, position, chosen, rival, winner)


@settings(max_examples=40, deadline=None)
@given(
    word=st.binary(min_size=32, max_size=32)
    | st.integers(0, (1 << 98) - 1).map(lambda value: value.to_bytes(32, "big"))
    | _RULES.map(sampling_word)
    | st.just(GREEDY),
    scale=st.integers(0, 255) | st.sampled_from(SCALES),
)
def test_what_is_no_rule_is_none_in_both_languages(rules: BoundContract, word: bytes, scale: int) -> None:
    try:
        sampling_of(word, scale)
        known = True
    except SamplingError:
        known = False
    assert rules._read("parse", word, scale)[0] == known


def test_a_rule_is_described_as_it_was_asked_for() -> None:
    assert describe_sampling(Sampling(700, 42)) == "temperature=0.7 seed=42"
    assert (
        describe_sampling(Sampling(1250, 2**64 - 1, 50))
        == "temperature=1.25 seed=18446744073709551615 min_p=0.05"
    )
    assert describe_sampling(None) == "greedy"
