"""One small adapter per contender: how it makes a channel, sends, receives and waits.

A channel is created once, by the measuring process; every process then asks it for its own
`sender()` or `receiver()`: callables that are the contender's own methods wherever it has them.
Queues that have a name are opened again by it, as unrelated processes would.
"""

from __future__ import annotations

from .brokers import Redis, ZeroMQ
from .channel import Channel, Spec, Unavailable, fork
from .kernel_queues import OriginalPosix, OriginalSysV, PosixIpc, SysVIpc
from .ours import (
    AsyncPosixMQ,
    AsyncSysVMQ,
    PosixInto,
    PosixMany,
    PosixMQ,
    SysVInto,
    SysVMany,
    SysVMQ,
)
from .rings import Cloudtoid, FasterFifo, KickMsg, ZeroQ
from .sockets import AsyncStreams, DatagramSocket, PacketPipe, SequencedSocket
from .standard_library import MPPipe, MPQueue, MPSimpleQueue

__all__ = ["CHANNELS", "Channel", "Spec", "Unavailable", "fork"]

CHANNELS: dict[str, type[Channel]] = {
    channel.id: channel
    for channel in (
        PosixMQ,
        SysVMQ,
        PosixMany,
        PosixInto,
        SysVMany,
        SysVInto,
        AsyncPosixMQ,
        AsyncSysVMQ,
        AsyncStreams,
        PosixIpc,
        SysVIpc,
        OriginalPosix,
        OriginalSysV,
        MPQueue,
        MPSimpleQueue,
        MPPipe,
        PacketPipe,
        DatagramSocket,
        SequencedSocket,
        FasterFifo,
        Cloudtoid,
        ZeroQ,
        KickMsg,
        ZeroMQ,
        Redis,
    )
}
