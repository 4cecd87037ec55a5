"""The cost of an undisputed response does not depend on how many share its batch, but for the division."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from devnet.bench_cli import app
from devnet.benchmarks.posting import PostingCost, measure_posting

#: What docs/reference.md promises of a whole batch, with room for compilers.
_POST_GAS, _FINALISE_GAS = 250_000, 60_000


def test_a_batch_costs_the_same_whatever_it_holds() -> None:
    one, many = measure_posting((1, 4096))
    assert (one.responses, many.responses) == (1, 4096)
    for cost in (one, many):
        assert 21_000 < cost.post_gas < _POST_GAS and 21_000 < cost.finalise_gas < _FINALISE_GAS
    assert abs(one.post_gas - many.post_gas) < 1_000  # zero bytes of calldata are cheaper than others
    assert many.gas_per_response < 100 < one.gas_per_response / 1_000


def test_the_command_prints_what_was_measured() -> None:
    result = CliRunner().invoke(app, ["posting", "--size", "3", "--json"], catch_exceptions=False)
    (row,) = json.loads(result.stdout)
    cost = PostingCost(row["responses"], row["post_gas"], row["finalise_gas"])
    assert cost.responses == 3 and row["gas_per_response"] == round(cost.gas_per_response, 1)
