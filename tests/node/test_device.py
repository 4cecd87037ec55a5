"""A provider that runs its model by torch gives the same answers, and refuses a device that cannot be when it starts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from node.model_loading import load_serving
from node.serving import CommittedServing, inference_queue
from node.settings import load_settings
from prover.model.devices import open_device
from prover.model.errors import MissingDeviceError, UnknownDeviceError
from prover.model.execute import Executor
from prover.model.torch_arrays import TorchArrays
from prover.model.weights import IntegerModel


def test_answers_are_made_on_the_device(tiny: IntegerModel) -> None:
    nothing: Any = None  # neither commitment nor reference string is needed to answer
    serving = CommittedServing("tiny", tiny, nothing, nothing, b"", device=open_device("cpu"))
    queue = inference_queue(load_settings(kv_cache_mib=4), serving)
    texts = [[1, 2, 3], [4, 5, 6, 7]]

    async def story() -> list[list[int]]:
        queue.start()
        jobs = [queue.submit(prompt, 5) for prompt in texts]
        found = [[token async for token in job.tokens()] for job in jobs]
        queue.close()
        return found

    assert asyncio.run(story()) == [Executor(tiny).generate(prompt, 5).ids for prompt in texts]
    assert serving.executor is serving.executor and isinstance(serving.executor.arrays, TorchArrays)


@pytest.mark.parametrize(("name", "refusal"), [("gpu", UnknownDeviceError), ("cuda:99", MissingDeviceError)])
def test_a_device_that_cannot_be_is_refused_before_anything_is_loaded(
    name: str, refusal: type[Exception]
) -> None:
    untouched: Any = None
    with pytest.raises(refusal, match=name):
        load_serving(load_settings(device=name), untouched)
