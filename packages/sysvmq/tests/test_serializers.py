"""Anything with dumps and loads serves; what it raises comes through."""

import array
import json
import marshal
import pickle
from queue import Empty, Full
from types import SimpleNamespace

import pytest

import sysvmq
from sysvmq import DecodeError, PickleSerializer, Queue, RawSerializer


def test_pickle_is_the_default(make):
    assert make().serializer is PickleSerializer
    assert make(serializer=None).serializer is PickleSerializer
    assert make(serializer=PickleSerializer).serializer is PickleSerializer


def test_the_serializers_module_holds_both():
    assert sysvmq.serializers.PickleSerializer is PickleSerializer
    assert sysvmq.serializers.RawSerializer is RawSerializer


@pytest.mark.parametrize("serializer", [PickleSerializer, PickleSerializer()])
def test_pickle_serializer_serves_by_itself(serializer):
    data = serializer.dumps([1, "A"])
    assert data == pickle.dumps([1, "A"], 1)
    assert serializer.loads(data) == [1, "A"]


@pytest.mark.parametrize("serializer", [RawSerializer, RawSerializer()])
def test_raw_serializer_serves_by_itself(serializer):
    assert serializer.dumps(b"x") == b"x"
    assert serializer.loads(b"x") == b"x"


@pytest.mark.parametrize("serializer", [PickleSerializer, PickleSerializer()])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_protocol_is_the_protocol_of_the_bytes(make, serializer, protocol):
    queue = make(serializer=serializer)
    reader = make(queue.key, serializer=RawSerializer)
    item = {"a": [1, 2.5, "text"]}
    queue.put(item, pickle_protocol=protocol)
    queue.put_nowait(item, pickle_protocol=protocol)
    queue.put(item, True, 1, protocol)
    for _ in range(3):
        assert reader.get() == pickle.dumps(item, protocol)


def test_protocol_1_is_the_default(q, make):
    reader = make(q.key, serializer=RawSerializer)
    q.put({"a": 1})
    assert reader.get() == pickle.dumps({"a": 1}, 1)


def test_a_negative_protocol_is_pickle_s_highest(q, make):
    reader = make(q.key, serializer=RawSerializer)
    q.put({"a": 1}, pickle_protocol=-1)
    assert reader.get() == pickle.dumps({"a": 1}, -1)


@pytest.mark.parametrize(
    "data",
    [
        b"bytes",
        bytearray(b"bytearray"),
        memoryview(b"memoryview"),
        memoryview(b"..sliced..")[2:8],
        array.array("d", [1.0, 2.0]),
        memoryview(array.array("i", range(6))).cast("B").cast("i", (2, 3)),
    ],
    ids=lambda data: type(data).__name__,
)
def test_raw_takes_any_contiguous_buffer(raw, data):
    raw.put(data)
    assert raw.get() == bytes(data)


def test_raw_takes_a_strided_buffer_whole_or_not_at_all(raw):
    strided = memoryview(b"a.b.c.")[::2]
    try:
        raw.put(strided)
    except (BufferError, ValueError, TypeError):
        assert raw.empty()
    else:
        assert raw.get() == b"abc"


def test_raw_gives_the_buffer_back(raw):
    data = bytearray(b"abc")
    raw.put(data)
    data.append(1)  # BufferError while anybody still holds the buffer
    view = memoryview(b"x" * 10**5)
    with pytest.raises(sysvmq.QueueError):
        raw.put(view)
    view.release()


def test_raw_ignores_the_pickle_protocol(raw):
    raw.put(b"x", pickle_protocol=77)
    assert raw.get() == b"x"


def test_a_subclass_of_raw_serializer_is_asked(make):
    class Upper(RawSerializer):
        @staticmethod
        def dumps(obj):
            return obj.upper()

    queue = make(serializer=Upper)
    queue.put(b"abc")
    assert queue.get() == b"ABC"


def test_a_subclass_of_pickle_serializer_is_asked(make):
    class Tagged(PickleSerializer):
        @staticmethod
        def loads(data):
            return "tagged", pickle.loads(data)

    queue = make(serializer=Tagged)
    queue.put(1)
    assert queue.get() == ("tagged", 1)


@pytest.mark.parametrize("serializer", [json, marshal, pickle])
def test_modules_with_dumps_and_loads_serve(make, serializer):
    queue = make(serializer=serializer)
    assert queue.serializer is serializer
    queue.put({"a": [1, 2, None]}, pickle_protocol=77)
    assert queue.get() == {"a": [1, 2, None]}


def test_an_instance_serves_and_is_kept_alive(make):
    class Shift:
        def __init__(self, by):
            self.by = by

        def dumps(self, obj):
            return bytes(b + self.by for b in obj)

        def loads(self, data):
            return bytes(b - self.by for b in data)

    queue = make(serializer=Shift(3))
    reader = make(queue.key, serializer=RawSerializer)
    queue.put(b"abc")
    assert queue.get() == b"abc"
    queue.put(b"abc")
    assert reader.get() == b"def"


def test_text_from_dumps_is_sent_as_utf_8(make):
    queue = make(serializer=SimpleNamespace(dumps=lambda obj: "\0ä€😀" + obj, loads=bytes))
    queue.put("x")
    assert queue.get() == "\0ä€😀x".encode()


def test_text_that_has_no_utf_8_is_refused(make):
    queue = make(serializer=SimpleNamespace(dumps=lambda obj: "\ud800", loads=bytes))
    with pytest.raises(UnicodeEncodeError):
        queue.put("x")
    assert queue.empty()


@pytest.mark.parametrize(
    "kind", [bytes, bytearray, memoryview, lambda data: array.array("B", data)]
)
def test_dumps_may_give_any_bytes_like_object(make, kind):
    queue = make(serializer=SimpleNamespace(dumps=kind, loads=bytes.decode))
    queue.put(b"abc")
    assert queue.get() == "abc"


def test_loads_is_given_bytes(make):
    queue = make(serializer=SimpleNamespace(dumps=bytes, loads=type))
    queue.put(b"abc")
    assert queue.get() is bytes


@pytest.mark.parametrize("result", [None, 1, [b"x"], object()])
def test_dumps_that_gives_no_bytes_is_a_type_error(make, result):
    queue = make(serializer=SimpleNamespace(dumps=lambda obj: result, loads=bytes))
    with pytest.raises(TypeError):
        queue.put("x")
    assert queue.empty()


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_what_dumps_raises_comes_through(make, error):
    def dumps(obj):
        raise error("dumps")

    queue = make(serializer=SimpleNamespace(dumps=dumps, loads=bytes))
    with pytest.raises(error, match="dumps"):
        queue.put("x")
    assert queue.empty()
    with pytest.raises(Empty):
        queue.get_nowait()


def test_what_loads_raises_is_a_decode_error_that_keeps_the_bytes(make):
    def loads(data):
        raise LookupError("loads")

    queue = make(serializer=SimpleNamespace(dumps=bytes, loads=loads))
    queue.put(b"precious", msg_type=9)
    with pytest.raises(DecodeError) as caught:
        queue.get()
    assert caught.value.data == b"precious"
    assert caught.value.msg_type == 9
    assert isinstance(caught.value.__cause__, LookupError)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_what_is_no_error_of_the_serializers_passes_with_the_bytes(make, error):
    def loads(data):
        raise error

    queue = make(serializer=SimpleNamespace(dumps=bytes, loads=loads))
    queue.put(b"precious", msg_type=9)
    with pytest.raises(type(error)) as caught:
        queue.get()
    assert caught.value is error
    assert (error.data, error.msg_type) == (b"precious", 9)
    assert queue.empty()


def test_json_that_does_not_parse_is_a_decode_error(make):
    queue = make(serializer=json)
    make(queue.key, serializer=RawSerializer).put(b"{")
    with pytest.raises(DecodeError) as caught:
        queue.get()
    assert isinstance(caught.value.__cause__, json.JSONDecodeError)


def test_an_unusable_serializer_creates_no_queue(key, make):
    with pytest.raises((TypeError, AttributeError)):
        Queue(key, serializer=object())
    with pytest.raises(sysvmq.QueueError) as caught:
        Queue(key, create=False)
    assert caught.value.errno == sysvmq.QueueError.DOES_NOT_EXIST


def test_each_opener_has_a_serializer_of_its_own(make, key):
    writer, reader = make(key, serializer=json), make(key, serializer=RawSerializer)
    writer.put([1])
    assert reader.get() == b"[1]"


def test_a_serializer_sees_each_item_once(make):
    seen = []

    def dumps(obj):
        seen.append(obj)
        return b"x" * 16

    queue = make(max_bytes=16, serializer=SimpleNamespace(dumps=dumps, loads=len))
    queue.put(1)
    with pytest.raises(Full):
        queue.put(2, timeout=0.02)
    assert seen == [1, 2]
    assert queue.get() == 16


@pytest.mark.parametrize("kind", [PickleSerializer, RawSerializer])
def test_an_object_s_own_loads_is_refused_as_it_would_not_be_called(kind):
    with pytest.raises(AttributeError):
        kind().loads = bytes
