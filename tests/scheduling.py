"""Which worker of pytest-xdist runs which file.

A worker makes for itself what tests share for a session: a chain with the deployed contracts, a committed model,
compiled verifiers. Files of a folder share most of it. So the workers take files in the order of folders, one worker
from the front and the next one from the back, until they meet: together they make nearly everything once.
"""

from __future__ import annotations

from typing import Any

from xdist.scheduler.loadscope import LoadScopeScheduling


class FromBothEnds(LoadScopeScheduling):  # type: ignore[misc]
    """`--dist loadscope` in the order of collection, from both of its ends."""

    def __init__(self, config: Any, log: Any) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _assign_work_unit(self, node: Any) -> None:
        if self.nodes.index(node) % 2:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)
