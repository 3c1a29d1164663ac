"""Serializers turn an item into the bytes of a message, and back.

A serializer is anything with the methods ``dumps(obj)`` and ``loads(data)``. ``dumps`` returns a
bytes-like object or a ``str``, which is sent as UTF-8. ``loads`` takes the ``bytes`` of one
message. Modules such as :mod:`json` and :mod:`marshal` work as they are.
"""

import sys as _sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class _Serializer(Protocol):
        def dumps(self, obj: Any, /) -> Any: ...
        def loads(self, data: bytes, /) -> Any: ...


__all__ = ["PickleSerializer", "RawSerializer", "SignedSerializer"]


class PickleSerializer:
    """Sends any object that :mod:`pickle` can pickle; the default.

    ``Queue.put(..., pickle_protocol=N)`` chooses the protocol; the default is 1. Unpickling runs
    code that a message holds: read only from queues that nobody else may write to.
    """

    __slots__ = ()  # an instance cannot have a loads of its own, which C would not call

    # For a class with this mark of its own, the C module calls pickle itself.
    __mq_serializer__ = "pickle"
    runs_code = True  # subclasses inherit it, in both packages

    def __init_subclass__(cls, **options: "Any") -> None:
        load_pickle()  # a Queue does not if the subclass says that it runs no code
        super().__init_subclass__(**options)

    @staticmethod
    def dumps(obj: object, protocol: int = 1) -> bytes:
        """Return the pickle of *obj*.

        :param protocol: 0 to pickle.HIGHEST_PROTOCOL
        :raises pickle.PicklingError, TypeError, AttributeError: pickle cannot pickle *obj*
        """
        import pickle

        return pickle.dumps(obj, protocol)

    @staticmethod
    def loads(data: bytes) -> object:
        """Return the object whose pickle is *data*.

        :raises Exception: whatever pickle.loads raises for *data*
        """
        import pickle

        return pickle.loads(data)


class RawSerializer:
    """Sends bytes-like objects as they are; ``get`` returns ``bytes``."""

    __slots__ = ()

    # For a class with this mark of its own, the C module sends the item's own buffer.
    __mq_serializer__ = "raw"

    @staticmethod
    def dumps(obj: bytes) -> bytes:
        """Return *obj* itself."""
        return obj

    @staticmethod
    def loads(data: bytes) -> bytes:
        """Return *data* itself."""
        return data


class SignedSerializer:
    """Signs the payload of another serializer, and checks the signature before decoding.

    The signature is an HMAC-SHA256 in front of the payload; see :mod:`hmac`. Only a message from
    somebody who knows the key is decoded. Any other message raises a ``DecodeError``. The
    signature does not hide the payload, and somebody may send a signed message again.

    :param key: 16 bytes or more, the same for all who share the queue;
        ``secrets.token_bytes(32)`` makes one
    :param inner: the serializer of the payload
    :raises TypeError: *key* is not bytes, or *inner* has no ``dumps`` and ``loads``
    :raises ValueError: *key* is shorter than 16 bytes
    """

    # No code of strangers runs, because only signed payloads are decoded; see runs_code() below.
    runs_code = False

    def __init__(self, key: bytes, inner: "_Serializer" = PickleSerializer) -> None:
        if not isinstance(key, (bytes, bytearray)):
            raise TypeError(f"key must be bytes, not {type(key).__name__}")
        if len(key) < 16:
            raise ValueError(f"key must have 16 bytes or more, not {len(key)}")
        for method in ("dumps", "loads"):
            if not callable(getattr(inner, method, None)):
                raise TypeError(f"the inner serializer {inner!r} has no {method}")
        self._key = bytes(key)
        self._inner = inner
        # Import now what dumps and loads need: later no file may be readable.
        import hmac  # noqa: F401

        if runs_code(inner):
            load_pickle()

    def dumps(self, obj: object) -> bytes:
        """Return the signature (32 bytes), followed by the payload for *obj*."""
        payload = self._inner.dumps(obj)
        if isinstance(payload, str):
            payload = payload.encode()
        return b"".join((self._sign(payload), payload))

    def loads(self, data: bytes) -> object:
        """Return the object that the inner serializer makes of the payload in *data*.

        :raises ValueError: the signature does not match the key and the payload
        """
        import hmac

        signature, payload = data[:32], data[32:]
        if not hmac.compare_digest(signature, self._sign(payload)):
            raise ValueError("the signature is not that of this key")
        return self._inner.loads(payload)

    def _sign(self, payload: bytes) -> bytes:
        import hmac

        return hmac.digest(self._key, payload, "sha256")

    def __reduce__(self) -> "tuple[Any, ...]":
        return _sign_again, (type(self), self._key, picklable(self._inner))


def load_pickle() -> None:
    """Import pickle, and what pickle itself imports when it is first used.

    A Queue whose serializer may use pickle calls this when it is created: its put and get must
    work even if no file can be read any more. The package does not call it, because importing
    pickle takes longer than importing the package.
    """
    import codecs
    import pickle  # noqa: F401

    try:
        codecs.lookup("latin1")  # protocols 0 to 2 send bytes as such a str
    except LookupError:  # no file can be read any more: everything but bytes can still be sent
        pass


def _sign_again(kind: "type[SignedSerializer]", key: bytes, inner: "Any") -> "SignedSerializer":
    return kind(key, restored(inner))


class _Module:
    """Stands for a module in a pickle, because pickle cannot pickle modules."""

    def __init__(self, name: str) -> None:
        self.name = name


def picklable(serializer: "Any") -> "Any":
    """Return what stands for the serializer of a queue that is pickled or copied."""
    return _Module(serializer.__name__) if isinstance(serializer, type(_sys)) else serializer


def restored(taken: "Any") -> "Any":
    """Return the serializer that was given to :func:`picklable`."""
    import importlib

    return importlib.import_module(taken.name) if isinstance(taken, _Module) else taken


def runs_code(serializer: object) -> bool:
    """Return True if *serializer* may run code that a message holds.

    An attribute ``runs_code`` of the serializer decides. Without it, the result is True for

    - :class:`PickleSerializer` and its subclasses;
    - the modules pickle, cloudpickle, dill and jsonpickle, also as part of another package;
    - :mod:`marshal`, which a malicious message can crash;
    - any serializer whose ``loads`` is one of theirs, also within :func:`functools.partial`.
    """
    said = getattr(serializer, "runs_code", None)
    if said is not None:
        return bool(said)
    loads = getattr(serializer, "loads", None)
    loads = getattr(loads, "func", loads)
    return (
        _is_unsafe(getattr(serializer, "__name__", None))
        or _is_unsafe(getattr(loads, "__module__", None))
        or getattr(loads, "__qualname__", None) == PickleSerializer.loads.__qualname__
    )


def _is_unsafe(module: object) -> bool:
    return isinstance(module, str) and not _UNSAFE_MODULES.isdisjoint(module.split("."))


_UNSAFE_MODULES = {"pickle", "_pickle", "cloudpickle", "dill", "jsonpickle", "marshal"}
