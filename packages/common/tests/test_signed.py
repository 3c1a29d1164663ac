"""SignedSerializer: only who knows the key puts a message that is decoded."""

import hashlib
import hmac
import json
import pickle

import pytest

from kind import DecodeError, PickleSerializer, Queue, RawSerializer, SignedSerializer

KEY = b"k" * 16
EXPLODED = []


class Bomb:
    """Its unpickling would leave a trace."""

    def __reduce__(self):
        return EXPLODED.append, (1,)


@pytest.fixture(autouse=True)
def no_explosion():
    EXPLODED.clear()
    yield
    assert not EXPLODED


@pytest.mark.parametrize(
    ("inner", "item"),
    [(PickleSerializer, {1, 2}), (json, {"a": [1, None]}), (RawSerializer, b"\x00raw")],
    ids=["pickle", "json", "raw"],
)
def test_an_item_comes_back(address, inner, item):
    with Queue(address, serializer=SignedSerializer(KEY, inner)) as q:
        q.put(item)
        assert q.get() == item


def test_a_message_is_a_sha256_hmac_and_the_payload(address):
    signed = Queue(address, serializer=SignedSerializer(KEY, json))
    with signed, Queue(address, serializer=RawSerializer) as raw:
        signed.put([1])
        assert raw.get() == hmac.new(KEY, b"[1]", hashlib.sha256).digest() + b"[1]"


def forgeries():
    payload = pickle.dumps(Bomb())
    good = SignedSerializer(KEY).dumps(5)
    yield "unsigned", payload
    yield "other key", SignedSerializer(b"o" * 16, RawSerializer).dumps(payload)
    yield "empty", b""
    yield "signature cut", good[:31]
    yield "signature alone", good[:32]
    yield "first bit", bytes([good[0] ^ 1]) + good[1:]
    yield "last bit", good[:-1] + bytes([good[-1] ^ 1])
    yield "longer", good + b"."
    yield "payload exchanged", good[:32] + payload


@pytest.mark.parametrize("message", [pytest.param(data, id=what) for what, data in forgeries()])
def test_what_others_wrote_is_not_decoded(address, message):
    with (
        Queue(address, serializer=RawSerializer) as raw,
        Queue(address, serializer=SignedSerializer(KEY)) as signed,
    ):
        raw.put(message)
        with pytest.raises(DecodeError, match="signature") as caught:
            signed.get()
        assert caught.value.data == message
        assert signed.empty()


def test_the_digest_is_compared_in_constant_time(address, monkeypatch):
    compared = []
    compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(1) or compare(a, b))
    serializer = SignedSerializer(KEY)
    assert serializer.loads(serializer.dumps(5)) == 5
    assert compared


def test_a_queue_that_others_write_may_be_opened_with_it(address):
    with Queue(address, mode=0o666, serializer=SignedSerializer(KEY)) as q:
        q.put(5)
        assert q.get() == 5


@pytest.mark.parametrize(
    ("key", "inner", "error"),
    [
        ("k" * 16, PickleSerializer, TypeError),
        (None, PickleSerializer, TypeError),
        (memoryview(KEY), PickleSerializer, TypeError),
        (b"", PickleSerializer, ValueError),
        (b"k" * 15, PickleSerializer, ValueError),
        (KEY, object(), TypeError),
        (KEY, None, TypeError),
    ],
)
def test_bad_keys_and_inner_serializers(key, inner, error):
    with pytest.raises(error):
        SignedSerializer(key, inner)


def test_a_bytearray_key_may_be_wiped_afterwards():
    key = bytearray(KEY)
    serializer = SignedSerializer(key)
    key[:] = bytes(16)
    assert SignedSerializer(KEY).loads(serializer.dumps(5)) == 5


def test_the_key_is_not_shown():
    assert KEY.decode() not in repr(SignedSerializer(KEY))


@pytest.mark.parametrize("inner", [PickleSerializer, json], ids=["class", "module"])
def test_a_queue_takes_it_along_when_it_is_pickled(address, inner):
    with Queue(address, serializer=SignedSerializer(KEY, inner)) as q:
        q.put([1])
        with pickle.loads(pickle.dumps(q)) as copy:
            assert copy.get() == [1]
