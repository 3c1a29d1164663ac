"""Rings in shared memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .channel import Channel, Spec


class FasterFifo(Channel):
    id, title, code = "faster-fifo", "faster-fifo", "import faster_fifo"
    own_depth = True

    def __init__(self, spec: Spec) -> None:
        import faster_fifo

        super().__init__(spec)
        raw = {} if spec.pickled else {"dumps": lambda item: item, "loads": bytes}
        depth = {"maxsize": spec.depth} if spec.depth else {}
        self.queue: Any = faster_fifo.Queue(**raw, **depth)

    def sender(self) -> Callable[[Any], Any]:
        return self.queue.put

    def receiver(self) -> Callable[[], Any]:
        return self.queue.get

    def timed_receiver(self) -> Callable[[float], Any]:
        return partial(self.queue.get, True)
