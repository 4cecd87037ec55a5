"""A small model of the same architecture, made from a seed, so that tests run in milliseconds.

Its weights come from the raw PCG64 stream (which NumPy guarantees) as small integers over a power of two: they
are exact in float32, and no library's floating-point sum decides an integer. Sizes are chosen to exercise what
powers of two would hide: 160 hidden channels, 259 tokens.
"""

from __future__ import annotations

from ..architectures.llama import LlamaConfig
from .float_model import FloatLayer, FloatModel
from .seeded import SEED, Draw
from .token_models import CONTROL, NORMAL, byte_alphabet
from .tokenizer import Tokenizer, TokenizerSpecification

CONFIG = LlamaConfig(
    layers=2,
    hidden=64,
    heads=4,
    kv_heads=2,
    head_size=16,
    feed_forward=160,
    vocabulary=259,
    rope_base=10_000,
    norm_epsilon=1e-5,
    max_positions=256,
)

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# Largest absolute value of each matrix. Standard deviation is this over sqrt(3), so a product with a normalised
# input of width 64 has about 4.6 times it: so queries and keys are of size 2, scores of size 4.
_AMPLITUDE = {
    "w_query": 0.5,
    "w_key": 0.5,
    "w_value": 0.25,
    "w_output": 0.5,
    "w_gate": 0.5,
    "w_up": 0.5,
    "w_down": 0.5,
}


def tiny_model(seed: int = SEED) -> FloatModel:
    """The tiny model of a seed. The head is not tied to the embedding: a random tied head repeats its input."""
    draw = Draw(seed)
    sizes = CONFIG
    layers = [
        FloatLayer(
            {
                "attention_norm": 1.0 + draw.uniform((sizes.hidden,), 0.5),
                "mlp_norm": 1.0 + draw.uniform((sizes.hidden,), 0.5),
                **{
                    name: draw.uniform(sizes.matrix_shapes[name], amplitude)
                    for name, amplitude in _AMPLITUDE.items()
                },
            }
        )
        for _ in range(sizes.layers)
    ]
    return FloatModel(
        name="tiny",
        config=sizes,
        tokenizer=tiny_tokenizer(),
        embedding=draw.uniform((sizes.vocabulary, sizes.hidden), 1.0),
        layers=layers,
        final_norm=1.0 + draw.uniform((sizes.hidden,), 0.5),
        head=draw.uniform((sizes.vocabulary, sizes.hidden), 1.0),
    )


def tiny_tokenizer() -> Tokenizer:
    """One token per byte, then three control tokens."""
    alphabet = byte_alphabet()
    specials = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    return Tokenizer(
        TokenizerSpecification(
            tokens=(*(alphabet[byte] for byte in range(256)), *specials),
            token_types=(NORMAL,) * 256 + (CONTROL,) * len(specials),
            merges=(),
            pre_tokenizer="smollm",
            bos_id=257,
            eos_id=258,
            chat_template=CHAT_TEMPLATE,
        )
    )
