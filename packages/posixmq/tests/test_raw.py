"""RawSerializer makes no copy of what it sends: the kernel reads the buffer itself."""

import array
import mmap
import tracemalloc

import pytest

from kind import RawSerializer

BATCH = pytest.mark.parametrize("batch", [False, True], ids=["put", "put_many"])
SIZE = 8192


def send_without_a_copy(q, buffer, batch):
    """Send a buffer of SIZE bytes; it must arrive, and must not be copied on the way."""
    put = (lambda item: q.put_many([item])) if batch else q.put
    with memoryview(buffer) as view, view.cast("B") as flat:
        if not flat.readonly:
            flat[0], flat[-1] = 1, 255
        expected = flat.tobytes()
    put(buffer)
    q.get_into(bytearray(SIZE))
    tracemalloc.start()
    try:
        put(buffer)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4096, "it was copied"
    assert q.get() == expected


BUFFERS = {
    "bytes": lambda: bytes(SIZE),
    "bytearray": lambda: bytearray(SIZE),
    "memoryview": lambda: memoryview(bytearray(SIZE * 2))[SIZE:],
    "array": lambda: array.array("d", bytes(SIZE)),
    "mmap": lambda: mmap.mmap(-1, SIZE),
}


@BATCH
@pytest.mark.parametrize("buffer", BUFFERS.values(), ids=BUFFERS)
def test_raw_sends_any_buffer_without_a_copy(make, buffer, batch):
    q = make(maxsize=2, maxmsgsize=SIZE, serializer=RawSerializer)
    made = buffer()
    send_without_a_copy(q, made, batch)
    if isinstance(made, mmap.mmap):
        made.close()


@BATCH
@pytest.mark.parametrize("shape", [SIZE // 8, (2, SIZE // 16)], ids=str)
def test_raw_sends_numpy_arrays_without_a_copy(make, shape, batch):
    numpy = pytest.importorskip("numpy", reason="NumPy is not installed")
    q = make(maxsize=2, maxmsgsize=SIZE, serializer=RawSerializer)
    send_without_a_copy(q, numpy.zeros(shape), batch)
