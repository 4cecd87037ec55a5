"""An import beside an independent reader of the same files: the `transformers` library, where it is installed.

`model fidelity` cannot see a setting that was misread, since its float reference reads the files the same way. Here
logits, ids, texts, rendered conversations and end tokens come from the library that the formats belong to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .decoding_check import SAMPLES
from .errors import ChatTemplateError, ImportCheckError, MissingReferenceError, UnusableReferenceError
from .float_model import FloatModel
from .float_reference import float_logits
from .token_models import UNUSED
from .tokenizer import Tokenizer

LOGIT_ROWS = 64
LARGEST_DIFFERENCE = 1e-4  # of the largest logit; float32 sums in another order differ by a hundredth of it

CONVERSATIONS: tuple[tuple[dict[str, str], ...], ...] = (
    ({"role": "user", "content": "Hello"},),
    (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 2 + 2?"},
    ),
    (
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello! Naïve “quotes” 🙂"},
        {"role": "user", "content": "  two  spaces\n"},
    ),
)


@dataclass(frozen=True)
class ImportCheck:
    """What was compared with the reference and agreed."""

    reference: str
    logit_rows: int
    largest_logit_difference: float
    texts: int
    conversations: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check_import(source: Path | str, read: Callable[[Path | str], FloatModel]) -> ImportCheck:
    """Compare what `read` makes of a model's files with what `transformers` makes of them.

    Raises ImportCheckError naming what differs, UnusableReferenceError where the library makes nothing of
    the files, MissingReferenceError without the library, and what `read` raises.
    """
    if not Path(source).is_dir():
        raise ImportCheckError(
            f"{source} is a GGUF file, which transformers reads only in part (it leaves out rotary factors, head sizes and "
            f"windows); check the Hugging Face directory that it was made from"
        )
    model = read(source)
    reference = _Reference(Path(source))
    tokenizer = model.tokenizer
    used = [i for i, kind in enumerate(tokenizer.specification.token_types) if kind != UNUSED]
    length = min(LOGIT_ROWS, model.config.max_positions)
    ids = [int(index) for index in np.random.default_rng(1).choice(used, length)]
    difference = _compare_logits(float_logits(model, ids), reference.logits(ids))
    texts = _compare_texts(tokenizer, reference.tokenizer)
    conversations = _compare_conversations(tokenizer, reference.tokenizer)
    if missed := sorted(set(reference.end_ids()) - set(tokenizer.end_ids)):
        raise ImportCheckError(f"the reference ends an answer at token {missed[0]}, the import does not")
    return ImportCheck(reference.name, len(ids), difference, texts, conversations)


class _Reference:
    """A model and its tokenizer as the library loads them."""

    def __init__(self, path: Path) -> None:
        try:
            import transformers
        except ImportError as error:
            raise MissingReferenceError(
                "an import is checked against the transformers library, which is not installed; "
                "run `pip install transformers`, or import without --check"
            ) from error
        self.name = f"transformers {transformers.__version__}"
        try:
            answer: Any = transformers.AutoModelForCausalLM.from_pretrained(
                path, dtype=torch.float32, output_loading_info=True, local_files_only=True
            )
            self.model: Any = answer[0]
            loaded: Any = answer[1]
            self.model.eval()
            self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
        except Exception as error:  # the library raises whatever it meets
            raise UnusableReferenceError(f"{self.name} cannot load {path}: {_first_line(error)}") from error
        made_up = sorted([*loaded["missing_keys"], *map(str, loaded["mismatched_keys"])])
        if made_up:
            raise UnusableReferenceError(
                f"{self.name} finds no weights for {made_up[0]} in {path} and makes them up"
            )

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        try:
            with torch.no_grad():
                found: np.ndarray = self.model(torch.tensor([list(ids)])).logits[0].float().numpy()
        except Exception as error:  # settings that were loaded but cannot be run
            raise UnusableReferenceError(f"{self.name} cannot run the model: {_first_line(error)}") from error
        return found

    def end_ids(self) -> list[int]:
        ends = self.model.generation_config.eos_token_id
        return [] if ends is None else ends if isinstance(ends, list) else [ends]


def _compare_logits(found: np.ndarray, expected: np.ndarray) -> float:
    width = min(found.shape[1], expected.shape[1])
    difference = float(np.abs(found[:, :width] - expected[:, :width]).max())
    if found.shape != expected.shape or not difference <= LARGEST_DIFFERENCE * max(
        1.0, np.abs(expected).max()
    ):
        raise ImportCheckError(
            f"logits differ from the reference's by up to {difference:.4g} ({found.shape[1]} against "
            f"{expected.shape[1]} of them); the files mean another model than was read"
        )
    return difference


def _compare_texts(ours: Tokenizer, theirs: Any) -> int:
    special = [text for text in (theirs.bos_token, theirs.eos_token) if text]
    texts = [*SAMPLES, "", *(f"a{token}b" for token in special), *(f"{token} c" for token in special)]
    for text in texts:
        expected = theirs(text).input_ids
        if (found := ours.encode(text)) != expected:
            raise ImportCheckError(f"the text {text!r} has ids {found}, the reference's are {expected}")
        expected_text = theirs.decode(expected, skip_special_tokens=True)
        if (decoded := ours.decode(expected)) != expected_text:
            raise ImportCheckError(f"the ids {expected} are {decoded!r}, for the reference {expected_text!r}")
    return len(texts)


def _compare_conversations(ours: Tokenizer, theirs: Any) -> int:
    """Also the refusals: where the reference's template raises, ours must."""
    compared = 0
    for messages in CONVERSATIONS:
        expected = _rendered(theirs, messages)
        try:
            found: tuple[str, list[int]] | None = ours.render_chat(messages), ours.encode_chat(messages)
        except ChatTemplateError:
            found = None
        if found != expected:
            raise ImportCheckError(
                f"the conversation {list(messages)} is {found}, for the reference {expected}"
            )
        compared += expected is not None
    return compared


def _rendered(theirs: Any, messages: Sequence[dict[str, str]]) -> tuple[str, list[int]] | None:
    options = {"add_generation_prompt": True}
    try:
        text = theirs.apply_chat_template(list(messages), tokenize=False, **options)
        return text, theirs.apply_chat_template(list(messages), tokenize=True, return_dict=False, **options)
    except Exception:  # a template raises whatever it likes
        return None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
