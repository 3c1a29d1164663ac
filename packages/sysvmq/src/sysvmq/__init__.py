"""System V message queues: exchange Python objects between unrelated processes, by key.

>>> from sysvmq import Queue
>>> with Queue() as q:
...     q.put({"hello": "world"}, msg_type=7)
...     q.get(msg_type=7)
{'hello': 'world'}
"""

from ._errors import DecodeError, QueueError
from ._sysvmq import Queue, ftok, limits, remove
from .serializers import PickleSerializer, RawSerializer, SignedSerializer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._message import Message
    from ._system import Limits, QueueInfo, QueueStat, list_queues

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
    "SignedSerializer",
    "ftok",
    "limits",
    "list_queues",
    "remove",
]

__version__ = "1.0.0"


# What few programs use, or not at once, is imported when it is used first.
_LATER = {
    "Limits": "_system",
    "Message": "_message",
    "QueueInfo": "_system",
    "QueueStat": "_system",
    "list_queues": "_system",
}

if not TYPE_CHECKING:  # for a checker of types, not every name is there

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = __import__(f"{__name__}.{_LATER[name]}", fromlist=[name])
        value = globals()[name] = getattr(module, name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LATER})
