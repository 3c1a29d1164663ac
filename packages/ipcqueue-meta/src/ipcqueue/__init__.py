"""POSIX and System V message queues in one package.

:mod:`ipcqueue.posixmq` and :mod:`ipcqueue.sysvmq` are the packages :mod:`posixmq` and :mod:`sysvmq`
themselves, not copies. :mod:`ipcqueue.serializers` has the serializers for both kinds of queue.
"""

__all__ = ["__version__"]

__version__ = "1.0.0"
