"""Who takes part in which work, and what the figures are compared with."""

from __future__ import annotations

from dataclasses import dataclass, replace

from contenders import CHANNELS, Channel
from plan import Work


@dataclass(frozen=True)
class Contender:
    id: str
    title: str
    family: str
    kind: str  # floor, bound, ours, peer
    channel: str = ""  # its adapter in contenders, where that has another id
    site: str = ""  # the folder that holds the build to import, where it is not the installed one
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def adapter(self) -> type[Channel]:
        return CHANNELS[self.channel or self.id]


FILLING = ("stream", "batch", "fanout", "workers")  # works whose senders must wait for room
FAMILIES = {"posix": "POSIX", "sysv": "System V"}
FLOORS = [
    Contender(f"c-{family}-{mode}", f"C, {words}, {mode}", family, "floor")
    for family, words in FAMILIES.items()
    for mode in ("blocking", "spinning")
]
BOUNDS = [
    Contender(f"bound-{family}", f"C, {words}, + pickle timed apart", family, "bound")
    for family, words in FAMILIES.items()
]
LOOPS = [
    Contender(f"loop-{family}", f"C, {words}, and pickle in one loop", family, "bound")
    for family, words in FAMILIES.items()
]
PICKLE = Contender("pickle", "pickle.dumps + loads alone", "other", "floor")
BARE = Contender("bare", "a bare interpreter", "other", "floor")
MEMBERS = [
    Contender(channel.id, channel.title, channel.family, "ours" if channel.ours else "peer")
    for channel in CHANNELS.values()
]
VARIANTS = [
    replace(
        one,
        id=f"{one.id}-spin0",
        title=f"{one.id}, {one.id.upper()}_SPIN_US=0",
        channel=one.id,
        environment=((f"{one.id.upper()}_SPIN_US", "0"),),
    )
    for one in MEMBERS
    if one.id in ("posixmq", "sysvmq")
]
MEMBERS += VARIANTS
PLAIN = {"posix": "posix_ipc", "sysv": "sysv_ipc"}  # the plain binding of each family
EVERYONE = {one.id: one for one in [*FLOORS, *BOUNDS, *LOOPS, PICKLE, BARE, *MEMBERS]}


def base_of(base: str, contender: Contender) -> str:
    """The id that this contender's ratio refers to: the base in its own family."""
    family = "sysv" if contender.family == "sysv" else "posix"
    if base in ("bare", "none"):
        return base
    if base == "plain":
        return PLAIN[family]
    return f"{base}-{family}" if base in ("bound", "loop") else f"c-{family}-{base}"


def floors_of(work: Work) -> list[Contender]:
    if work.test == "import":
        return [BARE]
    if work.base in ("plain", "none"):
        return []
    if work.test == "timeout":
        return [FLOORS[0]]
    if work.test in ("pair", "ready"):
        blocking = [floor for floor in FLOORS if floor.id.endswith("blocking")]
        return [*blocking, PICKLE, *LOOPS] if work.pickled else blocking
    return FLOORS


def refusal(work: Work, contender: Contender) -> str | None:
    """Why this contender cannot do this work at all."""
    channel = contender.adapter
    if work.test in ("timeout", "ready") and not channel.timeouts:
        return "get has no timeout"
    if work.test in ("workers", "paced", "fanout") and work.people > 1 and not channel.many_readers:
        return channel.one_reader
    if work.test == "stream" and work.people > 1 and not channel.many_writers:
        return "one writer only"
    if work.test in FILLING and channel.no_wait_for_room:
        return channel.no_wait_for_room
    if work.test.endswith("growth") and not channel.threads:
        return "one receiver cannot wait in several threads or tasks"
    if work.pickled and channel.one_size:
        return "all messages of one size"
    if work.size > channel.largest:
        return f"messages of at most {channel.largest:,} bytes"
    return None


def left_out(work: Work, contender: Contender) -> bool:
    """Whether another row says the same already."""
    channel = contender.adapter
    if contender.environment and not work.variants:
        return True
    if work.base == "plain" and not (channel.ours or contender.id in PLAIN.values()):
        return True
    if work.test == "batch":
        return not channel.batches
    if channel.batches > 1:
        return True
    if work.test == "import":
        return not channel.code
    if channel.asynchronous != work.test.startswith("async_"):
        return True
    return work.depth is None and not channel.own_depth
