"""What the original documents, for common/test_documented.py."""

from inspect import Parameter

EMPTY = Parameter.empty

# name -> the parameters with their defaults, in the documented order; * starts the keyword-only
# ones, which are added, so that a program written for the original never notices
SIGNATURES = {
    "Queue": {
        "key": None,
        "max_bytes": None,
        "*": None,
        "serializer": None,
        "mode": 0o600,
        "create": True,
        "exclusive": False,
        "on_signal": "raise",
        "spin_us": None,
        "trusted": False,
    },
    "Queue.put": {
        "item": EMPTY,
        "block": True,
        "msg_type": 1,
        "pickle_protocol": 1,
        "*": None,
        "timeout": None,
    },
    "Queue.put_nowait": {"item": EMPTY, "msg_type": 1, "pickle_protocol": 1},
    "Queue.get": {"block": True, "msg_type": 0, "*": None, "timeout": None, "exclude": False},
    "Queue.get_nowait": {"msg_type": 0, "*": None, "exclude": False},
    "Queue.qattr": {},
    "Queue.qsize": {},
    "Queue.empty": {},
    "Queue.close": {},
    "Queue.detach": {},
    "QueueError": {"errno": EMPTY, "msg": None},
}

BOUND_GET = "(block=True, msg_type=0, *, timeout=None, exclude=False)"


def qattr_of(queue):
    """What qattr() tells of a queue of one message."""
    return {"size": 1, "max_bytes": queue.max_bytes}


def session(key):
    """The documented session, with a queue of this key."""
    return f"""
>>> import sysvmq
>>> q = sysvmq.Queue({key})
>>> q.qsize()
0
>>> q.put([1, 'A'])
>>> q.put([2, 'B'], msg_type=2)
>>> q.put([3, 'C'], msg_type=2)
>>> q.put([4, 'D'], msg_type=1)
>>> q.qsize()
4
>>> q.get(msg_type=2)
[2, 'B']
>>> q.get()
[1, 'A']
>>> q.get()
[3, 'C']
>>> q.get()
[4, 'D']
>>> q.close()
"""
