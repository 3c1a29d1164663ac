"""Serializers: anything with dumps and loads; a failing one changes nothing and loses nothing."""

import array
import json
import marshal
import pickle
import queue

import pytest

from posixmq import DecodeError, PickleSerializer, QueueError, RawSerializer


class Upper:
    """A serializer of text that remembers what it was asked."""

    def __init__(self):
        self.calls = []

    def dumps(self, *args, **kwargs):
        self.calls.append(("dumps", args, kwargs))
        return args[0].upper().encode()

    def loads(self, *args, **kwargs):
        self.calls.append(("loads", args, kwargs))
        return args[0].decode().lower()


class Fixed:
    """A serializer whose dumps returns, or raises, what it was given."""

    def __init__(self, outcome):
        self.outcome = outcome

    def dumps(self, obj):
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome

    def loads(self, data):
        return data


def test_the_module_serializers_holds_the_same_classes():
    import posixmq.serializers

    assert posixmq.serializers.PickleSerializer is PickleSerializer
    assert posixmq.serializers.RawSerializer is RawSerializer


@pytest.mark.parametrize(
    "data",
    [b"", b"abc", bytearray(b"abc"), memoryview(b"abc"), array.array("i", [1, 2, 3])],
    ids=lambda data: f"{type(data).__name__} of {len(data)}",
)
def test_raw_takes_any_bytes_and_gives_bytes(make, data):
    q = make(serializer=RawSerializer)
    q.put(data)
    got = q.get()
    assert type(got) is bytes
    assert got == bytes(data)


@pytest.mark.parametrize("item", ["text", 5, None, 1.5, [b"x"], object()], ids=repr)
def test_raw_refuses_what_is_no_bytes(make, item):
    q = make(serializer=RawSerializer)
    with pytest.raises(TypeError):
        q.put(item)
    assert q.empty()


def test_raw_lets_go_of_the_buffer(make):
    q = make(maxsize=1, serializer=RawSerializer)
    buffer = bytearray(b"abc")
    q.put(buffer)
    with pytest.raises(queue.Full):
        q.put_nowait(buffer)
    buffer.extend(b"resizable again")


def test_raw_works_as_a_serializer_object_too(make):
    q = make(serializer=RawSerializer())
    q.put(b"abc")
    assert q.get() == b"abc"


def test_raw_may_be_used_by_itself():
    assert RawSerializer.dumps(b"abc") == b"abc"
    assert RawSerializer.loads(b"abc") == b"abc"


def test_pickle_may_be_used_by_itself():
    assert PickleSerializer.loads(PickleSerializer.dumps([1, "A"])) == [1, "A"]


@pytest.mark.parametrize("serializer", [None, PickleSerializer], ids=["default", "named"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_follows_the_protocol(make, name, serializer, protocol):
    q, raw = make(name, serializer=serializer), make(name, serializer=RawSerializer)
    assert q.serializer is PickleSerializer
    q.put({"a": b"b"}, pickle_protocol=protocol)
    q.put_nowait({"a": b"b"}, pickle_protocol=protocol)
    assert raw.get() == raw.get() == pickle.dumps({"a": b"b"}, protocol)


def test_pickle_reads_every_protocol(make, name):
    q, raw = make(name), make(name, serializer=RawSerializer)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        raw.put(pickle.dumps({"a": b"b"}, protocol))
        assert q.get() == {"a": b"b"}


@pytest.mark.parametrize("module", [json, marshal, pickle], ids=lambda module: module.__name__)
def test_a_module_works_as_it_is(make, name, module):
    q, raw = make(name, serializer=module), make(name, serializer=RawSerializer)
    item = {"a": [1, 2.5, "žluť", None, True]}
    q.put(item)
    assert q.get() == item
    assert q.serializer is module
    q.put_nowait(item)
    data = module.dumps(item)
    assert raw.get() == (data.encode() if isinstance(data, str) else data)


def test_text_from_dumps_is_utf_8(make, name):
    q, raw = (
        make(name, serializer=Fixed("až\N{SNOWMAN}\U0001f600\0")),
        make(name, serializer=RawSerializer),
    )
    q.put(None)
    assert raw.get() == "až\N{SNOWMAN}\U0001f600\0".encode()


def test_text_that_is_no_utf_8_is_refused(make):
    q = make(serializer=Fixed("\ud800"))
    with pytest.raises(UnicodeEncodeError):
        q.put(None)
    assert q.empty()


@pytest.mark.parametrize(
    "made",
    [b"", b"abc", bytearray(b"abc"), memoryview(b"abc"), array.array("b", b"abc")],
    ids=lambda made: f"{type(made).__name__} of {len(made)}",
)
def test_dumps_may_return_any_bytes(make, made):
    q = make(serializer=Fixed(made))
    q.put(None)
    assert q.get() == bytes(made)


@pytest.mark.parametrize("made", [None, 5, 1.5, [b"abc"], object()], ids=lambda m: type(m).__name__)
def test_dumps_that_returns_no_bytes_is_refused(make, made):
    q = make(serializer=Fixed(made))
    with pytest.raises(TypeError):
        q.put("x")
    assert q.empty()


def test_a_custom_serializer_sees_the_item_and_the_bytes_alone(make):
    serializer = Upper()
    q = make(serializer=serializer)
    q.put("abc", pickle_protocol=4)
    q.put_nowait("def", 0, 4)
    assert [q.get(), q.get_nowait()] == ["abc", "def"]
    assert serializer.calls == [
        ("dumps", ("abc",), {}),
        ("dumps", ("def",), {}),
        ("loads", (b"ABC",), {}),
        ("loads", (b"DEF",), {}),
    ]
    assert all(type(args[0]) is bytes for what, args, _ in serializer.calls if what == "loads")
    assert q.serializer is serializer


def test_a_class_with_static_methods_is_a_serializer(make):
    class Twice:
        @staticmethod
        def dumps(obj):
            return obj * 2

        @staticmethod
        def loads(data):
            return data[: len(data) // 2]

    q = make(serializer=Twice)
    q.put(b"ab")
    assert q.get() == b"ab"


def test_a_subclass_of_pickle_serializer_has_the_last_word(make):
    class Refusing(PickleSerializer):
        @staticmethod
        def loads(data):
            raise PermissionError("no pickles from strangers")

    q = make(serializer=Refusing)
    q.put("x")
    with pytest.raises(DecodeError) as caught:
        q.get()
    assert isinstance(caught.value.__cause__, PermissionError)


def test_a_subclass_of_raw_serializer_has_the_last_word(make):
    class Reversed(RawSerializer):
        @staticmethod
        def loads(data):
            return data[::-1]

    q = make(serializer=Reversed)
    q.put(b"abc")
    assert q.get() == b"cba"


@pytest.mark.parametrize("error", [ZeroDivisionError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_what_dumps_raises_passes_and_nothing_is_sent(make, error):
    q = make(serializer=Fixed(error))
    with pytest.raises(type(error)) as caught:
        q.put("x")
    assert caught.value is error
    assert q.empty()


def test_what_loads_raises_is_the_cause_of_a_decode_error(make, name):
    class Failing(Fixed):
        def loads(self, data):
            raise self.outcome

    error = ZeroDivisionError("no")
    q = make(name, serializer=Failing(error))
    make(name, serializer=RawSerializer).put(b"payload", priority=5)
    with pytest.raises(DecodeError) as caught:
        q.get()
    assert caught.value.__cause__ is error
    assert (caught.value.data, caught.value.priority) == (b"payload", 5)
    assert caught.value.errno == QueueError.ERROR
    assert q.empty()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_what_is_no_error_of_the_serializers_passes_through_loads(make, error):
    class Failing:
        @staticmethod
        def dumps(obj):
            return obj

        @staticmethod
        def loads(data):
            raise error

    q = make(serializer=Failing)
    q.put(b"payload", priority=3)
    with pytest.raises(type(error)) as caught:
        q.get()
    assert caught.value is error
    assert (error.data, error.priority) == (b"payload", 3)  # it does not cost the message


def test_a_message_made_too_long_by_dumps_is_refused(make):
    q = make(serializer=Fixed("x" * 257))
    with pytest.raises(QueueError) as caught:
        q.put("short")
    assert caught.value.errno == QueueError.TOO_BIG_MESSAGE
    assert q.empty()


def test_a_serializer_may_use_the_queue_itself(make):
    class Nested:
        def dumps(self, obj):
            if obj == b"outer":
                q.put(b"inner")
            return obj

        def loads(self, data):
            return (data, q.get()) if data == b"inner" else data

    q = make(serializer=Nested())
    q.put(b"outer")
    assert q.get() == (b"inner", b"outer")


def test_dumps_may_close_the_queue(make):
    class Closing(Fixed):
        def dumps(self, obj):
            q.close()
            return b"abc"

    q = make(serializer=Closing(None))
    with pytest.raises(QueueError) as caught:
        q.put("x")
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR


def test_loads_may_close_the_queue(make, name):
    class Closing(Fixed):
        def loads(self, data):
            q.close()
            return data

    q = make(name, serializer=Closing(b"abc"))
    q.put("x")
    assert q.get() == b"abc"
    assert q.closed


def test_dumps_that_changes_the_buffer_it_returned_does_no_harm(make):
    class Shared:
        buffer = bytearray(b"abc")

        def dumps(self, obj):
            return self.buffer

        def loads(self, data):
            return data

    q = make(serializer=Shared())
    q.put(None)
    Shared.buffer[:] = b"xyz and more"
    assert q.get() == b"abc"


def test_openers_may_use_different_serializers(make, name):
    text, raw = make(name, serializer=json), make(name, serializer=RawSerializer)
    raw.put(b"[1, 2]")
    assert text.get() == [1, 2]


@pytest.mark.parametrize("kind", [PickleSerializer, RawSerializer])
def test_an_object_s_own_loads_is_refused_as_it_would_not_be_called(kind):
    with pytest.raises(AttributeError):
        kind().loads = bytes
