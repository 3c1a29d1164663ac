"""Rings in shared memory."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .channel import Channel, Spec, pickling, unpickling


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


class Cloudtoid(Channel):
    """A full ring refuses a message; a receiver sleeps on a semaphore, 5 ms at a time."""

    id, title = "cloudtoid", "cloudtoid-interprocess"
    code = "import cloudtoid_interprocess"
    no_wait_for_room = "put does not wait for room"

    def __init__(self, spec: Spec) -> None:
        from cloudtoid_interprocess import Publisher, Subscriber

        super().__init__(spec)
        room = max(65536, 4 * (spec.limit + 15 & ~7))
        place = (spec.name[1:], room, str(Path(spec.path).parent))
        self.publisher, self.subscriber = partial(Publisher, *place), partial(Subscriber, *place)
        self.owner = self.subscriber()

    def sender(self) -> Callable[[Any], Any]:
        return pickling(self.spec, self.publisher().try_send)

    def receiver(self) -> Callable[[], Any]:
        return unpickling(self.spec, self.subscriber().receive)

    def timed_receiver(self) -> Callable[[float], Any]:
        return self.subscriber().receive

    def remove(self) -> None:
        self.owner.close()


class ZeroQ(Channel):
    """Whoever waits looks again every millisecond."""

    id, title, code = "zeroq", "zeroq", "import zeroq"
    one_size = True

    def __init__(self, spec: Spec) -> None:
        import zeroq

        super().__init__(spec)
        self.empty = (zeroq.Empty,)
        self.open = partial(zeroq.Queue, spec.name[1:], create=False)
        capacity = 1 << ((spec.depth or 10) - 1).bit_length()  # a power of two
        self.owner = zeroq.Queue(spec.name[1:], element_size=spec.size, capacity=capacity)

    def sender(self) -> Callable[[Any], Any]:
        return self.open().put

    def receiver(self) -> Callable[[], Any]:
        return self.open().get

    def timed_receiver(self) -> Callable[[float], Any]:
        return self.open().get

    def remove(self) -> None:
        self.owner.close()


class KickMsg(Channel):
    """Every subscriber gets every message; a full ring drops its oldest ones."""

    id, title, code = "kickmsg", "kickmsg", "import kickmsg"
    many_readers = threads = False
    one_reader = "every subscriber gets every message"
    no_wait_for_room = "a full ring drops its oldest messages"

    def __init__(self, spec: Spec) -> None:
        import kickmsg

        super().__init__(spec)
        self.kickmsg = kickmsg
        settings = kickmsg.Config()
        settings.max_subscribers, settings.sub_ring_capacity = 1, 16
        settings.pool_size, settings.max_payload_size = 64, spec.limit
        kind = kickmsg.ChannelType.PubSub
        self.owner = kickmsg.SharedRegion.create(spec.name, kind, settings)

    def sender(self) -> Callable[[Any], Any]:
        publisher = self.kickmsg.Publisher(self.kickmsg.SharedRegion.open(self.spec.name))
        return pickling(self.spec, publisher.send)

    def receiver(self) -> Callable[[], Any]:
        get = self.timed_receiver()
        if not self.spec.pickled:
            return partial(get, 3600.0)  # it insists on a timeout
        loads = pickle.loads
        return lambda: loads(get(3600.0))

    def timed_receiver(self) -> Callable[[float], Any]:
        subscriber = self.kickmsg.Subscriber(self.kickmsg.SharedRegion.open(self.spec.name))
        return subscriber.receive

    def remove(self) -> None:
        self.owner.unlink()
