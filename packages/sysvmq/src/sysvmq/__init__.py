"""System V message queues: exchange Python objects between unrelated processes, by key.

>>> from sysvmq import Queue
>>> with Queue() as q:
...     q.put({"hello": "world"}, msg_type=7)
...     q.get(msg_type=7)
{'hello': 'world'}
"""

from ._errors import DecodeError, QueueError
from ._sysvmq import Queue, ftok, limits, remove
from .serializers import PickleSerializer, RawSerializer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._system import Limits, Message, QueueInfo, QueueStat, list_queues
else:

    def __getattr__(name):
        """Import what a program that only puts and gets can do without: classes take time."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from . import _system

        value = globals()[name] = getattr(_system, name)
        return value


__all__ = [
    "DecodeError",
    "Limits",
    "Message",
    "PickleSerializer",
    "Queue",
    "QueueError",
    "QueueInfo",
    "QueueStat",
    "RawSerializer",
    "ftok",
    "limits",
    "list_queues",
    "remove",
]

__version__ = "1.0.0"
