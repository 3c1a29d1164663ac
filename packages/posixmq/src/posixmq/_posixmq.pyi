"""Types of the C module; the docstrings are in the module itself."""

from collections.abc import Iterable
from types import GenericAlias, TracebackType
from typing import Any, Generic, Literal, Protocol, Self, TypedDict, TypeVar, final

from typing_extensions import Buffer, disjoint_base

from ._message import Message

_T = TypeVar("_T")

class _Serializer(Protocol):
    """Modules such as json, classes with static methods, and objects will all do."""

    def dumps(self, obj: Any, /) -> Any: ...
    def loads(self, data: bytes, /) -> Any: ...

@final
class _Attributes(TypedDict):
    size: int
    max_size: int
    max_msgbytes: int

@disjoint_base
class Queue(Generic[_T]):
    def __init__(
        self,
        name: str,
        maxsize: int = 10,
        maxmsgsize: int = 1024,
        *,
        serializer: _Serializer | None = None,
        mode: int = 0o600,
        create: bool = True,
        exclusive: bool = False,
        readable: bool = True,
        writable: bool = True,
        on_signal: Literal["raise", "retry"] = "raise",
        spin_us: int | None = None,
        trusted: bool = False,
    ) -> None: ...
    @classmethod
    def from_fd(
        cls,
        fd: int,
        *,
        serializer: _Serializer | None = None,
        on_signal: Literal["raise", "retry"] = "raise",
        spin_us: int | None = None,
        trusted: bool = False,
    ) -> Self: ...
    @classmethod
    def anonymous(
        cls,
        maxsize: int = 10,
        maxmsgsize: int = 1024,
        *,
        serializer: _Serializer | None = None,
        on_signal: Literal["raise", "retry"] = "raise",
        spin_us: int | None = None,
        trusted: bool = False,
    ) -> Self: ...
    @property
    def name(self) -> str | None: ...
    @property
    def maxsize(self) -> int: ...
    @property
    def maxmsgsize(self) -> int: ...
    @property
    def readable(self) -> bool: ...
    @property
    def writable(self) -> bool: ...
    @property
    def on_signal(self) -> Literal["raise", "retry"]: ...
    @property
    def spin_us(self) -> int: ...
    @property
    def trusted(self) -> bool: ...
    @property
    def closed(self) -> bool: ...
    @property
    def serializer(self) -> _Serializer: ...
    def put(
        self,
        item: _T,
        block: bool = True,
        timeout: float | None = None,
        priority: int = 0,
        pickle_protocol: int = 1,
    ) -> None: ...
    def put_nowait(self, item: _T, priority: int = 0, pickle_protocol: int = 1) -> None: ...
    def get(self, block: bool = True, timeout: float | None = None) -> _T: ...
    def get_nowait(self) -> _T: ...
    def receive(self, block: bool = True, timeout: float | None = None) -> Message[_T]: ...
    def put_many(
        self,
        items: Iterable[_T],
        block: bool = True,
        timeout: float | None = None,
        priority: int = 0,
        pickle_protocol: int = 1,
    ) -> int: ...
    def get_many(
        self, max_items: int | None = None, block: bool = True, timeout: float | None = None
    ) -> list[_T]: ...
    def get_into(
        self, buffer: Buffer, block: bool = True, timeout: float | None = None
    ) -> tuple[int, int]: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> _T: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def qattr(self) -> _Attributes: ...
    def qsize(self) -> int: ...
    def empty(self) -> bool: ...
    def full(self) -> bool: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...
    def unlink(self) -> None: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        *exc_info: type[BaseException] | BaseException | TracebackType | None,
    ) -> None: ...

def unlink(name: str) -> None: ...
