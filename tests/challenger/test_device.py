"""A challenger that runs answers again by torch comes to the same roots and the same verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from challenger.local_models import load_local_model
from prover.model.errors import MissingDeviceError, UnknownDeviceError
from prover.model.torch_arrays import TorchArrays


def test_traces_by_torch_have_the_same_roots() -> None:
    """Alone, and several in one pass; a wrong token is found where it is."""
    without, by_torch = load_local_model("tiny"), load_local_model("tiny", device="cpu")
    prompt = [7, 8, 9] * 12
    right = without.replay(prompt, [0], None).argmax(len(prompt) - 1)
    assert right is not None
    asked = [(prompt, [right], None), (prompt, [(right + 1) % 200], None)]
    assert by_torch.replay_together is not None
    together = by_torch.replay_together(asked)
    for made, (ids, output, rule) in zip(together, asked, strict=True):
        expected = without.replay(ids, output, rule)
        found = by_torch.replay(ids, output, rule)
        assert isinstance(found._executor.arrays, TorchArrays)  # type: ignore[attr-defined]
        for trace in (found, made):
            assert trace.predictions == expected.predictions
            for index in (0, 3):
                assert trace.stream_roots(index) == expected.stream_roots(index)


@pytest.mark.parametrize(("name", "refusal"), [("gpu", UnknownDeviceError), ("cuda:99", MissingDeviceError)])
def test_a_device_that_cannot_be_is_refused_before_anything_is_committed(
    name: str, refusal: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(refusal, match=name):
        load_local_model("tiny", commitments=tmp_path, device=name)
    assert not list(tmp_path.iterdir())
