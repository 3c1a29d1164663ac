"""A received item keeps no more memory than it needs, and any opener can receive it."""

import tracemalloc

import pytest

from posixmq import RawSerializer


@pytest.fixture
def largest():
    """The largest message size that anybody may ask for."""
    with open("/proc/sys/fs/mqueue/msgsize_max") as file:
        return min(int(file.read()), 8192)


def test_a_thousand_kept_messages_of_10_bytes_keep_little(make, largest):
    q = make(maxsize=2, maxmsgsize=largest, serializer=RawSerializer)
    q.put(b"x" * 10)
    q.get()
    tracemalloc.start()
    try:
        kept = []
        for number in range(1000):
            q.put(b"%010d" % number)
            kept.append(q.get(timeout=5) if number % 2 else q.get())
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [int(data) for data in kept] == list(range(1000))
    assert held < 200_000
    assert peak < 300_000


def test_a_thousand_kept_refusals_keep_little(make, name, largest):
    import json

    from posixmq import DecodeError

    raw = make(name, 2, largest, serializer=RawSerializer)
    q = make(name, serializer=json)
    kept = []
    tracemalloc.start()
    try:
        for _ in range(1000):
            raw.put(b"no json...")
            try:
                q.get()
            except DecodeError as error:
                kept.append(error.data)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept == [b"no json..."] * 1000
    assert held < 400_000


def test_an_opener_who_asked_for_less_receives_whole_messages(make, name, largest):
    sender = make(name, 2, largest, serializer=RawSerializer)
    receiver = make(name, 1, 16, serializer=RawSerializer)
    assert receiver.maxmsgsize == largest
    for size in (0, 1, 15, 16, 17, 1000, largest - 1, largest):
        sender.put(b"x" * size)
        assert receiver.get() == b"x" * size
        receiver.put(b"y" * size)
        assert sender.get(timeout=5) == b"y" * size


def test_messages_longer_than_any_stack_buffer_pass(spawn, name):
    """Beyond the system's msgsize_max: where a script may have its own, in a namespace."""
    out = spawn(
        """
        import ctypes

        try:
            if ctypes.CDLL(None).unshare(0x08000000) != 0:
                raise OSError
            with open("/proc/sys/fs/mqueue/msgsize_max", "w") as file:
                file.write(str(300_000))
            q = Queue(sys.argv[1], 1, 300_000, serializer=RawSerializer)
        except OSError:
            print("no right")
            sys.exit()
        with q:
            for size in 0, 10, 16383, 16384, 16385, 65535, 65536, 65537, 299_999, 300_000:
                data = os.urandom(size)
                q.put(data)
                assert q.get() == data
                thread = threading.Thread(target=q.put, args=(data,))
                thread.start()
                assert q.get(timeout=60) == data
                thread.join()
                q.put_nowait(data)
                assert q.get_nowait() == data
            try:
                q.get_nowait()
            except queue.Empty:
                pass
            try:
                q.get(timeout=0.05)
            except queue.Empty:
                pass
            q.put(data)
            try:
                q.put_nowait(data)
            except queue.Full:
                pass
            try:
                q.put(data, timeout=0.05)
            except queue.Full:
                pass
            assert q.get() == data
        """,
        name,
    ).finish()
    if "no right" in out:
        pytest.skip("no right to an IPC namespace here")


def test_a_failed_receive_keeps_no_buffer(make, largest):
    import queue

    q = make(maxsize=1, maxmsgsize=largest)
    tracemalloc.start()
    try:
        for _ in range(1000):
            with pytest.raises(queue.Empty):
                q.get_nowait()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 200_000


def test_a_small_stack_is_enough(spawn, name):
    spawn(
        """
        with Queue(sys.argv[1], 1, 4096) as q:
            threading.stack_size(128 * 1024)
            done = []

            def work():
                q.put("x" * 1000)
                done.append(q.get(timeout=5))

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            assert done == ["x" * 1000]
            q.unlink()
        """,
        name,
    ).finish()
