"""Opening: who creates, what the queue then is, who may use it, and what `with` does."""

import os

import pytest

import kind
from harness.errors import refusal
from harness.process import descriptors
from kind import ADDRESS, MARK, PickleSerializer, Queue, QueueError, RawSerializer, mark

ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def leave(queue):
    getattr(queue, kind.LEAVE)()


# --- creating and joining ----------------------------------------------------------------------------


def test_two_openers_of_one_address_share_one_queue(make, address):
    first, second = make(address), make(address)
    first.put("over")
    assert second.get() == "over"


def test_unrelated_processes_meet_by_address(make, address, spawn):
    queue = make(address)
    child = spawn("Queue(address()).put(['from', os.getpid()])", address)
    assert queue.get() == ["from", child.pid]
    child.finish()


def test_messages_outlive_the_openers(make, address, spawn):
    with make(address) as queue:
        queue.put({"to": "whom it concerns"})
    out = spawn("print(Queue(address(), create=False).get())", address).finish()
    assert out == "{'to': 'whom it concerns'}"


def test_create_false_opens_what_exists(make, address):
    make(address).put("here")
    assert make(address, create=False).get() == "here"


def test_create_false_refuses_what_does_not_exist(make, address):
    error = refusal(Queue, address, create=False)
    assert error.errno == QueueError.DOES_NOT_EXIST
    assert str(address) in str(error)
    assert not kind.exists(address), "it was created all the same"
    assert make(address, exclusive=True).empty()


def test_exclusive_creates_what_does_not_exist(make, address):
    assert make(address, exclusive=True).empty()


def test_exclusive_refuses_what_exists(make, address):
    make(address, exclusive=True).put("here")
    error = refusal(Queue, address, exclusive=True)
    assert error.errno == QueueError.EXISTS
    assert str(address) in str(error)
    assert make(address).get() == "here"


def test_exclusive_without_create_is_refused(address):
    """It could only mean that an existing queue is not wanted either."""
    with pytest.raises(ValueError, match="exclusive=True needs create=True"):
        Queue(address, create=False, exclusive=True)
    assert not kind.exists(address)


def test_create_and_exclusive_go_by_truth(make, address, fresh):
    make(address, create=1, exclusive=[])
    assert refusal(Queue, address, exclusive="yes").errno == QueueError.EXISTS
    assert refusal(Queue, fresh(), create=0).errno == QueueError.DOES_NOT_EXIST


def test_a_queue_created_after_the_removal_is_another_one(make, address):
    old = make(address)
    old.put("old")
    kind.destroy(old)
    assert not kind.exists(address)
    new = make(address, exclusive=True)
    assert new.empty()
    assert getattr(new, "id", 1) != getattr(old, "id", 0), "it is the same one"


# --- the parameters and what the object tells ----------------------------------------------------------


def test_every_parameter_may_be_given_by_keyword(address):
    options = {
        ADDRESS: address,
        **kind.room(2, 64),
        "serializer": None,
        "mode": 0o600,
        "create": True,
        "exclusive": True,
        "on_signal": "retry",
        "spin_us": 0,
        "trusted": True,
    }
    with Queue(**options) as queue:
        assert kind.address_of(queue) == address
        assert queue.serializer is PickleSerializer
        assert {name: getattr(queue, name) for name in kind.room(2, 64)} == kind.room(2, 64)
        assert (queue.on_signal, queue.spin_us, queue.trusted) == ("retry", 0, True)


def test_what_is_new_is_keyword_only(address):
    with pytest.raises(TypeError):
        Queue(address, *kind.room(2, 64).values(), None)
    assert not kind.exists(address)


def test_the_attributes_are_those_of_the_opener(make, address):
    queue = make(address)
    assert kind.address_of(queue) == address
    assert queue.closed is False
    assert queue.serializer is PickleSerializer


def test_the_options_are_kept_as_attributes(address, make):
    with Queue(address) as queue:
        assert (queue.on_signal, queue.trusted) == ("raise", False)
    queue = make(on_signal="retry", spin_us=17, trusted=True)
    assert (queue.on_signal, queue.spin_us, queue.trusted) == ("retry", 17, True)
    assert make(spin_us=0).spin_us == 0


@pytest.mark.parametrize("attribute", kind.ATTRIBUTES)
def test_attributes_cannot_be_set(q, attribute):
    before = getattr(q, attribute)
    with pytest.raises(AttributeError):
        setattr(q, attribute, 1)
    assert getattr(q, attribute) == before


def test_repr_names_the_queue_and_tells_whether_it_is_closed(make, address):
    queue = make(address)
    while_open = repr(queue)
    assert "Queue" in while_open
    assert str(address) in while_open
    assert "closed" not in while_open
    leave(queue)
    assert str(address) in repr(queue)
    assert "closed" in repr(queue)


def test_opening_in_vain_leaks_no_descriptor(make, address):
    make(address, mode=0o666, trusted=True)
    before = descriptors()
    for options, error in (
        ({"exclusive": True}, QueueError),
        ({}, QueueError),  # not to be trusted
        ({"serializer": object()}, TypeError),
        ({"on_signal": "never"}, ValueError),
        ({"spin_us": -1}, ValueError),
    ):
        with pytest.raises(error):
            Queue(address, **options)
    assert descriptors() == before


# --- the mode ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777], ids=oct)
@pytest.mark.parametrize("mode", [0, 0o200, 0o600, 0o602, 0o622, 0o640, 0o666, 0o777], ids=oct)
def test_the_mode_is_exact_whatever_the_umask(make, mode, umask):
    before = os.umask(umask)
    try:
        queue = make(mode=mode, serializer=RawSerializer)
        assert kind.mode_of(queue) == mode
    finally:
        assert os.umask(before) == umask, "the process's umask was touched"


def test_a_new_queue_is_its_owners_alone_by_default(q):
    assert kind.mode_of(q) == 0o600


@pytest.mark.parametrize(("mode", "asked"), [(0o600, 0o666), (0o660, 0o600)], ids=oct)
def test_the_mode_of_an_existing_queue_is_left_alone(make, address, mode, asked):
    queue = make(address, mode=mode, trusted=True)
    other = make(address, mode=asked, trusted=True)
    assert kind.mode_of(queue) == kind.mode_of(other) == mode


def test_a_queue_that_may_not_be_used_is_refused_in_words(spawn, address):
    spawn(
        """
        drop_capabilities()
        q = Queue(address(), mode=0)
        before = descriptors()
        error = refusal(Queue, address())
        assert error.errno == QueueError.NO_PERMISSIONS, error
        assert args[0] in str(error), error
        assert descriptors() == before
        kind.destroy(q)
        """,
        address,
    ).finish()


@ONLY_ROOT
def test_another_user_needs_the_modes_permission(make, spawn, address):
    queue = make(address)
    spawn(
        """
        become()
        error = refusal(Queue, address())
        assert (error.errno, error.os_errno) == (QueueError.NO_PERMISSIONS, errno.EACCES), error
        """,
        address,
    ).finish()
    assert queue.empty()


@ONLY_ROOT
def test_another_user_works_with_a_queue_whose_mode_lets_it(make, spawn, address):
    queue = make(address, mode=0o666, trusted=True)
    queue.put("to anybody")
    spawn(
        """
        become()
        with Queue(address(), create=False, trusted=True) as q:
            q.put([q.get(), os.getuid()], **kind.mark(2))
        """,
        address,
    ).finish()
    message = queue.receive()
    assert message.item == ["to anybody", 65534]
    assert getattr(message, MARK) == 2


@ONLY_ROOT
def test_another_user_cannot_create_over_or_remove_the_queue(make, spawn, address):
    queue = make(address, mode=0o666, trusted=True)
    queue.put("kept")
    spawn(
        """
        become()
        with Queue(address(), trusted=True) as q:
            error = refusal(kind.destroy, q)
            assert error.errno == QueueError.NO_PERMISSIONS, error
        error = refusal(Queue, address(), exclusive=True, serializer=RawSerializer)
        assert error.errno == QueueError.EXISTS, error
        """,
        address,
    ).finish()
    assert kind.exists(address)
    assert make(address, create=False, trusted=True).get() == "kept"


# --- with, and letting go -----------------------------------------------------------------------------


def test_with_gives_the_queue_itself_and_closes_it(make):
    queue = make()
    with queue as same:
        assert same is queue
    assert queue.closed


def test_with_closes_when_the_body_raises_and_lets_that_pass(make, address):
    with pytest.raises(ZeroDivisionError), make(address) as queue:
        raise ZeroDivisionError
    assert queue.closed
    assert kind.exists(address)


@pytest.mark.parametrize("way", ["with", kind.LEAVE])
def test_leaving_keeps_the_queue_and_its_messages(make, address, way):
    queue = make(address)
    queue.put("first", **mark(3))
    queue.put("second", **mark(3))
    if way == "with":
        with queue:
            pass
    else:
        leave(queue)
    assert queue.closed
    again = make(address, create=False)
    assert [again.get(), again.get()] == ["first", "second"]


def test_leaving_inside_with_is_no_trouble(make, address):
    with make(address) as queue:
        leave(queue)
    assert queue.closed
    assert kind.exists(address)


def test_a_closed_queue_cannot_be_entered(make):
    queue = make()
    queue.close()
    with pytest.raises(QueueError) as caught, queue:
        pass
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
