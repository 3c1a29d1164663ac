"""ipcqueue.serializers serves both kinds of queue, as in release 0.9.7."""

import os
import pickle
import secrets
from types import SimpleNamespace

import pytest

import posixmq as plain_posixmq
import sysvmq as plain_sysvmq
from ipcqueue import posixmq, sysvmq
from ipcqueue.serializers import PickleSerializer, RawSerializer


def posix_queue(**options):
    return posixmq.Queue(f"/ipcqueue-test-{os.getpid()}-{secrets.token_hex(6)}", **options)


def sysv_queue(**options):
    return sysvmq.Queue(**options)


@pytest.fixture(params=[posix_queue, sysv_queue], ids=["posixmq", "sysvmq"])
def make(request):
    """Make queues of both kinds, which are removed at the end."""
    made = []

    def make_one(**options):
        made.append(request.param(**options))
        return made[-1]

    yield make_one
    for q in made:
        q.close()
        if isinstance(q, posixmq.Queue):
            q.unlink()


def test_raw_bytes_pass_unchanged(make):
    q = make(serializer=RawSerializer)
    for sent in (b"\x00\xff", bytearray(b"array"), memoryview(b"view")):
        q.put(sent)
        received = q.get()
        assert received == bytes(sent)
        assert type(received) is bytes


def test_raw_refuses_what_is_no_buffer(make):
    q = make(serializer=RawSerializer)
    with pytest.raises(TypeError):
        q.put(["no", "bytes"])
    assert q.qsize() == 0


def test_pickle_is_what_the_default_does(make):
    plain, named = make(), make(serializer=PickleSerializer)
    for q in (plain, named):
        q.put({"a": (1, 2.5, None)})
        assert q.get() == {"a": (1, 2.5, None)}


@pytest.mark.parametrize("package", [plain_posixmq, plain_sysvmq], ids=lambda each: each.__name__)
def test_what_rests_on_either_package_s_pickle_is_not_trusted(make, package):
    class Sub(package.PickleSerializer):
        pass

    loads = package.PickleSerializer.loads
    borrowed = SimpleNamespace(dumps=package.PickleSerializer.dumps, loads=loads)
    for serializer in (package.PickleSerializer, Sub, Sub(), borrowed):
        with pytest.raises(OSError, match="trusted=True"):
            make(mode=0o666, serializer=serializer)


def test_pickle_protocol_reaches_the_pickle(make):
    q = make(serializer=PickleSerializer)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        q.put([1, "A"], pickle_protocol=protocol)
        assert q.get() == [1, "A"]


def test_the_classes_have_the_interface_of_0_9_7():
    assert PickleSerializer.loads(PickleSerializer.dumps([1, "A"])) == [1, "A"]
    assert PickleSerializer.dumps([1, "A"]) == pickle.dumps([1, "A"], protocol=1)
    assert RawSerializer.loads(RawSerializer.dumps(b"bytes")) == b"bytes"


def test_subclasses_are_asked(make):
    class Shouting(RawSerializer):
        @staticmethod
        def loads(data):
            return bytes(data).upper()

    q = make(serializer=Shouting)
    q.put(b"hello")
    assert q.get() == b"HELLO"
