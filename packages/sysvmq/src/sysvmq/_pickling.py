"""How a Queue is pickled. Imported only when it is used."""

from typing import Any, TypeVar

from ._sysvmq import Queue
from .serializers import picklable, restored

__all__ = ["reduce"]

_T = TypeVar("_T")

_OPTIONS = ("on_signal", "spin_us", "trusted")


def reduce(queue: Queue[Any]) -> tuple[Any, ...]:
    """Return what ``__reduce__`` returns: how to open the queue again by its id.

    The attributes of a subclass go along.
    """
    options = {option: getattr(queue, option) for option in _OPTIONS}
    opening = _open, (type(queue), queue.id, picklable(queue.serializer), options)
    state = queue.__getstate__()
    return opening if state is None else (*opening, state)


def _open(kind: type[Queue[_T]], msqid: int, serializer: Any, options: dict[str, Any]) -> Queue[_T]:
    return kind.from_id(msqid, serializer=restored(serializer), **options)
