"""Types of the C module; the docstrings are in the module itself."""

from collections.abc import Iterable
from types import GenericAlias, TracebackType
from typing import Any, Generic, Literal, Protocol, Self, TypedDict, TypeVar, final

from _typeshed import StrOrBytesPath
from typing_extensions import Buffer, disjoint_base

from ._limits import Limits
from ._message import Message
from ._stat import QueueStat

_T = TypeVar("_T")

class _Serializer(Protocol):
    """A module such as json, a class with static methods, or an object."""

    def dumps(self, obj: Any, /) -> Any: ...
    def loads(self, data: bytes, /) -> Any: ...

@final
class _Attributes(TypedDict):
    size: int
    max_bytes: int

@disjoint_base
class Queue(Generic[_T]):
    def __init__(
        self,
        key: int | None = None,
        max_bytes: int | None = None,
        *,
        serializer: _Serializer | None = None,
        mode: int = 0o600,
        create: bool = True,
        exclusive: bool = False,
        on_signal: Literal["raise", "retry"] = "raise",
        spin_us: int | None = None,
        trusted: bool = False,
    ) -> None: ...
    @classmethod
    def from_id(
        cls,
        msqid: int,
        *,
        serializer: _Serializer | None = None,
        on_signal: Literal["raise", "retry"] = "raise",
        spin_us: int | None = None,
        trusted: bool = False,
    ) -> Self: ...
    @property
    def key(self) -> int: ...
    @property
    def id(self) -> int: ...
    @property
    def max_bytes(self) -> int: ...
    @property
    def maxmsgsize(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    @property
    def on_signal(self) -> Literal["raise", "retry"]: ...
    @property
    def spin_us(self) -> int: ...
    @property
    def trusted(self) -> bool: ...
    @property
    def serializer(self) -> _Serializer: ...
    def put(
        self,
        item: _T,
        block: bool = True,
        msg_type: int = 1,
        pickle_protocol: int = 1,
        *,
        timeout: float | None = None,
    ) -> None: ...
    def put_nowait(self, item: _T, msg_type: int = 1, pickle_protocol: int = 1) -> None: ...
    def get(
        self,
        block: bool = True,
        msg_type: int = 0,
        *,
        timeout: float | None = None,
        exclude: bool = False,
    ) -> _T: ...
    def get_nowait(self, msg_type: int = 0, *, exclude: bool = False) -> _T: ...
    def receive(
        self,
        block: bool = True,
        msg_type: int = 0,
        *,
        timeout: float | None = None,
        exclude: bool = False,
    ) -> Message[_T]: ...
    def put_many(
        self,
        items: Iterable[_T],
        block: bool = True,
        msg_type: int = 1,
        pickle_protocol: int = 1,
        *,
        timeout: float | None = None,
    ) -> int: ...
    def get_many(
        self,
        max_items: int | None = None,
        block: bool = True,
        msg_type: int = 0,
        *,
        timeout: float | None = None,
        exclude: bool = False,
    ) -> list[_T]: ...
    def get_into(
        self,
        buffer: Buffer,
        block: bool = True,
        msg_type: int = 0,
        *,
        timeout: float | None = None,
        exclude: bool = False,
    ) -> tuple[int, int]: ...
    def _watch(self, msg_type: int, exclude: bool, /) -> int: ...
    def peek(self, index: int = 0) -> Message[_T]: ...
    def qattr(self) -> _Attributes: ...
    def stat(self) -> QueueStat: ...
    def set(
        self,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        max_bytes: int | None = None,
    ) -> None: ...
    def qsize(self) -> int: ...
    def empty(self) -> bool: ...
    def close(self) -> None: ...
    def detach(self) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> _T: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        *exc_info: type[BaseException] | BaseException | TracebackType | None,
    ) -> None: ...

def ftok(path: StrOrBytesPath, project_id: int) -> int: ...
def remove(msqid: int) -> None: ...
def limits() -> Limits: ...
