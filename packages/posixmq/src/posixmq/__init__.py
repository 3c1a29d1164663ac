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
    from ._limits import Limits
    from ._listing import QueueInfo, list_queues
    from ._message import Message
    from ._stat import QueueStat
    from ._systemd import listen_queues
    from ._usage import limits

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


# The names that are imported when they are first used, and the modules that have them.
_LATER = {
    "Limits": "_limits",
    "Message": "_message",
    "QueueInfo": "_listing",
    "QueueStat": "_stat",
    "limits": "_usage",
    "list_queues": "_listing",
    "listen_queues": "_systemd",
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
