"""Serializers: how an item becomes the bytes of a message, and back.

A serializer is anything with ``dumps(obj)``, which returns a bytes-like object or a
``str`` (sent as UTF-8), and ``loads(data)``, which is given the ``bytes`` of one message.
Modules such as :mod:`json` and :mod:`marshal` work as they are.
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
    """Any object that :mod:`pickle` can carry; the default.

    ``Queue.put(..., pickle_protocol=N)`` chooses the protocol, 1 unless told otherwise.
    Unpickling runs code: read only from queues that nobody else may write to.
    """

    __slots__ = ()  # a loads of one object's own would not be called

    # The C module calls pickle itself when it finds this mark in a class of its own.
    __mq_serializer__ = "pickle"
    runs_code = True  # for subclasses of it, in whichever package

    def __init_subclass__(cls, **options: "Any") -> None:
        load_pickle()  # which no Queue does for one that says that it runs no code
        super().__init_subclass__(**options)

    @staticmethod
    def dumps(obj: object, protocol: int = 1) -> bytes:
        """Return the pickle of *obj*."""
        import pickle

        return pickle.dumps(obj, protocol)

    @staticmethod
    def loads(data: bytes) -> object:
        """Return the object whose pickle is *data*."""
        import pickle

        return pickle.loads(data)


class RawSerializer:
    """Bytes-like objects as they are; ``get`` returns ``bytes``."""

    __slots__ = ()

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


class SignedSerializer:
    """What another serializer makes, behind an HMAC-SHA256 that is checked before it is decoded.

    Only who knows the key can put a message that is decoded; any other is a ``DecodeError``.
    A message that was signed once can be sent again: replay is not covered, nor is secrecy.

    :param key: bytes, 16 or more, the same for all who share the queue; ``secrets.token_bytes(32)``
        makes one
    :param inner: the serializer of the payload
    :raises TypeError: *key* is not bytes, or *inner* has no ``dumps`` and ``loads``
    :raises ValueError: *key* is shorter than 16 bytes
    """

    # Nothing that others wrote is decoded: see runs_code below.
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
        # Import what dumps and loads need: they must work where no file can be read any more.
        import hmac  # noqa: F401

        if runs_code(inner):
            load_pickle()

    def dumps(self, obj: object) -> bytes:
        """Return the signature (32 bytes) and what the inner serializer makes of *obj*."""
        payload = self._inner.dumps(obj)
        if isinstance(payload, str):
            payload = payload.encode()
        return b"".join((self._sign(payload), payload))

    def loads(self, data: bytes) -> object:
        """Return what the inner serializer makes of *data* without its signature.

        :raises ValueError: the signature is not that of the key and the payload
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
    """Import pickle, which takes longer than this package, and what it imports when it is used.

    A Queue whose serializer may rest on pickle calls this when it is made. Its put and get must
    work where no file can be read any more.
    """
    import codecs
    import pickle  # noqa: F401

    try:
        codecs.lookup("latin1")  # protocols 0 to 2 send bytes as such a str
    except LookupError:  # no file can be read already: all but bytes can be sent
        pass


def _sign_again(kind: "type[SignedSerializer]", key: bytes, inner: "Any") -> "SignedSerializer":
    return kind(key, restored(inner))


class _Module:
    """Stands in a pickle for a module, by the name that it is imported by: pickle takes none."""

    def __init__(self, name: str) -> None:
        self.name = name


def picklable(serializer: "Any") -> "Any":
    """Return what a queue takes along as its serializer when it is pickled or copied."""
    return _Module(serializer.__name__) if isinstance(serializer, type(_sys)) else serializer


def restored(taken: "Any") -> "Any":
    """Return the serializer that :func:`picklable` was given."""
    import importlib

    return importlib.import_module(taken.name) if isinstance(taken, _Module) else taken


def runs_code(serializer: object) -> bool:
    """Say whether *serializer* may run code that a message holds.

    True for what rests on :mod:`pickle`: :class:`PickleSerializer` and its subclasses, the modules
    pickle, cloudpickle, dill and jsonpickle wherever they lie, and any whose ``loads`` is one of theirs,
    also within :func:`functools.partial`; for :mod:`marshal`, which a crafted message crashes; and
    for anything that says so by an attribute ``runs_code``.
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
