"""Which responses are drawn."""

from __future__ import annotations

import pytest

from challenger.errors import PolicyError
from challenger.policies import BySuspicion, Candidate, drawn, parse_policy, repetitive

_SECRET = b"s" * 32


def candidate(**changes: object) -> Candidate:
    known = dict(
        leaf=b"\1" * 32,
        provider="0x" + "11" * 20,
        fee_wei=100,
        locked_stake_wei=10,
        prompt_ids=[1],
        output_ids=list(range(40)),
    )
    return Candidate(**(known | changes))  # type: ignore[arg-type]


def test_a_random_share_is_a_share_and_a_secret() -> None:
    leaves = [number.to_bytes(32, "big") for number in range(4_000)]
    mine = [leaf for leaf in leaves if drawn(0.25, leaf, _SECRET)]
    assert 0.22 < len(mine) / len(leaves) < 0.28
    assert mine == [leaf for leaf in leaves if drawn(0.25, leaf, _SECRET)]
    assert mine != [leaf for leaf in leaves if drawn(0.25, leaf, b"t" * 32)]
    assert all(drawn(1.0, leaf, _SECRET) for leaf in leaves)
    assert not any(drawn(0.0, leaf, _SECRET) for leaf in leaves)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("all", 1.0),
        ("random:0.25", 0.25),
        ("fee:100", 1.0),
        ("fee:101:0.1", 0.1),
        ("stake:10", 1.0),
        ("stake:9", 0.0),
        ("suspicion:0.2", 0.2),
    ],
)
def test_policies_by_name(text: str, share: float) -> None:
    assert parse_policy(text).share(candidate()) == share


@pytest.mark.parametrize("text", ["", "every", "random", "random:2", "fee:x", "all:1", "suspicion:0:0:0"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(PolicyError, match="random:SHARE"):
        parse_policy(text)


def test_suspicion_grows_with_each_sign() -> None:
    policy = BySuspicion(base=0.05, least_s_per_token=0.1)
    normal = candidate(latency_s=10.0)
    assert policy.share(normal) == 0.05
    assert policy.share(candidate(latency_s=10.0, repeats=3)) == 0.75
    assert policy.share(candidate(latency_s=0.4)) == pytest.approx(0.9)
    looped = candidate(output_ids=[1, 2, 3, 4] * 20, latency_s=10.0)
    assert policy.share(looped) == repetitive(looped.output_ids) > 0.9
    assert policy.share(candidate(latency_s=2.0, repeats=1)) > 0.7
    assert policy.share(candidate(latency_s=None)) == 0.05
