"""Serializers: how an item becomes the bytes of a message, and back.

A serializer is anything with ``dumps(obj)``, which returns a bytes-like object or a
``str`` (sent as UTF-8), and ``loads(data)``, which is given the ``bytes`` of one message.
Modules such as :mod:`json` and :mod:`marshal` work as they are.
"""

import pickle as _pickle

__all__ = ["PickleSerializer", "RawSerializer"]


class PickleSerializer:
    """Any object that :mod:`pickle` can carry; the default.

    ``Queue.put(..., pickle_protocol=N)`` chooses the protocol, 1 unless told otherwise.
    Unpickling runs code: read only from queues that nobody else may write to.
    """

    # The C module calls pickle itself when it finds this mark in a class of its own.
    __mq_serializer__ = "pickle"

    @staticmethod
    def dumps(obj: object, protocol: int = 1) -> bytes:
        """Return the pickle of *obj*."""
        return _pickle.dumps(obj, protocol)

    @staticmethod
    def loads(data: bytes) -> object:
        """Return the object whose pickle is *data*."""
        return _pickle.loads(data)


class RawSerializer:
    """Bytes-like objects as they are; ``get`` returns ``bytes``."""

    # The C module sends the item's own buffer when it finds this mark.
    __mq_serializer__ = "raw"

    @staticmethod
    def dumps(obj: bytes) -> bytes:
        """Return *obj* itself."""
        return obj

    @staticmethod
    def loads(data: bytes) -> bytes:
        """Return *data* itself."""
        return data


def runs_code(serializer: object) -> bool:
    """Say whether *serializer* may run code that a message holds.

    True for what rests on :mod:`pickle`: :class:`PickleSerializer` and its subclasses, the modules
    pickle, cloudpickle, dill and jsonpickle wherever they lie, and any whose ``loads`` is pickle's own;
    for :mod:`marshal`, which a crafted message crashes; and for anything that says so by an
    attribute ``runs_code``.
    """
    said = getattr(serializer, "runs_code", None)
    if said is not None:
        return bool(said)
    kind = serializer if isinstance(serializer, type) else type(serializer)
    name = getattr(serializer, "__name__", None)
    return (
        issubclass(kind, PickleSerializer)
        or (isinstance(name, str) and not _UNSAFE_MODULES.isdisjoint(name.split(".")))
        or getattr(serializer, "loads", None) in _PICKLE_LOADS
    )


# In C and in Python.
_PICKLE_LOADS = (_pickle.loads, getattr(_pickle, "_loads", _pickle.loads))
_UNSAFE_MODULES = {"pickle", "_pickle", "cloudpickle", "dill", "jsonpickle", "marshal"}
