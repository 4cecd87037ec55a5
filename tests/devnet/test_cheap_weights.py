"""A cheap copy of any family's model is contested where it first differs."""

from __future__ import annotations

import numpy as np
import pytest

from devnet.scenarios.cheap_weights import requantised
from devnet.scenarios.forged_proofs import MATRICES, first_cheap_step
from prover.model.library import BUILT_IN, built_in_model
from prover.model.weights import IntegerModel
from prover.model_commitment import padded_weights


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name.startswith("tiny") else pytest.mark.long) for name in BUILT_IN],
)
def test_the_first_cheap_step_is_the_first_that_differs(name: str) -> None:
    model = IntegerModel.from_float(built_in_model(name))
    cheap = requantised(model, 0, MATRICES, bits=2)
    differ = [
        step
        for step in range(len(model.config.schedule))
        if any(
            np.any(mine != theirs)
            for mine, theirs in zip(
                padded_weights(model, step).values(), padded_weights(cheap, step).values(), strict=True
            )
        )
    ]
    assert first_cheap_step(model, 0) == differ[0]
