"""POSIX message queues: exchange Python objects between unrelated processes, by name.

>>> from posixmq import Queue
>>> with Queue("/greetings") as q:
...     q.put({"hello": "world"})
...     q.get()
{'hello': 'world'}
>>> q.unlink()
"""

from ._errors import DecodeError, QueueError
from ._message import Message
from ._posixmq import Queue, unlink
from .serializers import PickleSerializer, RawSerializer, SignedSerializer

__all__ = [
    "DecodeError",
    "Message",
    "PickleSerializer",
    "Queue",
    "QueueError",
    "RawSerializer",
    "SignedSerializer",
    "unlink",
]

__version__ = "1.0.0"
