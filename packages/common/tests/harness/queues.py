"""A queue as the kernel sees it, and the end of a handle."""

import kind


def leave(queue):
    """End the handle and leave the queue."""
    getattr(queue, kind.LEAVE)()


def state(queue):
    """All that the kernel knows of a queue, but the times that looking at it changes."""
    return {
        name: value
        for name, value in queue.stat()._asdict().items()
        if name not in kind.TIMES_OF_LOOKING
    }
