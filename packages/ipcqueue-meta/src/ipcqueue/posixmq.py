"""Every import of this module gives the package posixmq itself."""

import sys

try:
    import posixmq
    import posixmq.serializers
except ModuleNotFoundError as error:
    if error.name != "posixmq":
        raise
    reason = (
        "POSIX message queues do not exist on macOS; use ipcqueue.sysvmq there"
        if sys.platform == "darwin"
        else "the distribution posixmq, which ipcqueue needs, is not installed"
    )
    raise ImportError(reason, name=__name__) from error

sys.modules[f"{__name__}.serializers"] = posixmq.serializers
sys.modules[__name__] = posixmq
