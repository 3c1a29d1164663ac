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
    from ._limits import Limits
    from ._listing import QueueInfo, list_queues
    from ._message import Message
    from ._stat import QueueStat

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


# The names that are imported when they are first used, and the modules that have them.
_LATER = {
    "Limits": "_limits",
    "Message": "_message",
    "QueueInfo": "_listing",
    "QueueStat": "_stat",
    "list_queues": "_listing",
}

if not TYPE_CHECKING:  # otherwise type checkers would accept any name

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = __import__(f"{__name__}.{_LATER[name]}", fromlist=[name])
        value = globals()[name] = getattr(module, name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LATER})
