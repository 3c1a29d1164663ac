"""System V message queues: exchange Python objects between unrelated processes, by key.

>>> from sysvmq import Queue
>>> with Queue() as q:
...     q.put({"hello": "world"}, msg_type=7)
...     q.get(msg_type=7)
{'hello': 'world'}
"""

from ._errors import DecodeError, QueueError
from ._sysvmq import Queue
from .serializers import PickleSerializer, RawSerializer, SignedSerializer

__all__ = [
    "DecodeError",
    "PickleSerializer",
    "Queue",
    "QueueError",
    "RawSerializer",
    "SignedSerializer",
]

__version__ = "1.0.0"
