"""This process as others see it: its user and capabilities, its descriptors, its signals."""

import ctypes
import importlib
import os
import pkgutil
import signal
import sys
import threading
import traceback  # noqa: F401 - what an uncaught exception needs

import kind

CLONE_NEWIPC, CLONE_NEWUSER = 0x08000000, 0x10000000
PR_SET_DUMPABLE = 4


def import_all():
    """Import what the package would import later: another user may be unable to read the files."""
    for module in pkgutil.iter_modules(kind.mq.__path__):
        importlib.import_module(f"{kind.PACKAGE}.{module.name}")
    kind.mq.serializers.load_pickle()  # as the first queue does


def become(uid=65534, gid=None, groups=()):
    """Go on as another user, wherever the installation lies."""
    import_all()
    gid = uid if gid is None else gid
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    assert ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0  # to be seen in /proc


def drop_capabilities():
    """Go on as an ordinary user would, whoever started the tests; keep the user id."""
    import_all()
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def skip(reason):
    """End a script whose test cannot be had here."""
    print(reason)
    sys.exit(77)


def isolate(user_namespace=False):
    """Enter an IPC namespace of its own, whose limits can be set and whose addresses are free.

    With a user namespace, ordinary users may often do that; nobody can become another user there.
    """
    libc, user, group = ctypes.CDLL(None), os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWIPC) == 0:
        return
    if not user_namespace or libc.unshare(CLONE_NEWIPC | CLONE_NEWUSER):
        skip("an IPC namespace of its own is not permitted here")
    # Who has no number there can create nothing.
    for file, words in (
        ("uid_map", f"{user} {user} 1"),
        ("setgroups", "deny"),
        ("gid_map", f"{group} {group} 1"),
    ):
        try:
            with open(f"/proc/self/{file}", "w") as map_:
                map_.write(words)
        except OSError as error:
            skip(f"a user namespace of its own cannot be used here: {error}")


def set_limit(name, value):
    """Set a limit of the kernel, in a namespace of its own; skip the test without the right."""
    try:
        with open(f"{kind.LIMITS}/{name}", "w") as file:
            file.write(str(value))
    except OSError as error:
        skip(f"the limits cannot be set here: {error}")


def descriptors(name=""):
    """The descriptors that this process holds on the named queue or file, or on anything."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if not name or target.removesuffix(" (deleted)") == name:
            found.append(int(number))
    return found


def caught_signals():
    """The signals that have a handler now, as the kernel sees it."""
    with open("/proc/self/status") as status:
        mask = next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt"))
    return {number + 1 for number in range(64) if mask >> number & 1}


def interrupt():
    """Send SIGUSR1 to the main thread."""
    signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
