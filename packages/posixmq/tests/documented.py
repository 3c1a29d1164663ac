"""What the original documents, for common/test_documented.py."""

from inspect import Parameter

EMPTY = Parameter.empty

# name -> the parameters with their defaults, in the documented order; * starts the keyword-only ones
SIGNATURES = {
    "Queue": {
        "name": EMPTY,
        "maxsize": 10,
        "maxmsgsize": 1024,
        "*": None,
        "serializer": None,
        "mode": 0o600,
        "create": True,
        "exclusive": False,
        "readable": True,
        "writable": True,
        "on_signal": "raise",
        "spin_us": None,
        "trusted": False,
    },
    "Queue.put": {
        "item": EMPTY,
        "block": True,
        "timeout": None,
        "priority": 0,
        "pickle_protocol": 1,
    },
    "Queue.put_nowait": {"item": EMPTY, "priority": 0, "pickle_protocol": 1},
    "Queue.get": {"block": True, "timeout": None},
    "Queue.get_nowait": {},
    "Queue.qattr": {},
    "Queue.qsize": {},
    "Queue.empty": {},
    "Queue.full": {},
    "Queue.close": {},
    "Queue.unlink": {},
    "unlink": {"name": EMPTY},
    "QueueError": {"errno": EMPTY, "msg": None},
}

BOUND_GET = "(block=True, timeout=None)"


def qattr_of(queue):
    """What qattr() tells of a queue of one message."""
    return {"size": 1, "max_size": queue.maxsize, "max_msgbytes": queue.maxmsgsize}


def session(name):
    """The documented session, with a queue of this name."""
    return f"""
>>> import posixmq
>>> q = posixmq.Queue({name!r})
>>> q.qsize()
0
>>> q.put([1, 'A'])
>>> q.put([2, 'B'], priority=2)
>>> q.put([3, 'C'], priority=0)
>>> q.qsize()
3
>>> q.get()
[2, 'B']
>>> q.get()
[1, 'A']
>>> q.get()
[3, 'C']
>>> q.close()
>>> q.unlink()
"""
