"""Whatever the company, a sequence gets the integers that it gets alone: random joins, leaves, pieces, refusals and shared beginnings."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest

from prover.model.batch import Batch, Request, Running, run_pass
from prover.model.errors import GenerationCancelledError, SequenceTooLongError, TokenError
from prover.model.execute import Executor, Generation
from prover.model.library import BUILT_IN, load_model
from prover.model.row_blocks import RowBlocks, bytes_per_block
from prover.model.trace import Trace, traces
from prover.model.weights import IntegerModel
from prover.program import WINDOW_ROWS
from prover.sampling import SCALES, Sampling
from tests.prover.model.leaving_model import leaving

_OFTEN = ("tiny", "tiny-mixtral", "tiny-deepseek-v3", "tiny-gemma3")
"""Plain attention, experts, latent attention, a limited reach; the others are made of the same operators."""
FAMILIES = [
    pytest.param(name, marks=[] if name in _OFTEN else [pytest.mark.long])
    for name in BUILT_IN
    if name.startswith("tiny")
]
LEAVERS = (200, 201)


@cache
def leaver(family: str) -> Executor:
    """Two tokens take a row out of range, in two layers, where the family has a norm in front of its matrices."""
    model = load_model(family)
    if family == "tiny-olmo2":
        return Executor(model)
    exits = {}
    for layer, token in enumerate(LEAVERS):
        # every row meets a layer's router, as it does not every expert
        names = model.weights.layers[layer]
        exits[token] = layer, next(name for name in ("w_router", "w_gate", "w_query") if name in names)
    return Executor(leaving(model, exits))


def alone(executor: Executor, request: Request) -> Generation | Exception:
    try:
        return executor.generate(request.prompt, request.max_tokens, sampling=request.sampling)
    except Exception as error:
        return error


def requests(executor: Executor, draw: random.Random, count: int) -> list[Request]:
    """Greedy and sampled ones, some that leave their range, some that begin like others, in their scope or another."""
    positions = executor.model.config.max_positions
    text = [draw.randrange(200) for _ in range(positions)]
    made = []
    for number in range(count):
        alike = number % 3 == 0
        length = draw.randrange(40 if alike else 1, min(90, positions - 12))
        prompt = text[:length] if alike else [draw.randrange(200) for _ in range(length)]
        if number % 5 == 4:
            prompt[draw.randrange(length)] = LEAVERS[number % 2]
        sampling = None
        if number % 2 and executor.model.logit_scale in SCALES:
            sampling = Sampling(800, draw.randrange(1 << 60), draw.choice([0, 50]))
        scope = b"one" if alike else (b"two", None)[number % 2]
        made.append(Request(prompt, draw.randrange(1, 12), sampling, scope=scope))
    return made


def run_together(batch: Batch, wanted: list[Request], draw: random.Random) -> dict[int, Running]:
    """Requests join when chance and memory let them, and all run until they end."""
    waiting, ended = list(wanted), {}
    while waiting or batch.running:
        while waiting and draw.random() < 0.6:
            if batch.admit(waiting[0]) is None:
                break
            waiting.pop(0)
        for sequence in batch.step(draw.choice([32, 64, 256])):
            ended[id(sequence.request)] = sequence
    return ended


@pytest.mark.parametrize("family", FAMILIES)
def test_company_changes_nothing(family: str) -> None:
    executor, draw = leaver(family), random.Random(family)
    wanted = requests(executor, draw, 16)
    expected = [alone(executor, request) for request in wanted]
    batch = Batch(executor, RowBlocks(20, executor.model.config.layers))
    ended = run_together(batch, wanted, draw)
    refusals = 0
    for request, right in zip(wanted, expected, strict=True):
        found = ended[id(request)]
        if isinstance(right, Exception):
            refusals += 1
            assert type(found.failure) is type(right)
        else:
            assert found.result == right
    assert refusals >= 2 or family == "tiny-olmo2"
    assert batch.blocks.available == 20 and not batch.running
    assert batch.reused_rows > 0, "the same beginning was fed again"


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_company_changes_nothing_however_it_comes(seed: int) -> None:
    executor, draw = leaver("tiny"), random.Random(seed)
    wanted = requests(executor, draw, 60)
    expected = [alone(executor, request) for request in wanted]
    ended = run_together(Batch(executor, RowBlocks(40, 2)), wanted, draw)
    for request, right in zip(wanted, expected, strict=True):
        found = ended[id(request)]
        assert type(found.failure) is type(right) if isinstance(right, Exception) else found.result == right


def test_rows_of_a_pass_are_those_of_each_alone(executor: Executor) -> None:
    """Without blocks: whole sequences side by side, as a challenger runs them."""
    draw = np.random.default_rng(1)
    pieces = [executor.embed(draw.integers(0, 200, length).tolist()) for length in (1, 31, 32, 40, 64)]
    outcomes = run_pass(executor, pieces, [0] * len(pieces))
    for piece, outcome in zip(pieces, outcomes, strict=True):
        assert np.array_equal(outcome.rows, executor.feed_rows(piece, executor.start()))


@pytest.mark.parametrize("family", FAMILIES)
def test_traces_that_are_made_together_are_those_of_each_alone(family: str) -> None:
    executor, draw = leaver(family), random.Random(family)
    texts = [[draw.randrange(200) for _ in range(length)] for length in (1, 40, 64, 33, 70)]
    texts[1][7], texts[4][69] = LEAVERS
    for ids, trace in zip(texts, traces(executor, texts), strict=True):
        right = Trace(executor, ids)
        assert str(trace.refusal and trace.refusal.error) == str(right.refusal and right.refusal.error)
        last = right.steps if right.refusal is None else right.refusal.step
        for index in (0, 1, last):
            for stream in executor.model.config.streams:
                windows = right.known_windows(index, stream.name)
                assert trace.known_windows(index, stream.name) == windows
                for window in range(windows):
                    assert np.array_equal(
                        trace.window(index, window, stream.name), right.window(index, window, stream.name)
                    )


def test_a_cancelled_sequence_leaves_the_others_and_its_blocks_at_once(executor: Executor) -> None:
    gone = [False]
    batch = Batch(executor, RowBlocks(4, executor.model.config.layers))
    stays = batch.admit(Request([1, 2, 3], 6, end_ids=()))
    leaves = batch.admit(Request([4] * 40, 40, end_ids=(), cancelled=lambda: gone[0]))
    assert stays and leaves and batch.admit(Request([5], 1)) is None, "all blocks are taken"
    batch.step(32)
    gone[0] = True
    assert batch.step(32) == [leaves] and isinstance(leaves.failure, GenerationCancelledError)
    assert batch.admit(Request([5], 1)) is not None
    while stays.result is None:
        batch.step(32)
    assert stays.result == executor.generate([1, 2, 3], 6, end_ids=())


def test_a_prompt_is_shared_in_its_scope_only_and_never_a_block_that_is_not_full(executor: Executor) -> None:
    blocks = RowBlocks(16, executor.model.config.layers)
    batch, prompt = Batch(executor, blocks), [int(i) for i in range(70)]

    def reused(ids: list[int], scope: bytes | None) -> int:
        sequence = batch.admit(Request(ids, 2, end_ids=(), scope=scope))
        assert sequence is not None
        while not sequence.has_ended:
            batch.step(64)
        return sequence.reused

    assert reused(prompt, b"a") == 0
    assert reused(prompt, b"a") == 64
    assert reused(prompt, b"b") == 0 and reused(prompt, None) == 0
    assert reused(prompt[:64], b"a") == 32, "the last token has yet to be fed"
    assert reused([9, *prompt[1:]], b"a") == 0
    assert reused(prompt[:40], b"a") == 32


def test_blocks_that_nobody_uses_make_room_the_longest_unused_first() -> None:
    blocks = RowBlocks(4, 1)
    first = blocks.reserve([], 2)
    assert first is not None
    blocks.name(int(first[0]), b"first"), blocks.name(int(first[1]), b"second")
    blocks.release(first)
    assert blocks.available == 4
    again = blocks.reserve([int(first[0])], 3)  # its own, and the two that were never used
    assert again is not None and int(first[1]) not in again.tolist()
    assert blocks.reserve([], 2) is None
    last = blocks.reserve([], 1)
    assert last is not None and last.tolist() == [int(first[1])]


@dataclass
class UntilThree:
    """Ends an answer with its third token."""

    wants_logits: bool
    seen: list[tuple[int, np.ndarray | None]] = field(default_factory=list)

    def chosen(self, token: int, logits: np.ndarray | None) -> bool:
        self.seen.append((token, logits))
        return len(self.seen) == 3


@pytest.mark.parametrize("wants_logits", [True, False])
def test_a_watch_sees_every_token_and_may_end_the_answer(executor: Executor, wants_logits: bool) -> None:
    batch, watch, told = (
        Batch(executor, RowBlocks(8, executor.model.config.layers)),
        UntilThree(wants_logits),
        [],
    )
    request = Request(
        [1, 2, 3], 30, end_ids=(), watch=watch, on_token=lambda token: told.append(len(watch.seen))
    )
    sequence = batch.admit(request)
    assert sequence is not None
    while not sequence.has_ended:
        batch.step(32)
    assert sequence.result is not None and sequence.result.finish_reason == "stop"
    assert sequence.result.ids == executor.generate([1, 2, 3], 3, end_ids=()).ids
    assert [token for token, _ in watch.seen] == sequence.result.ids
    assert told == [1, 2, 3]  # the watch knows a token before the request is told
    for token, logits in watch.seen:
        assert (logits is not None) == wants_logits and (logits is None or int(logits.argmax()) == token)


def test_a_hook_that_breaks_ends_its_own_sequence_only(executor: Executor) -> None:
    def breaks(token: int) -> None:
        raise RuntimeError("it is gone")

    batch = Batch(executor, RowBlocks(8, executor.model.config.layers))
    bad, good = batch.admit(Request([1], 3, on_token=breaks)), batch.admit(Request([1], 3, end_ids=()))
    assert bad and good
    while not good.has_ended:
        batch.step(32)
    assert isinstance(bad.failure, RuntimeError) and good.result is not None


@pytest.mark.parametrize(
    ("prompt", "tokens", "error"),
    [
        ([], 1, TokenError),
        ([1], 0, TokenError),
        ([10**6], 1, TokenError),
        ([1] * 60, 10, SequenceTooLongError),
    ],
)
def test_bad_requests_are_refused_before_they_join(
    executor: Executor, prompt: list[int], tokens: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Batch(executor, RowBlocks(2, executor.model.config.layers)).check(Request(prompt, tokens))


@pytest.mark.parametrize("family", ["tiny", "tiny-deepseek-v3"])
def test_the_memory_of_a_block_is_known_beforehand(family: str) -> None:
    model: IntegerModel = load_model(family)
    batch = Batch(Executor(model), RowBlocks(2, model.config.layers))
    assert batch.admit(Request([1] * 3, 2))
    batch.step(32)
    taken = sum(pool.nbytes for pools in batch.blocks._pools for pool in pools.values())
    assert taken <= 2 * bytes_per_block(model.config) <= 4 * taken
    assert WINDOW_ROWS == 32
