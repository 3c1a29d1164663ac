"""How much of the limits is used. Imported only when it is used."""

import contextlib
import math
import os
import resource

from ._errors import QueueError
from ._folder import open_folder
from ._holders import Holders
from ._limits import RLIMIT_MSGQUEUE, Limits, queue_charge, setting
from ._stat import QueueStat

__all__ = ["limits"]


def limits() -> Limits:
    """Return the limits of the system and of this user, and how much of them is used.

    See mq_overview(7) and getrlimit(2). The kernel does not tell how many bytes a user's queues
    are charged with. They are added up here over the queues that can be seen: all with a name,
    and those without one that /proc shows in processes of this user.

    So the sum can differ from what the kernel counts. Queues of the same user in other IPC
    namespaces (containers) are not seen. The kernel charges the user who created a queue, but
    only the present owner can be seen.

    :raises QueueError: ERROR if /proc does not show the limits
    """
    allowed, _ = resource.getrlimit(RLIMIT_MSGQUEUE)
    most = math.inf if allowed == resource.RLIM_INFINITY else allowed
    queues, used = used_now()
    left: int | float | None = None
    if most == math.inf:
        left = most
    elif used is not None:
        left = max(most - used, 0)
    return Limits(
        msg_max=setting("msg_max"),
        msgsize_max=setting("msgsize_max"),
        queues_max=setting("queues_max"),
        msg_default=setting("msg_default"),
        msgsize_default=setting("msgsize_default"),
        queues=queues,
        user_bytes_max=most,
        user_bytes=used,
        user_bytes_left=left,
    )


def used_now() -> tuple[int | None, int | None]:
    """Return how many queues there are, and the charge of this user's; None if unknown."""
    with contextlib.suppress(QueueError), open_folder() as folder:
        names = os.listdir(folder)
        holders = Holders(os.fstat(folder).st_dev, names)
        charges = [_charge_of_name(folder, name, holders) for name in names]
        charges += [_charge_of_unlinked(inode, holders) for inode in holders.unlinked]
        known = [charge for charge in charges if charge is not None]
        return len(charges), sum(known) if len(known) == len(charges) else None
    return None, None


def _charge_of_name(folder: int, name: str, holders: Holders) -> int | None:
    """Return what this user is charged for a queue; None if that cannot be known."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return 0
    if status.st_uid != os.getuid():  # the kernel charges the real user
        return 0
    return _charge(holders.examine(status.st_ino, name, folder))


def _charge_of_unlinked(inode: int, holders: Holders) -> int | None:
    uid, path = holders.unlinked[inode]
    if uid != os.getuid():
        return 0
    seen = holders.examine(inode, path)
    if seen is None and not os.path.exists(path):
        return 0  # its last holder has ended meanwhile
    return _charge(seen)


def _charge(seen: QueueStat | None) -> int | None:
    return None if seen is None else queue_charge(seen.max_size, seen.max_msgbytes)
