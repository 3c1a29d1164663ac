"""POSIX and System V message queues under one name.

:mod:`ipcqueue.posixmq` and :mod:`ipcqueue.sysvmq` are the packages :mod:`posixmq` and :mod:`sysvmq`
themselves, not copies; :mod:`ipcqueue.serializers` holds the serializers that both understand.
"""

__all__ = ["__version__"]

__version__ = "1.0.0"
