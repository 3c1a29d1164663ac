"""The works, by the name that plan.py gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contenders import Channel

from .calls import pair, ready, timeout
from .growth import async_growth, growth
from .people import TIME_LIMIT_S, Result, Task, result
from .processes import batch, fanout, paced, pingpong, stream, workers
from .tasks import async_pingpong, async_stream

__all__ = ["TESTS", "TIME_LIMIT_S", "Result", "Task", "result"]

TESTS: dict[str, Callable[[list[Channel], Task, Any], Result]] = {
    test.__name__: test
    for test in (
        *(pair, ready, pingpong, stream, fanout, batch, workers, paced, timeout),
        *(async_pingpong, async_stream, growth, async_growth),
    )
}
