"""Trust: unpickling runs code, so nobody unpickles what somebody else may have put."""

import contextlib
import functools
import importlib
import json
import marshal
import os
import pickle
import re
import types

import pytest

import kind
from harness.errors import refusal
from harness.process import descriptors
from harness.queues import leave, state
from kind import DecodeError, PickleSerializer, Queue, QueueError, RawSerializer, SignedSerializer

ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

WAYS_OUT = ("trusted=True", "SignedSerializer", "runs no code")
OPEN_TO_OTHERS = [0o620, 0o602, 0o622, 0o666]
KEY = bytes(range(32))


# --- serializers -------------------------------------------------------------------------------------


class Sub(PickleSerializer):
    """A subclass that dumps the same way."""


class Own:
    """A serializer of one's own that runs no code."""

    @staticmethod
    def dumps(obj):
        return json.dumps(obj)

    @staticmethod
    def loads(data):
        return json.loads(data)


class Honest(Own):
    """One that says of itself that it runs code."""

    runs_code = True


class Checked(PickleSerializer):
    """One that rests on pickle, but says that it runs no code of others."""

    runs_code = False


class Borrowed:
    """One that borrows pickle's own function."""

    dumps = staticmethod(pickle.dumps)
    loads = staticmethod(pickle.loads)


def module(name):
    """A module of this name whose loads is its own."""
    made = types.ModuleType(name)
    made.dumps, made.loads = pickle.dumps, lambda data: pickle.loads(data)
    return made


def pair(dumps, loads, **others):
    """A serializer of these two functions."""
    return types.SimpleNamespace(dumps=dumps, loads=loads, **others)


RUN_CODE = {
    "the default": None,
    "PickleSerializer": PickleSerializer,
    "an object of it": PickleSerializer(),
    "a subclass": Sub,
    "an object of a subclass": Sub(),
    "the module pickle": pickle,
    "pickle in Python": pair(pickle._dumps, pickle._loads),
    "one that borrows loads": Borrowed,
    "one that borrows PickleSerializer's": pair(PickleSerializer.dumps, PickleSerializer.loads),
    "a partial of pickle's": pair(pickle.dumps, functools.partial(pickle.loads, encoding="latin1")),
    "marshal": marshal,
    "one called cloudpickle": module("cloudpickle"),
    "one called dill": module("dill"),
    "one called dill inside": module("dill._dill"),
    "a copy of cloudpickle in another package": module("joblib.externals.cloudpickle"),
    "one called jsonpickle": module("jsonpickle"),
    "one that says so": Honest,
}
RUN_NONE = {
    "RawSerializer": RawSerializer,
    "an object of it": RawSerializer(),
    "the module json": json,
    "one of one's own": Own(),
    "one whose name is no str": pair(json.dumps, json.loads, __name__=[]),
    "one that says it does not": Checked,
    "a signed pickle": SignedSerializer(KEY),
}
that_runs_code = pytest.mark.parametrize("serializer", RUN_CODE.values(), ids=RUN_CODE)
that_runs_none = pytest.mark.parametrize("serializer", RUN_NONE.values(), ids=RUN_NONE)


def test_the_module_knows_what_runs_code():
    runs_code = kind.mq.serializers.runs_code
    for serializer in RUN_CODE.values():
        if serializer is not None:
            assert runs_code(serializer) is True
    for serializer in RUN_NONE.values():
        assert runs_code(serializer) is False


# --- who may open ------------------------------------------------------------------------------------


@pytest.fixture
def shared(make, address):
    """A queue of this user's own with the mode asked for."""
    return lambda mode, **options: make(address, mode=mode, trusted=True, **options)


@pytest.fixture(params=["address", "handle"])
def by(request):
    """How reopen() opens: by the queue's address, or without it."""
    return request.param


@pytest.fixture
def reopen(by):
    """Open a queue again, and leave it at the end."""
    with contextlib.ExitStack() as opened:

        def reopen(queue, **options):
            if by == "address":
                again = Queue(kind.address_of(queue), **options)
            else:
                again = kind.adopt(queue, **options)
            opened.callback(leave, again)
            return again

        yield reopen


def refused(call, *args, **kwargs):
    """What is said of a queue that is refused for want of trust."""
    error = refusal(call, *args, **kwargs)
    assert error.errno == QueueError.NO_PERMISSIONS
    assert all(words in error.msg for words in WAYS_OUT)
    return error.msg


@that_runs_code
@pytest.mark.parametrize("mode", OPEN_TO_OTHERS, ids=oct)
def test_a_queue_others_may_write_to_is_not_unpickled_from(shared, by, reopen, serializer, mode):
    queue = shared(mode)
    words = refused(reopen, queue, serializer=serializer)
    assert oct(mode) in words
    named = kind.address_of(queue) if by == "address" else getattr(queue, "id", None)
    assert named is None or re.search(f"{re.escape(str(named))}'?:", words)
    if by == "address":
        refused(reopen, queue, serializer=serializer, create=False)


@that_runs_code
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o655, 0o200], ids=oct)
def test_a_queue_only_its_owner_may_write_to_is_unpickled_from(
    shared, by, reopen, serializer, mode
):
    if by == "address" and not mode & 0o400 and os.geteuid() != 0:
        pytest.skip("only root may read what its mode forbids")
    assert reopen(shared(mode), serializer=serializer).trusted is False


@that_runs_none
@pytest.mark.parametrize("mode", [0o600, *OPEN_TO_OTHERS], ids=oct)
def test_a_serializer_that_runs_no_code_reads_from_any_queue(shared, reopen, serializer, mode):
    again = reopen(shared(mode), serializer=serializer)
    item = b"x" if isinstance(serializer, RawSerializer) or serializer is RawSerializer else "x"
    again.put(item)
    assert again.get(timeout=60) == item


@that_runs_code
def test_who_trusts_reads(shared, reopen, serializer):
    assert reopen(shared(0o666), serializer=serializer, trusted=True).trusted is True


def test_trust_goes_by_truth(shared, reopen):
    queue = shared(0o666)
    assert reopen(queue, trusted="yes").trusted is True
    assert reopen(queue, trusted=1).trusted is True
    refused(reopen, queue, trusted=[])


@pytest.mark.parametrize("trusted", [True, False])
def test_a_pickled_queue_is_trusted_as_it_was(make, trusted):
    queue = make(trusted=trusted)
    again = pickle.dumps(queue)
    kind.change_mode(queue, 0o666)
    if trusted:
        with pickle.loads(again) as copy:
            assert copy.trusted is True
    else:
        assert str(getattr(queue, "id", kind.address_of(queue))) in refused(pickle.loads, again)


def test_the_asyncio_queue_is_no_way_round(shared, address):
    asynchronous = importlib.import_module(f"{kind.PACKAGE}.asyncio").Queue
    shared(0o666)
    refused(asynchronous, address)
    leave(asynchronous(address, trusted=True))


# --- what a refusal leaves ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", OPEN_TO_OTHERS, ids=oct)
def test_a_refused_queue_is_not_created(address, mode):
    before = descriptors()
    for options in ({}, {"exclusive": True}):
        assert oct(mode) in refused(Queue, address, mode=mode, **options)
        assert descriptors() == before
        assert not kind.exists(address)


def test_a_refused_queue_that_was_there_stays_as_it_was(shared, address):
    queue = shared(0o666, **kind.room(3))
    queue.put("kept")
    before = state(queue), len(descriptors())
    for options in ({}, {"mode": 0o600}, kind.room(1, 100), {"mode": 0o600, **kind.room(1, 100)}):
        refused(Queue, address, **options)
    refused(kind.adopt, queue)
    assert (state(queue), len(descriptors())) == before
    assert queue.get() == "kept"


def test_the_mode_asked_for_does_not_matter_where_the_queue_exists(shared, make, address):
    queue = shared(0o600)
    make(address, mode=0o666, trusted=False).put("private all the same")
    assert queue.get() == "private all the same"


@pytest.mark.parametrize("error", [ZeroDivisionError("of its own"), KeyboardInterrupt()], ids=repr)
def test_what_a_serializer_raises_when_it_is_asked_passes_and_creates_nothing(make, address, error):
    class Evil(Own):
        @property
        def runs_code(self):
            raise error

    before = descriptors()
    with pytest.raises(type(error)):
        Queue(address, mode=0o666, serializer=Evil())
    assert descriptors() == before
    assert not kind.exists(address)
    with pytest.raises(type(error)):
        kind.adopt(make(), serializer=Evil())


def test_a_serializer_that_opens_the_queue_when_it_is_asked_opens_it_once(fresh):
    first, second = fresh(), fresh()

    class Nested(Own):
        @property
        def runs_code(self):
            with contextlib.suppress(RuntimeError):
                queue.__init__(second)
            return False

    queue = Queue.__new__(Queue)
    with contextlib.closing(queue):
        queue.__init__(first, serializer=Nested())
        assert kind.address_of(queue) == first


# --- what others may do ------------------------------------------------------------------------------


def crafted(target):
    """A pickle that makes a folder."""
    return b"cos\nmkdir\n(V" + str(target).encode() + b"\ntR."


def test_a_crafted_pickle_does_not_run(shared, make, reopen, address, tmp_path):
    target = tmp_path / "made by the message"
    queue = shared(0o622)
    attacker = make(address, serializer=RawSerializer)
    attacker.put(crafted(target))
    for options in ({}, {"serializer": Sub}, {"serializer": pickle}):
        refused(reopen, queue, **options)
    error = refusal(reopen(queue, serializer=SignedSerializer(KEY)).get)
    assert isinstance(error, DecodeError)
    assert error.data == crafted(target)
    assert not target.exists()
    attacker.put(crafted(target))
    reopen(queue, trusted=True).get()  # to show what it was
    assert target.exists()


@ONLY_ROOT
def test_another_users_crafted_pickle_does_not_run(spawn, make, address, tmp_path):
    """The classic: a program of root's reads from a queue that anybody could create first."""
    target = tmp_path / "made by the message"
    code = """
        become(65534)
        with Queue(address(), **kind.room(1), serializer=RawSerializer) as attacker:
            attacker.put(bytes.fromhex(args[1]))
        """
    spawn(code, address, crafted(target).hex()).finish()
    raw = make(address, serializer=RawSerializer)
    for options in ({}, {"create": False}, {"mode": 0o600}, kind.room(1, 100)):
        assert "user 65534 owns" in refused(Queue, address, **options)
    assert "user 65534 owns" in refused(kind.adopt, raw)
    assert not target.exists()
    assert raw.get_nowait() == crafted(target)
