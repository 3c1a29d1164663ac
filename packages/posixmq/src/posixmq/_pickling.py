"""How a Queue is pickled. Imported only when it is used."""

import os
from collections.abc import Callable
from typing import Any

from ._posixmq import Queue
from .serializers import picklable, restored

__all__ = ["reduce"]

_OPTIONS = ("on_signal", "spin_us", "trusted")
_NAMED_OPTIONS = ("readable", "writable", *_OPTIONS)


def reduce(queue: "Queue[Any]") -> tuple[Any, ...]:
    """Return what ``__reduce__`` returns: how to open the queue again by its name.

    A queue without a name is pickled as its descriptor, which only multiprocessing can hand to a
    new process. The attributes of a subclass go along.

    :raises RuntimeError: the queue has no name, and multiprocessing is not starting a process
    """
    if queue.name is not None:
        options = {option: getattr(queue, option) for option in _NAMED_OPTIONS}
        rebuild: Callable[..., Any] = _open
        target: Any = queue.name
    else:
        options = {option: getattr(queue, option) for option in _OPTIONS}
        rebuild = _adopt
        target = _for_child(queue)
    return (
        rebuild,
        (type(queue), target, picklable(queue.serializer), options),
        getattr(queue, "__dict__", None),
    )


def _for_child(queue: "Queue[Any]") -> Any:
    """Return what becomes the descriptor in the process that multiprocessing is starting."""
    from multiprocessing import context, reduction

    if context.get_spawning_popen() is None:
        raise RuntimeError(
            f"{Queue.__repr__(queue)} has no name to be opened by: it can be handed to a process "
            "that multiprocessing starts (as an argument, or an initializer's), be inherited by "
            "fork, or be sent by socket.send_fds() for Queue.from_fd()"
        )
    return reduction.DupFd(queue.fileno())


def _open(kind: "type[Queue[Any]]", name: str, serializer: Any, options: dict[str, Any]) -> Any:
    queue = kind.__new__(kind)  # unpickling never calls the __init__ of a subclass
    Queue.__init__(queue, name, create=False, serializer=restored(serializer), **options)
    return queue


def _adopt(kind: "type[Queue[Any]]", passed: Any, serializer: Any, options: dict[str, Any]) -> Any:
    serializer = restored(serializer)
    fd = passed.detach()
    try:
        return kind.from_fd(fd, serializer=serializer, **options)
    except Exception:  # after a KeyboardInterrupt the queue may own the descriptor already
        os.close(fd)
        raise
