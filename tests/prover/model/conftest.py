"""The tiny model, built once per test process."""

from __future__ import annotations

import pytest

from prover.model.execute import Executor
from prover.model.float_model import FloatModel
from prover.model.tiny import tiny_model
from prover.model.weights import IntegerModel


@pytest.fixture(scope="session")
def float_model() -> FloatModel:
    return tiny_model()


@pytest.fixture(scope="session")
def model(float_model: FloatModel) -> IntegerModel:
    return IntegerModel.from_float(float_model)


@pytest.fixture(scope="session")
def executor(model: IntegerModel) -> Executor:
    return Executor(model)
