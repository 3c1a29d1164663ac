"""POSIX message queues: exchange Python objects between unrelated processes, by name.

>>> from posixmq import Queue
>>> with Queue("/greetings") as q:
...     q.put({"hello": "world"})
...     q.get()
{'hello': 'world'}
>>> q.unlink()
"""

from ._errors import DecodeError, QueueError
from ._posixmq import Queue, unlink
from .serializers import PickleSerializer, RawSerializer, SignedSerializer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._message import Message
    from ._system import Limits, QueueInfo, QueueStat, limits, list_queues
    from ._systemd import listen_queues

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
    "limits",
    "list_queues",
    "listen_queues",
    "unlink",
]

__version__ = "1.0.0"


# What few programs use, or not at once, is imported when it is used first.
_LATER = {
    "Limits": "_system",
    "Message": "_message",
    "QueueInfo": "_system",
    "QueueStat": "_system",
    "limits": "_system",
    "list_queues": "_system",
    "listen_queues": "_systemd",
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
