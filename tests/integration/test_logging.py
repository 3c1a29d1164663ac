"""QueueHandler and QueueListener of the standard library work on kernel queues, as they are."""

import contextlib
import logging
import logging.config
import logging.handlers
import os
import pickle
import queue
import signal
import sys
import threading

import pytest

SENTINEL = None  # what QueueListener.stop() puts


class Collect(logging.Handler):
    """Keeps the records that it handles."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)

    @property
    def texts(self):
        return [record.getMessage() for record in self.records]


class Loud(logging.handlers.QueueHandler):
    """A handler that keeps what handleError() is called for."""

    failure = None

    def handleError(self, record):
        self.failure = sys.exc_info()[1]


@pytest.fixture
def logger():
    """A logger on its own, without handlers."""
    logger = logging.Logger("ipcqueue-test", logging.DEBUG)
    yield logger
    for handler in logger.handlers:
        handler.close()


@pytest.fixture
def listen():
    """Start a listener on a queue; it is stopped in the end."""
    started = []

    def listen(queue, *handlers, cls=logging.handlers.QueueListener, **options):
        started.append(cls(queue, *handlers, **options))
        started[-1].start()
        return started[-1]

    yield listen
    for listener in started:
        if listener._thread is not None:
            listener.stop()


WORKER = """
    options = dict(pair.split("=") for pair in sys.argv[3:])
    if options.pop("patient", None):
        class Handler(logging.handlers.QueueHandler):
            def enqueue(self, record):
                self.queue.put(record)
    else:
        Handler = logging.handlers.QueueHandler
    handler = Handler(open_queue(sys.argv[1], **options))
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger().addHandler(handler)
    print(os.getpid(), flush=True)
    for number in range(int(sys.argv[2])):
        logging.getLogger("worker.%d" % number).info("record %d", number)
"""


def test_records_of_unrelated_processes_reach_one_listener(make, address, start, finish, listen):
    q, collect = make(address), Collect()
    listener = listen(q, collect)
    workers = [start(WORKER, address, 1) for _ in range(3)]
    pids = [int(finish(worker)) for worker in workers]
    listener.stop()
    assert sorted(record.process for record in collect.records) == sorted(pids)
    for record in collect.records:
        assert (record.name, record.levelno, record.getMessage()) == (
            "worker.0",
            logging.INFO,
            "record 0",
        )
    assert q.empty()


def test_a_handler_that_waits_loses_no_record(make, address, start, finish, listen):
    q, collect = make(address), Collect()
    listener = listen(q, collect)
    workers = [start(WORKER, address, 150, "patient=yes", "on_signal=retry") for _ in range(3)]
    pids = [int(finish(worker)) for worker in workers]
    listener.stop()
    for pid in pids:
        own = [record.getMessage() for record in collect.records if record.process == pid]
        assert own == [f"record {number}" for number in range(150)]


def test_what_was_logged_while_nobody_listened_is_handled_later(make, address, run, listen):
    run(WORKER, address, 2)
    q, collect = make(address), Collect()
    listen(q, collect).stop()
    assert collect.texts == ["record 0", "record 1"]


@pytest.fixture
def address(address, make):
    """The queue is there before any process looks for it."""
    make(address)
    return address


def test_a_listener_stops_at_its_sentinel_and_leaves_the_rest(make, logger, listen):
    q, collect = make(), Collect()
    logger.addHandler(logging.handlers.QueueHandler(q))
    logger.info("before")
    q.put_nowait(SENTINEL)
    logger.info("after")
    listener = listen(q, collect)
    listener._thread.join(60)
    assert not listener._thread.is_alive()
    assert (collect.texts, q.qsize()) == (["before"], 1)
    listener._thread = None
    listen(q, collect).stop()
    assert collect.texts == ["before", "after"]


def test_a_listener_can_be_started_again(make, logger):
    q, collect = make(), Collect()
    logger.addHandler(logging.handlers.QueueHandler(q))
    listener = logging.handlers.QueueListener(q, collect)
    for number in range(3):
        listener.start()
        logger.info("record %d", number)
        listener.stop()
    assert collect.texts == ["record 0", "record 1", "record 2"]
    assert q.empty()


def test_arguments_and_tracebacks_that_do_not_pickle_are_prepared(make, logger, listen, background):
    q, collect = make(), Collect()
    logger.addHandler(logging.handlers.QueueHandler(q))
    lock = threading.Lock()
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(lock)
    listener = listen(q, collect)
    try:
        raise ValueError("the cause")
    except ValueError:
        logger.exception("failed with %r", lock)
    # in a thread, where the stack is short
    background(logger.info, "%(lock)r", {"lock": lock}, stack_info=True).result()
    listener.stop()
    failed, informed = collect.texts
    assert failed.startswith(f"failed with {lock!r}\nTraceback (most recent call last):\n")
    assert failed.endswith("ValueError: the cause")
    assert informed.startswith(f"{lock!r}\nStack (most recent call last):\n")
    assert collect.records[0].levelno == logging.ERROR
    assert collect.records[0].exc_info is None


def test_an_extra_that_does_not_pickle_reaches_handle_error(make, logger):
    q = make()
    handler = Loud(q)
    logger.addHandler(handler)
    logger.info("x", extra={"lock": threading.Lock()})
    assert isinstance(handler.failure, (TypeError, pickle.PicklingError))
    assert q.empty()


def test_a_full_queue_reaches_handle_error_and_does_not_block(make, logger, listen, until):
    q, collect = make(), Collect()
    handler = Loud(q)
    logger.addHandler(handler)
    sent = 0
    while handler.failure is None:
        logger.info("record %d", sent)
        sent += 1
    assert isinstance(handler.failure, queue.Full)
    collected = sent - 1
    listen(q, collect)
    until(lambda: len(collect.texts) == collected)
    assert collect.texts == [f"record {number}" for number in range(collected)]


def test_stop_may_find_the_queue_full_as_its_documentation_says(make):
    """The sentinel is put without waiting; docs/howto-logging.md has a listener that waits."""
    q = make()
    with contextlib.suppress(queue.Full):
        while True:
            q.put_nowait(SENTINEL)
    listener = logging.handlers.QueueListener(q)
    with pytest.raises(queue.Full):
        listener.enqueue_sentinel()


def test_by_default_a_full_queue_is_reported_on_stderr(make, logger, capsys, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", True)
    q = make()
    logger.addHandler(logging.handlers.QueueHandler(q))
    for _ in range(100):
        logger.info("x")
    assert "--- Logging error ---" in capsys.readouterr().err


def test_too_long_a_record_reaches_handle_error_and_the_next_one_passes(
    make, family, logger, listen
):
    q, collect = make(), Collect()
    handler = Loud(q)
    logger.addHandler(handler)
    logger.info("x" * 70000)
    assert isinstance(handler.failure, family.module.QueueError)
    assert handler.failure.errno == family.module.QueueError.TOO_BIG_MESSAGE
    listener = listen(q, collect)
    logger.info("short")
    listener.stop()
    assert collect.texts == ["short"]


def test_an_ordinary_record_fits_in_1024_bytes_and_one_with_a_traceback_in_8192():
    """What the how-to says; a record holds the path of its file and the formatted message."""
    kept = []

    class Keep(logging.handlers.QueueHandler):
        def enqueue(self, record):
            kept.append(len(pickle.dumps(record, 1)))

    def fail(depth):
        return fail(depth - 1) if depth else {}["no such key"]

    logger = logging.Logger("a.logger.with.a.long.name")
    logger.addHandler(Keep(None))
    logger.info("x" * 100)
    try:
        fail(20)
    except KeyError:
        logger.exception("y" * 100)
    short, long = kept
    assert 400 < short < 1024 < long < 8192


def test_levels_are_respected(make, logger, listen):
    q, everything, errors = make(), Collect(), Collect()
    errors.setLevel(logging.ERROR)
    logger.addHandler(logging.handlers.QueueHandler(q))
    listener = listen(q, everything, errors, respect_handler_level=True)
    logger.info("note")
    logger.error("fault")
    listener.stop()
    assert (everything.texts, errors.texts) == (["note", "fault"], ["fault"])


def test_a_signal_does_not_end_a_listener(make, logger, listen):
    """It waits in a thread of its own, where a signal is never an INTERRUPTED."""
    q, collect, seen = make(), Collect(), []
    before = signal.signal(signal.SIGUSR1, lambda *args: seen.append(args))
    try:
        logger.addHandler(logging.handlers.QueueHandler(q))
        listener = listen(q, collect)
        for _ in range(20):
            os.kill(os.getpid(), signal.SIGUSR1)
        logger.info("still here")
        listener.stop()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen
    assert collect.texts == ["still here"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="dictConfig makes queues from 3.12 on")
def test_dict_config_makes_the_queue_the_handler_and_the_listener(family, address):
    """From a description; objects are accepted by newer releases only."""
    where = {"name": address} if family.name == "posixmq" else {"key": address}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {
                "collect": {"()": lambda: Collect()},
                "queue": {
                    "class": "logging.handlers.QueueHandler",
                    "queue": {"()": f"ipcqueue.{family.name}.Queue", **where},
                    "handlers": ["collect"],
                },
            },
            "loggers": {"ipcqueue.test": {"handlers": ["queue"], "level": "INFO"}},
        }
    )
    logger, handler = logging.getLogger("ipcqueue.test"), logging.getHandlerByName("queue")
    try:
        assert type(handler.queue) is family.module.Queue
        handler.listener.start()
        logger.info("configured")
        handler.listener.stop()
        assert logging.getHandlerByName("collect").texts == ["configured"]
    finally:
        family.let_go(handler.queue)
        logger.handlers.clear()
