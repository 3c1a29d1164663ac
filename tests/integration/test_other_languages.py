"""Programs in other languages at the other end: what the serializer gives is what is sent."""

import hmac
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from ipcqueue import posixmq
from ipcqueue.serializers import PickleSerializer, RawSerializer, SignedSerializer

EXAMPLES = Path(__file__).parents[2] / "examples"
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
FLAGS = ["-std=gnu11", "-Wall", "-Wextra", "-Werror"]


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Compile a C program of the documentation, and return the path of what comes out."""
    folder = tmp_path_factory.mktemp("compiled")

    def compiled(name):
        source, program = EXAMPLES / f"{name}.c", folder / name
        if COMPILER is None:
            pytest.skip("no C compiler: apt install gcc")
        if not program.exists():
            command = [COMPILER, *FLAGS, "-o", program, source, "-lrt"]
            subprocess.run(command, check=True, timeout=60)
        return program

    return compiled


@pytest.fixture
def peer(family, compiled, start, make, unique):
    """Start the C program, and return it with the two queues that it answers on."""
    program = compiled({"posixmq": "peer_posix", "sysvmq": "peer_sysv"}[family.name])

    def peer(serializer):
        questions, answers = unique(family), unique(family)
        pair = [make(address, serializer=serializer) for address in (questions, answers)]
        return start(program, questions, answers), *pair

    return peer


def put_with(q, item, number):
    """Put with that priority or that type."""
    option = "priority" if isinstance(q, posixmq.Queue) else "msg_type"
    q.put(item, **{option: number})


@pytest.mark.parametrize("arguments", [[], ["--help"], ["one", "two"]])
@pytest.mark.parametrize("program", ["peer_posix", "peer_sysv"])
def test_c_says_how_it_is_called(compiled, program, arguments):
    command = [compiled(program), *arguments]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (process.returncode, process.stdout) == (2, "")
    assert "usage: " in process.stderr
    assert "Example: " in process.stderr


@pytest.mark.parametrize(
    "data",
    [b"x", b"bytes", b"\x00\xff\x00 zero bytes within", bytes(range(256)), "žluť".encode()],
    ids=["one", "text", "zeros", "all", "utf-8"],
)
def test_c_sends_back_the_same_bytes(peer, finish, data):
    process, questions, answers = peer(RawSerializer)
    questions.put(data)
    assert answers.get(timeout=60) == data
    questions.put(b"")
    finish(process)


def test_c_and_python_speak_json(peer):
    process, questions, answers = peer(json)
    for number in range(50):
        questions.put({"number": number})
        assert answers.get(timeout=60) == {"square": number * number}
    process.kill()


@pytest.mark.parametrize("number", [1, 2, 31, 32767])
def test_the_priority_or_type_is_the_one_that_c_sees(peer, family, number):
    process, questions, answers = peer(RawSerializer)
    put_with(questions, b"as given", number)
    if family.name == "posixmq":
        assert answers.receive(timeout=60) == (b"as given", number)
    else:
        assert answers.get(msg_type=number, timeout=60) == b"as given"
    process.kill()


@pytest.mark.parametrize("family", ["sysvmq"], indirect=True)
@pytest.mark.parametrize("number", [2**31, 2**63 - 1])
def test_the_type_is_a_long_of_c(peer, number):
    process, questions, answers = peer(RawSerializer)
    questions.put(b"far", msg_type=number)
    assert answers.get(msg_type=number, timeout=60) == b"far"
    process.kill()


def test_what_is_sent_is_what_the_serializer_gives(make, address):
    """No header, no length, no zero at the end."""
    signed = SignedSerializer(b"k" * 32, json)
    raw = make(address, serializer=RawSerializer)
    for serializer, item in ((json, {"a": "\u017e"}), (signed, [1]), (PickleSerializer, [1, "A"])):
        make(address, serializer=serializer).put(item)
        given = serializer.dumps(item)
        assert raw.get() == (given.encode() if isinstance(given, str) else given)


def test_a_signed_message_is_the_hmac_and_the_payload(make, address):
    """Which any language can make and check."""
    key = b"a key of 16 bytes or more"
    q, raw = (
        make(address, serializer=SignedSerializer(key, json)),
        make(address, serializer=RawSerializer),
    )
    q.put([1])
    payload = b"[1]"
    assert raw.get() == hmac.digest(key, payload, "sha256") + payload
    raw.put(hmac.digest(key, b'{"b": 2}', "sha256") + b'{"b": 2}')
    assert q.get() == {"b": 2}


@pytest.mark.skipif(shutil.which("perl") is None, reason="no perl")
@pytest.mark.parametrize("family", ["sysvmq"], indirect=True)
def test_perl_sends_and_receives_with_what_it_has_built_in(make, address, start, finish):
    """The type is a native long before the text."""
    q = make(address, serializer=json)
    code = """
        my $id = msgget($ARGV[0], 0) // die $!;
        msgrcv($id, my $message, 8192, 7, 0) or die $!;
        my ($type, $text) = unpack("l! a*", $message);
        die $text unless $text eq '{"number": 12}';
        msgsnd($id, pack("l! a*", 8, '{"square": 144}'), 0) or die $!;
    """
    process = start(shutil.which("perl"), "-e", code, address)
    q.put({"number": 12}, msg_type=7)
    assert q.get(msg_type=8, timeout=60) == {"square": 144}
    finish(process)
