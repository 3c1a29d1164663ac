"""Opening: who creates, what the queue then is, who may use it, what `with` and unlink do."""

import os

import pytest

import posixmq
from harness.errors import refusal
from harness.process import descriptors
from posixmq import Queue, QueueError


def test_a_queue_is_created_by_default_with_the_documented_sizes(name):
    with Queue(name) as q:
        assert (q.maxsize, q.maxmsgsize) == (10, 1024)
        assert q.qattr() == {"size": 0, "max_size": 10, "max_msgbytes": 1024}


def test_the_sizes_asked_for_are_the_sizes_of_a_new_queue(name):
    with Queue(name, 3, 77) as q:
        assert q.qattr() == {"size": 0, "max_size": 3, "max_msgbytes": 77}
        assert (q.maxsize, q.maxmsgsize) == (3, 77)


def test_sizes_may_be_anything_with_an_index(name):
    class Three:
        def __index__(self):
            return 3

    with Queue(name, Three(), True) as q:
        assert (q.maxsize, q.maxmsgsize) == (3, 1)


def test_a_name_may_be_a_str_subclass(name):
    class Name(str):
        pass

    with Queue(Name(name), 1, 16) as q:
        assert q.name == name


def test_an_existing_queue_keeps_its_own_sizes_whatever_is_asked(make, name):
    make(name, 2, 200)
    for asked in ((1, 16), (4, 256), (10_000, 10_000_000)):
        other = make(name, *asked)
        assert (other.maxsize, other.maxmsgsize) == (2, 200)
        assert other.qattr() == {"size": 0, "max_size": 2, "max_msgbytes": 200}


def test_the_longest_name_opens(fresh):
    name = fresh().ljust(256, "x")
    with Queue(name, 1, 16) as q:
        assert q.name == name
        q.unlink()


def test_a_name_may_hold_any_character(fresh):
    for text in (" ", "\n", "ž", "\N{SNOWMAN}", "\N{SLIGHTLY SMILING FACE}", "%s%n", ".", "\\"):
        name = fresh() + text
        with Queue(name, 1, 16) as q:
            assert q.name == name
            q.unlink()


def test_the_creator_may_use_a_queue_whose_mode_shuts_everybody_out(spawn, name):
    spawn(
        """
        drop_capabilities()
        with Queue(sys.argv[1], 1, 16, mode=0) as q:
            q.put(1)
            assert q.get() == 1
            q.unlink()
        """,
        name,
    ).finish()


def test_unlink_removes_the_name_at_once(make, name):
    q = make(name)
    q.unlink()
    assert refusal(Queue, name, create=False).errno == QueueError.DOES_NOT_EXIST


def test_an_unlinked_queue_works_until_it_is_closed(make, name):
    q = make(name)
    q.unlink()
    q.put("still")
    assert q.get() == "still"
    assert q.qsize() == 0


def test_a_queue_created_after_unlink_is_another_one(make, name):
    old = make(name)
    old.unlink()
    new = make(name)
    old.put("old")
    assert new.empty()


def test_a_queue_that_was_never_opened_cannot_be_unlinked():
    with pytest.raises((QueueError, ValueError, TypeError)):
        Queue.__new__(Queue).unlink()


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_unlink_works_before_and_after_close(make, name, closed):
    q = make(name)
    if closed:
        q.close()
    assert q.unlink() is None
    assert refusal(Queue, name, create=False).errno == QueueError.DOES_NOT_EXIST


def test_unlinking_what_is_gone_says_so(q):
    q.unlink()
    for call in (q.unlink, lambda: posixmq.unlink(q.name)):
        with pytest.raises(QueueError) as caught:
            call()
        assert caught.value.errno == QueueError.DOES_NOT_EXIST
        assert q.name in str(caught.value)


def test_the_function_unlink_removes_the_name(make, name):
    make(name)
    assert posixmq.unlink(name) is None
    assert refusal(posixmq.unlink, name=name).errno == QueueError.DOES_NOT_EXIST


def test_descriptors_are_not_inherited_by_programs_that_are_started(make, name):
    make(name)
    (descriptor,) = descriptors(name)
    assert not os.get_inheritable(descriptor)
