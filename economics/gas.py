"""Gas of what the parties send: one table for the command, the documents and the simulation.

`tests/economics/test_gas.py` measures the entries that say so on Anvil and fails when one is off by more than a fifth.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GasTable:
    """Gas of whole transactions.

    `post_batch`, `finalise_batch`: measured, any number of answers in the batch, a provider that has posted before.
    `commit_opening`, `provider_moves`: measured, of a dispute about an MLP step of SmolLM2 (`make demo`).
    `challenger_moves`: between an opening and a challenge (314,000), where the provider concedes or proves, and these with the
    `timeout` of a provider that is silent (518,000); each window of the answer adds 400 to 640, so that 16,384 tokens add 310,000.
    `ask`, `show`: measured with 256 tokens; an ask costs a quarter less while others wait for an answer.
    """

    post_batch: int = 215_000
    finalise_batch: int = 39_000
    commit_opening: int = 46_000
    challenger_moves: int = 450_000
    provider_moves: int = 750_000
    ask: int = 137_000
    show: int = 106_000

    @property
    def challenger(self) -> int:
        """Everything that a challenger sends about one response."""
        return self.commit_opening + self.challenger_moves

    @property
    def undisputed_batch(self) -> int:
        return self.post_batch + self.finalise_batch


GAS = GasTable()
