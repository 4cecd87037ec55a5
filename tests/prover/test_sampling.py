"""The sampling rule: its noise against other implementations, its choices against exact scores, its frequencies against softmax."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
import torch

from prover.sampling import (
    KEY_WORD,
    MOST_TEMPERATURE,
    NOISE_BITS,
    SCALES,
    UNIT,
    ZERO,
    Sampling,
    SamplingError,
    fixed_logarithm,
    gumbel,
    head_publics,
    philox,
)

SCALE = 24
WORDS = [0, 1, 2, (1 << 63) - 1, 1 << 63, (1 << 64) - 3, (1 << 64) - 2, (1 << 64) - 1]
generator = np.random.default_rng(41)


def exact_score(rule: Sampling, logits: np.ndarray, position: int, token: int, scale: int) -> int:
    factor, noise_factor = rule.factors(scale)
    return factor * int(logits[token]) + noise_factor * rule.noise(position, token)


def slow_choice(rule: Sampling, logits: np.ndarray, position: int, scale: int) -> int:
    """By the definition, every token exactly."""
    tokens = [v for v in range(len(logits)) if rule.is_candidate(logits, v, scale)]
    return min(tokens, key=lambda v: (-exact_score(rule, logits, position, v, scale), v))


# --- noise --------------------------------------------------------------------------------------------------


def test_philox_is_numpys() -> None:
    rule = Sampling(1, (1 << 64) - 12345)
    words = rule.words(1 << 13, 41)
    for token in range(41):
        block = philox((token // 4 + 1, 1 << 13, 0, 0), (rule.seed, KEY_WORD))
        assert block[token % 4] == int(words[token])


def test_philox_is_the_published_one() -> None:
    """Known answers of Random123 for philox4x64 with ten rounds, digits of pi (kat_vectors)."""
    counter = (0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89)
    key = (0x452821E638D01377, 0xBE5466CF34E90C6C)
    found = philox(counter, key)
    assert found == (0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6)


def test_swapped_counter_words_are_other_noise() -> None:
    rule, token, position = Sampling(1000, 7), 4 * 99, 12
    swapped = philox((position, token // 4 + 1, 0, 0), (rule.seed, KEY_WORD))[0]
    assert gumbel(swapped) != rule.noise(position, token)
    assert rule.noise(position, token) != rule.noise(position + 1, token)
    assert rule.noise(position, token) != Sampling(1000, 8).noise(position, token)


def test_noise_is_minus_log_of_minus_log() -> None:
    with localcontext() as context:
        context.prec = 60
        for word in WORDS + [int(w) for w in generator.integers(0, 1 << 64, 100, np.uint64)]:
            u = (2 * word + 1) / Decimal(2**65)
            real = -((-u.ln()).ln()) * 2**NOISE_BITS
            assert abs(gumbel(word) - real) <= Decimal("0.50001")


def test_logarithms_keep_their_leading_digits() -> None:
    """Next to 1, where u is: relative to the logarithm, which is tiny there."""
    with localcontext() as context:
        context.prec = 60
        for value in ((1 << 65) - 1, (1 << 65) - 12345, (1 << 65) // 3 | 1, 1, 3, (1 << 118) - 1):
            exact = Decimal(value).ln() - 65 * Decimal(2).ln()
            found = (Decimal(fixed_logarithm(value)) - 65 * fixed_logarithm(2)) / 2**112
            assert abs(found - exact) <= abs(exact) * Decimal(2) ** -38 + Decimal(2) ** -106


def test_noise_grows_with_its_word() -> None:
    words = sorted(WORDS + [int(w) for w in generator.integers(0, 1 << 64, 500, np.uint64)])
    noises = [gumbel(word) for word in words]
    assert noises == sorted(noises)
    assert noises[0] > -(1 << 26) and noises[-1] < 1 << 30


def test_floating_noise_is_within_its_margin() -> None:
    rule = Sampling(1000, 5)
    floating = rule._floating_noise(9, 4000)
    exact = np.array([rule.noise(9, v) for v in range(4000)]) * 2.0**-NOISE_BITS
    assert np.abs(floating - exact).max() < 2.0**-24

    class Extremes(Sampling):
        def words(self, position: int, count: int) -> np.ndarray:
            return np.array(WORDS, np.uint64)

    floating = Extremes(1000, 5)._floating_noise(9, len(WORDS))
    assert np.abs(floating - np.array([gumbel(w) for w in WORDS]) * 2.0**-NOISE_BITS).max() < 2.0**-24


# --- the rule -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [SCALES[0], SCALE, SCALES[-1]])
@pytest.mark.parametrize(("temperature", "min_p"), [(1, 0), (700, 50), (16_000, 0), (2_000, 1000)])
def test_the_choice_is_the_exact_one(scale: int, temperature: int, min_p: int) -> None:
    """Found by floating point, decided by integers: also where all logits are equal, or as large as they can be."""
    rows = [
        generator.normal(0, 3 * 2.0**scale, 60).astype(np.int64),
        np.full(60, 77, np.int64),
        generator.integers(-(1 << 49), 1 << 49, 60),
    ]
    rule = Sampling(temperature, int(generator.integers(1 << 62)), min_p)
    found = rule.choose(np.stack(rows), 5, scale)
    assert found.tolist() == [slow_choice(rule, row, 5 + i, scale) for i, row in enumerate(rows)]


def test_equal_scores_go_to_the_smaller_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sampling, "noise", lambda self, position, token: 0)
    monkeypatch.setattr(Sampling, "_floating_noise", lambda self, position, count: np.zeros(count))
    assert Sampling(700, 1).choose(np.array([[4, 9, 9, 1]]), 0, SCALE).tolist() == [1]


def test_a_pair_is_what_the_contract_asks_for() -> None:
    """For every two tokens: the room makes the difference of scores, and against the larger one it is negative."""
    logits = generator.normal(0, 2.0**SCALE, 30).astype(np.int64)
    rule = Sampling(900, 3)
    (best,) = rule.choose(logits[None], 8, SCALE).tolist()
    for other in set(range(30)) - {best}:
        for chosen, rival in ((best, other), (other, best)):
            publics = head_publics(rule, SCALE, 8, chosen, rival)
            margin = publics["factor"] * int(logits[chosen] - logits[rival]) + publics["offset"] - ZERO
            difference = exact_score(rule, logits, 8, chosen, SCALE) - exact_score(
                rule, logits, 8, rival, SCALE
            )
            assert margin == difference - (rival < chosen)
            assert (margin >= 0) == (chosen == best)


@pytest.mark.parametrize("min_p", [1, 50, 600, UNIT])
def test_min_p_leaves_the_rule_s_token_an_answer_to_everybody_and_no_other_one(min_p: int) -> None:
    """Also where the token itself is what excludes a rival, whose noise may be any: some 4 % of such pairs would have none."""
    rows = generator.normal(0, 1.5 * 2.0**SCALE, (60, 6)).astype(np.int64)
    excluded_by_the_token = 0
    for seed, logits in enumerate(rows):
        rule = Sampling(1000, seed, min_p)
        (token,) = rule.choose(logits[None], 8, SCALE).tolist()
        largest = int(logits.argmax())

        def margin(
            chosen: int, rival: int, winner: int, rule: Sampling = rule, logits: np.ndarray = logits
        ) -> int:
            publics = head_publics(rule, SCALE, 8, chosen, rival, winner)
            return publics["factor"] * int(logits[winner] - logits[rival]) + publics["offset"] - ZERO

        for other in set(range(6)) - {token}:
            winner = token if rule.is_candidate(logits, other, SCALE) else largest
            assert margin(token, other, winner) >= 0, (seed, token, other)
            beaten = exact_score(rule, logits, 8, other, SCALE) < exact_score(rule, logits, 8, token, SCALE)
            excluded_by_the_token += winner == token and not beaten
            rival = token if rule.is_candidate(logits, other, SCALE) else largest
            assert all(margin(other, rival, w) < 0 for w in range(6) if w != rival), (seed, other)
    assert excluded_by_the_token > 0 or min_p == 1


def test_greedy_is_no_noise_and_a_factor_of_one() -> None:
    assert head_publics(None, SCALE, 8, 5, 4) == {"factor": 1, "offset": ZERO - 1}
    assert head_publics(None, SCALE, 8, 4, 5) == {"factor": 1, "offset": ZERO}


def test_min_p_is_a_share_of_the_largest_probability() -> None:
    """Tokens just inside and just outside of 5 % at temperature 1.25."""
    rule = Sampling(1250, 3, min_p=50)
    allowed = math.log(20) * 1.25 * 2.0**SCALE
    logits = np.array([1 << 30, (1 << 30) - int(allowed) + 9, (1 << 30) - int(allowed) - 9])
    assert [rule.is_candidate(logits, v, SCALE) for v in range(3)] == [True, True, False]


def test_bounds_hold_at_their_extremes() -> None:
    """Whatever is a rule has factors and offsets that the statement takes, and a margin that four limbs hold."""
    widest = gumbel(WORDS[-1]) - gumbel(0)
    for scale in (SCALES[0], SCALE, SCALES[-1]):
        factor, noise_factor = Sampling(MOST_TEMPERATURE, 0, 1).factors(scale)
        room = max(noise_factor * widest, noise_factor * Sampling(1, 0, 1).cut) + 1
        assert 0 < factor < 1 << 13 and room < 1 << 60
        assert factor * (1 << 50) + room < 1 << 64


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ((0, 1), "temperature"),
        ((-1, 1), "temperature"),
        ((MOST_TEMPERATURE + 1, 1), "temperature"),
        ((700, -1), "seed"),
        ((700, 1 << 64), "seed"),
        ((700, 1, -1), "min_p"),
        ((700, 1, 1001), "min_p"),
    ],
)
def test_what_is_no_rule(fields: tuple[int, ...], names: str) -> None:
    with pytest.raises(SamplingError, match=names):
        Sampling(*fields)


@pytest.mark.parametrize("scale", [SCALES[0] - 1, SCALES[-1] + 1])
def test_a_model_of_another_scale_is_not_sampled(scale: int) -> None:
    with pytest.raises(SamplingError, match="scale"):
        Sampling(700, 1).choose(np.array([[1, 2]]), 0, scale)


# --- true to softmax ----------------------------------------------------------------------------------------


def frequencies(rule: Sampling, logits: np.ndarray, draws: int) -> np.ndarray:
    rows = np.broadcast_to(logits, (draws, len(logits)))
    return np.bincount(rule.choose(rows, 0, SCALE), minlength=len(logits))


def softmax(logits: np.ndarray, temperature: float) -> np.ndarray:
    exponentials = np.exp((logits - logits.max()) * 2.0**-SCALE / temperature)
    return np.asarray(exponentials / exponentials.sum())


def chi_square(counts: np.ndarray, shares: np.ndarray) -> float:
    """How likely a statistic at least as large is; cells of fewer than eight expected draws are put together."""
    expected = counts.sum() * shares
    small = expected < 8
    seen = [*counts[~small], counts[small].sum()]
    due = [*expected[~small], expected[small].sum()]
    statistic = sum((a - b) ** 2 / b for a, b in zip(seen, due, strict=True) if b > 0)
    freedom = max(1, len(seen) - 1)
    return float(torch.special.gammaincc(*torch.tensor([freedom / 2, statistic / 2], dtype=torch.float64)))


@pytest.mark.parametrize(("draws", "size"), [(4_000, 12), pytest.param(150_000, 100, marks=pytest.mark.long)])
@pytest.mark.parametrize("temperature", [700, 1000, 2500])
def test_frequencies_are_those_of_softmax(temperature: int, draws: int, size: int) -> None:
    """A right rule fails this once in 10^5 runs, and the seed is fixed."""
    logits = np.random.default_rng(size).normal(0, 2.0 * 2.0**SCALE, size).astype(np.int64)
    counts = frequencies(Sampling(temperature, 99), logits, draws)
    assert chi_square(counts, softmax(logits, temperature / 1000)) > 1e-5
    assert chi_square(counts, softmax(logits, temperature / 900)) < 1e-5 or draws < 10**5


@pytest.mark.long
def test_min_p_keeps_the_shares_of_what_it_keeps() -> None:
    logits = np.random.default_rng(5).normal(0, 2.0 * 2.0**SCALE, 100).astype(np.int64)
    shares = softmax(logits, 1.0)
    shares[shares < 0.05 * shares.max()] = 0
    counts = frequencies(Sampling(1000, 3, 50), logits, 200_000)
    assert not counts[shares == 0].any()
    assert chi_square(counts, shares / shares.sum()) > 1e-5


@pytest.mark.long
@pytest.mark.parametrize("by", ["tokens", "positions", "seeds"])
def test_noise_is_gumbel_distributed(by: str) -> None:
    """Kolmogorov and Smirnov, along each coordinate of the counter and the key."""
    count = 60_000
    rules = [Sampling(1000, seed) for seed in range(count)] if by == "seeds" else [Sampling(1000, 11)]
    if by == "tokens":
        noise = [rules[0].noise(0, v) for v in range(count)]
    elif by == "positions":
        noise = [rules[0].noise(position, 0) for position in range(count)]
    else:
        noise = [rule.noise(0, 0) for rule in rules]
    shares = np.exp(-np.exp(-np.sort(noise) * 2.0**-NOISE_BITS))
    places = np.arange(count + 1) / count
    distance = max(np.abs(shares - places[1:]).max(), np.abs(shares - places[:-1]).max())
    likely = 2 * sum((-1) ** (k - 1) * math.exp(-2 * count * (k * distance) ** 2) for k in range(1, 50))
    assert likely > 1e-4
