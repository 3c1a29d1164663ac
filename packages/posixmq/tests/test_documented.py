"""A program written for the original runs unchanged."""

import errno


def test_a_program_written_for_the_original_runs(spawn, name):
    out = spawn(
        """
        from queue import Empty, Full


        def reader(name):
            q = posixmq.Queue(name, 10, 1024)
            items = []
            while True:
                item = q.get(True, 20)
                if item is None:
                    break
                items.append(item)
            q.close()
            if items != [{"n": n} for n in range(100)]:
                os._exit(1)
            os._exit(0)


        name = sys.argv[1]
        try:
            posixmq.unlink(name)
        except posixmq.QueueError as error:
            if error.errno != posixmq.QueueError.DOES_NOT_EXIST:
                raise
            print(error.errno, bool(error.msg))

        q = posixmq.Queue(name, maxsize=10, maxmsgsize=1024)
        pid = os.fork()
        if pid == 0:
            reader(name)
        for n in range(100):
            q.put({"n": n}, True, 20, 0, 2)
        q.put(None)
        _, status = os.waitpid(pid, 0)
        print("reader", status)

        try:
            q.get_nowait()
        except Empty:
            print("empty")
        try:
            q.get(True, 0.01)
        except Empty:
            print("empty")
        for n in range(10):
            q.put_nowait(n, n)
        try:
            q.put_nowait(10, 10)
        except Full:
            print("full")
        try:
            q.put(10, True, 0.01)
        except Full:
            print("full")
        print([q.get_nowait() for _ in range(10)])
        try:
            q.put("x" * 2000)
        except posixmq.QueueError as error:
            print(error.errno == posixmq.QueueError.TOO_BIG_MESSAGE)
        print(q.qattr())
        q.close()
        try:
            q.get()
        except posixmq.QueueError as error:
            print(error.errno == posixmq.QueueError.INVALID_DESCRIPTOR)
        q.unlink()
        """,
        name,
    ).finish()
    assert out.splitlines() == [
        f"{errno.ENOENT} True",
        "reader 0",
        "empty",
        "empty",
        "full",
        "full",
        "[9, 8, 7, 6, 5, 4, 3, 2, 1, 0]",
        "True",
        "{'size': 0, 'max_size': 10, 'max_msgbytes': 1024}",
        "True",
    ]


def test_what_a_later_release_of_the_original_added_works(spawn, name):
    spawn(
        """
        from posixmq.serializers import PickleSerializer, RawSerializer

        q = posixmq.Queue(sys.argv[1], maxsize=2, maxmsgsize=64, serializer=RawSerializer)
        q.put(b"raw")
        assert q.get() == b"raw"
        q.close()
        q = posixmq.Queue(sys.argv[1], serializer=PickleSerializer)
        q.put({"a": 1})
        assert q.get() == {"a": 1}
        q.close()
        q.unlink()
        """,
        name,
    ).finish()
