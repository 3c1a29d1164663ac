"""Queues handed to processes: multiprocessing, executors, descriptors that travel."""

import json
import socket
import textwrap

import pytest

from ipcqueue import posixmq

METHODS = pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])

# What each script below begins with. Its functions are found by the processes that it starts,
# which import it anew (under spawn and forkserver), hence the test of __name__ in each script.
BEGINNING = """
    import concurrent.futures, multiprocessing, pickle

    kept = None

    def put_numbers(q, count):
        for number in range(count):
            q.put([os.getpid(), number])

    def answer(q, answers):
        for item in iter(q.get, None):
            answers.put([item, os.getpid()])

    def keep(q):
        global kept
        kept = q

    def put_into_kept(number):
        kept.put([os.getpid(), number])
        return number

    def put_into(q, number):
        q.put(number)
        return number

    def describe(q, answers):
        answers.put([type(q).__module__, q.on_signal, q.serializer.__name__])

    def context():
        return multiprocessing.get_context(sys.argv[1])

    def start(function, *args):
        process = context().Process(target=function, args=args)
        process.start()
        return process

    def join(*processes):
        for process in processes:
            process.join(60)
            assert process.exitcode == 0, process.exitcode
"""


@pytest.fixture
def script(run):
    """Run a script in which `if __name__ == "__main__":` stands before the given lines."""

    def script(lines, *args):
        main = textwrap.indent(textwrap.dedent(lines), "    ")
        beginning = textwrap.dedent(BEGINNING)
        return json.loads(run(f"{beginning}\nif __name__ == '__main__':\n{main}", *args))

    return script


@METHODS
def test_a_process_is_handed_a_queue(make, address, script, method):
    q = make(address)
    got = script(
        """
        q = open_queue(sys.argv[2])
        processes = [start(put_numbers, q, 10) for _ in range(2)]
        got = [q.get(timeout=60) for _ in range(20)]
        join(*processes)
        print(json.dumps({"got": got, "pids": [process.pid for process in processes]}))
        """,
        method,
        address,
    )
    for pid in got["pids"]:
        assert [number for who, number in got["got"] if who == pid] == list(range(10))
    assert q.empty(), "and the queue is still there when they have ended"


@METHODS
def test_a_process_takes_from_one_queue_and_puts_into_another(make, unique, family, script, method):
    ask, answer = unique(family), unique(family)
    make(ask)
    make(answer)
    got = script(
        """
        ask, answers = open_queue(sys.argv[2]), open_queue(sys.argv[3])
        process = start(answer, ask, answers)
        for number in range(20):
            ask.put(number)
            assert answers.get(timeout=60) == [number, process.pid]
        ask.put(None)
        join(process)
        print(20)
        """,
        method,
        ask,
        answer,
    )
    assert got == 20


@pytest.mark.semaphores
@METHODS
def test_the_workers_of_an_executor_are_handed_a_queue_by_the_initializer(
    make, address, script, method
):
    make(address)
    got = script(
        """
        q = open_queue(sys.argv[2])
        options = {"mp_context": context(), "initializer": keep, "initargs": (q,)}
        with concurrent.futures.ProcessPoolExecutor(2, **options) as pool:
            futures = [pool.submit(put_into_kept, number) for number in range(10)]
            got = [q.get(timeout=60) for _ in futures]
            assert [future.result() for future in futures] == list(range(10))
        assert os.getpid() not in [pid for pid, _ in got]
        print(json.dumps(sorted(number for _, number in got)))
        """,
        method,
        address,
    )
    assert got == list(range(10))


@pytest.mark.semaphores
@METHODS
def test_the_tasks_of_an_executor_may_have_a_queue_among_their_arguments(
    make, address, script, method
):
    make(address)
    got = script(
        """
        q = open_queue(sys.argv[2])
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context()) as pool:
            futures = [pool.submit(put_into, q, number) for number in range(10)]
            got = sorted(q.get(timeout=60) for _ in futures)
            assert [future.result() for future in futures] == got
        print(json.dumps(got))
        """,
        method,
        address,
    )
    assert got == list(range(10))


@pytest.mark.semaphores
@METHODS
def test_a_pool_of_multiprocessing_hands_a_queue_to_its_workers(make, address, script, method):
    make(address)
    got = script(
        """
        q = open_queue(sys.argv[2])
        with context().Pool(2, keep, (q,)) as pool:
            result = pool.map_async(put_into_kept, range(10))
            got = [q.get(timeout=60) for _ in range(10)]
            assert result.get(60) == list(range(10))
        print(json.dumps(sorted(number for _, number in got)))
        """,
        method,
        address,
    )
    assert got == list(range(10))


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_the_queue_that_arrives_has_the_serializer_and_manners_of_the_one_sent(
    make, unique, family, script, method
):
    described, answers = unique(family), unique(family)
    make(described)
    make(answers)
    got = script(
        """
        q = open_queue(sys.argv[2], serializer=json, on_signal="retry")
        answers = open_queue(sys.argv[3])
        process = start(describe, q, answers)
        print(json.dumps(answers.get(timeout=60)))
        join(process)
        """,
        method,
        described,
        answers,
    )
    assert got == [family.name, "retry", "json"]


@METHODS
def test_a_process_killed_in_its_wait_leaves_the_queue_to_the_others(
    make, unique, family, script, method
):
    """A multiprocessing.Queue would be locked for ever."""
    ask, answers = unique(family), unique(family)
    make(ask)
    make(answers)
    got = script(
        """
        ask, answers = open_queue(sys.argv[2]), open_queue(sys.argv[3])
        victim = context().Process(target=answer, args=(ask, answers))
        victim.start()
        ask.put("are you there")
        answers.get(timeout=60)
        while open(f"/proc/{victim.pid}/stat").read().rpartition(")")[2].split()[0] != "S":
            time.sleep(0.001)
        victim.kill()
        victim.join(60)
        heir = start(answer, ask, answers)
        ask.put(1)
        assert answers.get(timeout=60) == [1, heir.pid]
        ask.put(None)
        join(heir)
        print(json.dumps([ask.empty(), answers.empty()]))
        """,
        method,
        ask,
        answers,
    )
    assert got == [True, True]


# --- queues without a name -----------------------------------------------------------------------


@METHODS
def test_an_anonymous_queue_goes_to_a_process_by_its_descriptor(script, method):
    got = script(
        """
        with posixmq.Queue.anonymous(4, 256) as q:
            process = start(put_numbers, q, 10)
            got = [q.get(timeout=60)[1] for _ in range(10)]
            join(process)
        print(json.dumps(got))
        """,
        method,
    )
    assert got == list(range(10))


@pytest.mark.semaphores
@METHODS
def test_an_anonymous_queue_goes_to_an_executor_by_the_initializer(script, method):
    got = script(
        """
        with posixmq.Queue.anonymous(4, 256) as q:
            options = {"mp_context": context(), "initializer": keep, "initargs": (q,)}
            with concurrent.futures.ProcessPoolExecutor(2, **options) as pool:
                futures = [pool.submit(put_into_kept, number) for number in range(10)]
                got = sorted(q.get(timeout=60)[1] for _ in futures)
        print(json.dumps(got))
        """,
        method,
    )
    assert got == list(range(10))


@pytest.mark.semaphores
@METHODS
def test_a_task_that_is_given_an_anonymous_queue_fails_and_the_executor_goes_on(script, method):
    """Tasks go through a pipe, in which no descriptor travels; the pool must not hang."""
    got = script(
        """
        with posixmq.Queue.anonymous(4, 256) as q:
            with concurrent.futures.ProcessPoolExecutor(1, mp_context=context()) as pool:
                error = pool.submit(put_into, q, 1).exception(60)
                assert isinstance(error, RuntimeError), error
                assert pool.submit(abs, -1).result(60) == 1
        print(1)
        """,
        method,
    )
    assert got == 1


# --- descriptors ---------------------------------------------------------------------------------


def test_an_unrelated_process_is_sent_a_queue_over_a_socket(tmp_path, start, finish):
    """The socket is found by its path; the queue has no name at all."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as server, posixmq.Queue.anonymous(2, 64) as q:
        server.bind(str(path))
        server.listen()
        server.settimeout(60)
        other = start(
            """
            import socket
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(sys.argv[1])
                message, descriptors, _, _ = socket.recv_fds(connection, 16, 1)
            with posixmq.Queue.from_fd(*descriptors) as q:
                q.put([message.decode(), os.getpid()])
            """,
            path,
        )
        connection, _ = server.accept()
        with connection:
            socket.send_fds(connection, [b"jobs"], [q.fileno()])
        assert q.get(timeout=60) == ["jobs", other.pid]
        finish(other)
