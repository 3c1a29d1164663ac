"""The kernel's limits: a refusal names the limit, its value now, what was asked, the way out."""

import re

import pytest

import kind
from kind import QueueError, kernel_limit

every_size = pytest.mark.parametrize(("option", "limit"), kind.SIZE_LIMITS.items())


def numbers(words):
    return {int(number) for number in re.findall(r"\d+", words.replace(",", ""))}


def refused(child, address):
    """What a script reports of a refusal: its two numbers, and its words without the address."""
    number, os_errno, words = child.finish().split(maxsplit=2)
    assert str(address) in words
    return (int(number), int(os_errno)), words.replace(str(address), "")


# What a script does to report it.
REFUSED = """
    def report_refusal(*args, **options):
        before = descriptors()
        error = refusal(Queue, *args, **options)
        assert descriptors() == before
        print(error.errno, error.os_errno, error.msg)
"""


@every_size
def test_a_size_beyond_its_limit_is_refused_in_words(spawn, address, option, limit):
    allowed = kernel_limit(limit)
    code = """
    drop_capabilities()
    report_refusal(address(), **kind.room(1, 16) | {args[1]: int(args[2])})
    assert not kind.exists(address()), "it is left behind"
    """
    child = spawn(REFUSED + code, address, option, allowed + 7)
    error, words = refused(child, address)
    assert error == kind.BEYOND_LIMIT
    assert {allowed, allowed + 7} <= numbers(words)
    assert re.search(rf"[./]{limit}\b", words)
    assert "sysctl" in words
    assert not [other for other in kind.SIZE_LIMITS.values() if other != limit and other in words]


@every_size
def test_a_size_at_its_limit_needs_no_privilege(spawn, address, option, limit):
    code = """
    drop_capabilities()
    with Queue(address(), **kind.room(1, 16) | {args[1]: int(args[2])}) as queue:
        print(getattr(queue, args[1]))
    """
    allowed = kernel_limit(limit)
    assert spawn(code, address, option, allowed).finish() == str(allowed)


@every_size
def test_the_value_of_a_limit_is_the_one_of_now(isolated, address, option, limit):
    code = """
    set_limit(args[2], 200)
    drop_capabilities()
    with Queue(address(), **kind.room(1, 16) | {args[1]: 200}) as queue:
        assert getattr(queue, args[1]) == 200
        kind.destroy(queue)
    report_refusal(address(), **kind.room(1, 16) | {args[1]: 201})
    """
    child = isolated(REFUSED + code, address, option, limit)
    error, words = refused(child, address)
    assert error == kind.BEYOND_LIMIT
    assert {200, 201} <= numbers(words)
    assert limit in words


@pytest.mark.parametrize("addressed", [True, False])
def test_too_many_queues_are_refused_in_words(spawn, address, addressed):
    """Without the right to lower the limit, as many queues as it allows."""
    code = """
    isolate(user_namespace=True)
    if os.access(f"{kind.LIMITS}/{kind.QUEUES_LIMIT}", os.W_OK):
        set_limit(kind.QUEUES_LIMIT, 3)
    allowed = kind.kernel_limit(kind.QUEUES_LIMIT)
    drop_capabilities()
    queues = [Queue(kind.new_address(), **kind.room(1, 1)) for _ in range(allowed)]
    print(allowed)
    if args[1] == "True":
        report_refusal(address(), **kind.room(1, 1))
    else:
        error = refusal(kind.anonymous)
        print(error.errno, error.os_errno, error.msg)
    for queue in queues:
        kind.destroy(queue)
    """
    allowed, _, said = spawn(REFUSED + code, address, addressed).finish().partition("\n")
    number, os_errno, words = said.split(maxsplit=2)
    assert (int(number), int(os_errno)) == (QueueError.NO_SYSTEM_RESOURCES, 28)  # ENOSPC
    assert int(allowed) in numbers(words.replace(str(address), ""))
    assert re.search(rf"[./]{kind.QUEUES_LIMIT}\b", words)
    assert "sysctl" in words
    assert (str(address) in words) is addressed


def test_errors_have_words_without_a_descriptor_to_spare(spawn, address):
    """They read limits from /proc and come from a module that may not be loaded yet."""
    code = """
    import resource

    queue = Queue(address(), **kind.room(1, 100), serializer=RawSerializer)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, free))
    for call in (
        lambda: queue.put(b"x" * 101),
        lambda: queue.put(b"x" * 100_000),
        lambda: queue.put(b"x", **kind.mark(-1)),
        lambda: Queue(address(), mode=-1),
        lambda: Queue(address(), exclusive=True, serializer=RawSerializer),
    ):
        error = refusal(call)
        print(error.errno, len(error.msg) > 20)
    """
    # To open a POSIX queue takes a descriptor, even in vain.
    opening = "EXISTS" if kind.PACKAGE == "sysvmq" else "NO_SYSTEM_RESOURCES"
    expected = ["TOO_BIG_MESSAGE", "TOO_BIG_MESSAGE", "INVALID_VALUE", "INVALID_VALUE", opening]
    lines = spawn(code, address).finish().splitlines()
    assert lines == [f"{getattr(QueueError, name)} True" for name in expected]


# --- limits() ----------------------------------------------------------------------------------------


def test_limits_are_those_of_the_system():
    found = kind.mq.limits()
    assert type(found) is kind.mq.Limits
    for name in (*kind.SIZE_LIMITS.values(), kind.QUEUES_LIMIT):
        assert getattr(found, name) == kernel_limit(name)
        assert type(getattr(found, name)) is int


def test_limits_follow_the_system(isolated):
    code = """
    limits = *kind.SIZE_LIMITS.values(), kind.QUEUES_LIMIT
    for number, name in enumerate(limits):
        set_limit(name, 1111 + number)
    found = package.limits()
    assert [getattr(found, name) for name in limits] == [1111 + i for i in range(len(limits))]
    """
    isolated(code).finish()


def test_limits_count_the_queues_in_use(isolated):
    code = """
    if package.limits().queues is None:
        skip("this user can list no queues here")
    counts = [package.limits().queues]
    queues = [Queue(kind.new_address(), **kind.room(1, 1)) for _ in range(3)]
    counts.append(package.limits().queues)
    kind.destroy(queues[1])
    counts.append(package.limits().queues)
    print(*counts)
    """
    assert isolated(code).finish() == "0 3 2"
