"""A stage with the tiny model: chain, generated verifiers, honest provider and challenger."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devnet.scenarios.prepared_model import PreparedModel, prepare_model
from devnet.scenarios.stage import Stage, open_stage
from prover.model.weights import IntegerModel


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedModel:
    return prepare_model("tiny", lambda *_: None, tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def tiny(prepared: PreparedModel) -> IntegerModel:
    return prepared.model


@pytest.fixture(scope="session")
def stage(prepared: PreparedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(prepared, tmp_path_factory.mktemp("stage"), lambda _: None) as stage:
        yield stage
