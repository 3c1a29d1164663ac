"""Memory that lacks for long messages; common/test_faults.py has what both kinds promise."""

import os

import pytest

pytestmark = pytest.mark.skipif(
    "libasan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer has a malloc of its own"
)


def test_a_long_message_without_memory_to_send_it_is_not_sent(with_faults):
    with_faults("""
q = Queue(address(), serializer=RawSerializer)
if q.maxmsgsize <= 16384:
    q.max_bytes > 16384 or print("no long message here")
try:
    data = b"x" * min(q.maxmsgsize, 17000)
    if len(data) > 16384:
        fail_malloc(16385)
        assert isinstance(error_of(q.put, data), MemoryError)
        assert q.qsize() == 0
        q.put(data)
        assert q.get() == data
finally:
    q.close()
""")


def test_a_long_message_without_memory_to_receive_it_stays(with_faults):
    with_faults("""
isolate()
for limit in ("msgmax", "msgmnb"):
    with open("/proc/sys/kernel/" + limit, "w") as file:
        file.write("100000")
q = Queue(serializer=RawSerializer)
try:
    data = b"x" * 40000
    fail_malloc(16385)
    assert isinstance(error_of(q.put, data), MemoryError)
    assert q.qsize() == 0
    q.put(b"short")
    assert q.get() == b"short"  # what a short message needs is set aside from now on
    q.put(data)
    fail_malloc(16385)  # while the buffer grows
    assert error_of(q.get).errno == QueueError.NO_SYSTEM_RESOURCES
    assert q.get() == data
    q.put(data)
    fail_malloc(16385)  # before anything is received
    assert isinstance(error_of(q.get), MemoryError)
    assert q.get() == data
finally:
    q.close()
""")
