"""Serializers: anything with dumps and loads; a failing one changes nothing and loses nothing."""

import array
import json
import marshal
import pickle
import queue
from types import SimpleNamespace

import pytest

import kind
from harness.calls import Call
from harness.errors import is_closed, refusal
from kind import MARK, DecodeError, PickleSerializer, QueueError, RawSerializer, mark

ITEM = {"a": [1, 2.5, "žluť", None, True]}
BYTES = [
    b"",
    b"abc",
    bytearray(b"abc"),
    memoryview(b"abc"),
    memoryview(b"..sliced..")[2:8],
    array.array("d", [1.0, 2.0]),
    memoryview(array.array("i", range(6))).cast("B").cast("i", (2, 3)),
]
NO_BYTES = [None, 5, 1.5, [b"abc"], object()]

every_pickle = pytest.mark.parametrize("serializer", [None, PickleSerializer, PickleSerializer()])
every_protocol = pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
any_bytes = pytest.mark.parametrize("data", BYTES, ids=lambda data: type(data).__name__)


def pair(dumps=bytes, loads=bytes):
    """A serializer of these two functions."""
    return SimpleNamespace(dumps=dumps, loads=loads)


def giving(result):
    """A serializer whose dumps returns this whatever it is given."""
    return pair(lambda item: result)


def raising(error):
    """A function that raises this error."""

    def call(*_):
        raise error

    return call


# --- those of the package ----------------------------------------------------------------------------


def test_the_module_serializers_holds_the_same_classes():
    for name in ("PickleSerializer", "RawSerializer", "SignedSerializer"):
        assert getattr(kind.mq.serializers, name) is getattr(kind, name)


@pytest.mark.parametrize("serializer", [PickleSerializer, PickleSerializer()])
def test_pickle_may_be_used_by_itself(serializer):
    data = serializer.dumps([1, "A"])
    assert data == pickle.dumps([1, "A"], 1)
    assert serializer.loads(data) == [1, "A"]


@pytest.mark.parametrize("serializer", [RawSerializer, RawSerializer()])
def test_raw_may_be_used_by_itself(serializer):
    assert serializer.dumps(b"abc") == b"abc"
    assert serializer.loads(b"abc") == b"abc"


@pytest.mark.parametrize("options", [{}, {"serializer": None}, {"serializer": PickleSerializer}])
def test_pickle_is_the_default(make, options):
    assert make(**options).serializer is PickleSerializer


@every_pickle
@every_protocol
def test_pickle_follows_the_protocol(make, address, serializer, protocol):
    q, raw = make(address, serializer=serializer), make(address, serializer=RawSerializer)
    before = (True, None, 0) if kind.PACKAGE == "posixmq" else (True, 1)
    for put in (
        lambda: q.put(ITEM, pickle_protocol=protocol),
        lambda: q.put(ITEM, *before, protocol),
        lambda: q.put_nowait(ITEM, pickle_protocol=protocol),
        lambda: q.put_nowait(ITEM, kind.DEFAULT_MARK, protocol),
    ):
        put()
        assert raw.get() == pickle.dumps(ITEM, protocol)


@pytest.mark.parametrize(
    ("options", "protocol"), [({}, 1), ({"pickle_protocol": -1}, pickle.HIGHEST_PROTOCOL)]
)
def test_protocol_1_is_the_default_and_a_negative_one_the_highest(make, address, options, protocol):
    q, raw = make(address), make(address, serializer=RawSerializer)
    q.put(ITEM, **options)
    assert raw.get() == pickle.dumps(ITEM, protocol)


@every_protocol
def test_pickle_reads_every_protocol(make, address, protocol):
    make(address, serializer=RawSerializer).put(pickle.dumps(ITEM, protocol))
    assert make(address).get() == ITEM


@any_bytes
@pytest.mark.parametrize("serializer", [RawSerializer, RawSerializer()], ids=["class", "object"])
def test_raw_takes_any_bytes_and_gives_bytes(make, serializer, data):
    q = make(serializer=serializer)
    q.put(data)
    got = q.get()
    assert type(got) is bytes
    assert got == bytes(data)


@pytest.mark.parametrize(
    "bad",
    [memoryview(bytes(20))[::2], memoryview(bytearray(20))[::-1], "text", *NO_BYTES],
    ids=["every other byte", "backwards", "text", *map(repr, NO_BYTES[:-1]), "an object"],
)
def test_raw_refuses_what_is_no_bytes_or_not_in_one_piece(raw, bad):
    good = bytearray(b"good")
    for call in (lambda: raw.put(bad), lambda: raw.put_many([good, bad, good])):
        with pytest.raises((BufferError, TypeError)):
            call()
    good.extend(b": nobody holds it")
    assert raw.empty()


def test_raw_lets_go_of_the_buffer_whether_it_was_sent_or_not(full):
    buffer, longer = bytearray(b"x" * 16), bytearray(100_000)
    with pytest.raises(queue.Full):
        full.put_nowait(buffer)
    full.get()
    full.put(buffer)
    assert refusal(full.put, longer).errno == QueueError.TOO_BIG_MESSAGE
    for each in (buffer, longer):
        each.extend(b"resizable again")


@pytest.mark.parametrize("batch", [False, True], ids=["put", "put_many"])
def test_raw_holds_the_buffer_while_it_waits_and_no_longer(full, batch):
    buffer = bytearray(b"second")
    waiting = Call(full.put_many if batch else full.put, [buffer] if batch else buffer)
    waiting.until_asleep()
    with pytest.raises(BufferError):
        buffer.extend(b"while it is in use")
    assert full.get() == b"f" * 16
    waiting.result()
    buffer.extend(b" and free")
    assert full.get() == b"second"


@pytest.mark.parametrize("cls", [PickleSerializer, RawSerializer])
def test_an_object_s_own_loads_is_refused_as_it_would_not_be_called(cls):
    with pytest.raises(AttributeError):
        cls().loads = bytes


def test_a_subclass_of_raw_serializer_has_the_last_word(make):
    class Reversed(RawSerializer):
        @staticmethod
        def dumps(obj):
            return obj.upper()

        @staticmethod
        def loads(data):
            return data[::-1]

    q = make(serializer=Reversed)
    q.put(b"abc")
    assert q.get() == b"CBA"


def test_a_subclass_of_pickle_serializer_has_the_last_word(make):
    class Tagged(PickleSerializer):
        @staticmethod
        def loads(data):
            return "tagged", pickle.loads(data)

    class Refusing(PickleSerializer):
        loads = staticmethod(raising(PermissionError("no pickles from strangers")))

    q = make(serializer=Tagged)
    q.put(1)
    assert q.get() == ("tagged", 1)
    q = make(serializer=Refusing)
    q.put(1)
    assert isinstance(refusal(q.get).__cause__, PermissionError)


# --- any others --------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [json, marshal, pickle], ids=lambda module: module.__name__)
def test_a_module_works_as_it_is(make, address, module):
    q, raw = make(address, serializer=module), make(address, serializer=RawSerializer)
    assert q.serializer is module
    q.put(ITEM)
    assert q.get() == ITEM
    q.put_nowait(ITEM)
    data = module.dumps(ITEM)
    assert raw.get() == (data.encode() if isinstance(data, str) else data)


@pytest.mark.parametrize("serializer", [json, RawSerializer, pair()], ids=["json", "raw", "own"])
def test_the_pickle_protocol_is_nothing_to_others(make, address, serializer):
    q, raw = make(address, serializer=serializer), make(address, serializer=RawSerializer)
    q.put([1] if serializer is json else b"[1]", pickle_protocol=77)
    assert raw.get() == b"[1]"


def test_a_serializer_sees_the_item_and_the_bytes_alone(make):
    calls = []

    class Upper:
        def dumps(self, *args, **kwargs):
            calls.append(("dumps", args, kwargs))
            return args[0].upper().encode()

        def loads(self, *args, **kwargs):
            calls.append(("loads", args, kwargs))
            return args[0].decode().lower()

    serializer = Upper()
    q = make(serializer=serializer)
    assert q.serializer is serializer
    q.put("abc", pickle_protocol=4)
    q.put_nowait("def", kind.DEFAULT_MARK, 4)
    assert [q.get(), q.get_nowait()] == ["abc", "def"]
    assert calls == [
        ("dumps", ("abc",), {}),
        ("dumps", ("def",), {}),
        ("loads", (b"ABC",), {}),
        ("loads", (b"DEF",), {}),
    ]
    assert all(type(args[0]) is bytes for what, args, _ in calls if what == "loads")


def test_a_serializer_sees_each_item_once(make):
    seen = []
    q = make(**kind.room(1, 16), serializer=pair(lambda item: seen.append(item) or b"x" * 16, len))
    q.put(1)
    with pytest.raises(queue.Full):
        q.put(2, timeout=0.02)
    assert seen == [1, 2]
    assert q.get() == 16


def test_an_object_is_kept_alive(make, address):
    class Shift:
        def __init__(self, by):
            self.by = by

        def dumps(self, obj):
            return bytes(byte + self.by for byte in obj)

        def loads(self, data):
            return bytes(byte - self.by for byte in data)

    q, raw = make(address, serializer=Shift(3)), make(address, serializer=RawSerializer)
    q.put(b"abc")
    assert q.get() == b"abc"
    q.put(b"abc")
    assert raw.get() == b"def"


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


def test_each_opener_has_a_serializer_of_its_own(make, address):
    text, raw = make(address, serializer=json), make(address, serializer=RawSerializer)
    raw.put(b"[1, 2]")
    assert text.get() == [1, 2]
    text.put([1])
    assert raw.get() == b"[1]"


def test_text_from_dumps_is_utf_8(make):
    q = make(serializer=giving("až\N{SNOWMAN}\U0001f600\0"))
    q.put(None)
    assert q.get() == "až\N{SNOWMAN}\U0001f600\0".encode()


def test_text_that_is_no_utf_8_is_refused(make):
    q = make(serializer=giving("\ud800"))
    with pytest.raises(UnicodeEncodeError):
        q.put(None)
    assert q.empty()


@any_bytes
def test_dumps_may_return_any_bytes(make, data):
    q = make(serializer=giving(data))
    q.put(None)
    assert q.get() == bytes(data)


@pytest.mark.parametrize("made", NO_BYTES, ids=lambda made: type(made).__name__)
def test_dumps_that_returns_no_bytes_is_refused(make, made):
    q = make(serializer=giving(made))
    with pytest.raises(TypeError):
        q.put("x")
    assert q.empty()


def test_a_message_made_too_long_by_dumps_is_refused(make):
    q = make(**kind.room(1), serializer=giving("x" * 257))
    assert refusal(q.put, "short").errno == QueueError.TOO_BIG_MESSAGE
    assert q.empty()


# --- what they raise ---------------------------------------------------------------------------------

NO_ERRORS = [KeyboardInterrupt(), SystemExit(3)]  # no Exception, which DecodeError is for


@pytest.mark.parametrize("error", [ZeroDivisionError("no"), *NO_ERRORS], ids=repr)
def test_what_dumps_raises_passes_and_nothing_is_sent(make, error):
    q = make(serializer=pair(raising(error)))
    with pytest.raises(type(error)) as caught:
        q.put("x")
    assert caught.value is error
    assert q.empty()
    with pytest.raises(queue.Empty):
        q.get_nowait()


def test_what_loads_raises_is_the_cause_of_a_decode_error(make):
    error = LookupError("no")
    q = make(serializer=pair(loads=raising(error)))
    q.put(b"precious", **mark(5))
    refused = refusal(q.get)
    assert isinstance(refused, DecodeError)
    assert refused.__cause__ is error
    assert (refused.data, getattr(refused, MARK)) == (b"precious", 5)
    assert refused.errno == QueueError.ERROR
    assert q.empty()


@pytest.mark.parametrize("error", NO_ERRORS, ids=repr)
def test_what_is_no_error_of_the_serializers_passes_with_the_bytes(make, error):
    q = make(serializer=pair(loads=raising(error)))
    q.put(b"precious", **mark(3))
    with pytest.raises(type(error)) as caught:
        q.get()
    assert caught.value is error
    assert (error.data, getattr(error, MARK)) == (b"precious", 3)  # it does not cost the message
    assert q.empty()


def test_json_that_does_not_parse_is_a_decode_error(make, address):
    q = make(address, serializer=json)
    make(address, serializer=RawSerializer).put(b"{")
    assert isinstance(refusal(q.get).__cause__, json.JSONDecodeError)


# --- what they do to the queue -----------------------------------------------------------------------


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


@pytest.mark.parametrize("end", kind.ENDS)
def test_dumps_may_close_the_queue(make, end):
    q = make(serializer=pair(lambda item: getattr(q, end)() or b"abc"))
    assert is_closed(refusal(q.put, "x"))


@pytest.mark.parametrize("end", kind.ENDS)
def test_loads_may_close_the_queue(make, end):
    q = make(serializer=pair(loads=lambda data: getattr(q, end)() or data))
    q.put(b"abc")
    assert q.get() == b"abc"
    assert q.closed


def test_dumps_that_changes_the_buffer_it_returned_does_no_harm(make):
    buffer = bytearray(b"abc")
    q = make(serializer=giving(buffer))
    q.put(None)
    buffer[:] = b"xyz and more"
    assert q.get() == b"abc"
