"""The type of what ``receive`` returns."""

from typing import Generic, NamedTuple, TypeVar

_T = TypeVar("_T")

class Message(NamedTuple, Generic[_T]):
    item: _T
    msg_type: int
