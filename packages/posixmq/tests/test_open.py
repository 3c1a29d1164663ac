"""Opening: who creates, what the queue then is, who may use it, what `with` and unlink do."""

import os
import stat

import pytest

import posixmq
from harness.process import descriptors
from posixmq import Queue, QueueError


def errno_of(call, *args, **kwargs):
    with pytest.raises(QueueError) as caught:
        call(*args, **kwargs)
    return caught.value.errno


def test_a_queue_is_created_by_default_with_the_documented_sizes(name):
    with Queue(name) as q:
        assert (q.maxsize, q.maxmsgsize) == (10, 1024)
        assert q.qattr() == {"size": 0, "max_size": 10, "max_msgbytes": 1024}


def test_the_sizes_asked_for_are_the_sizes_of_a_new_queue(name):
    with Queue(name, 3, 77) as q:
        assert q.qattr() == {"size": 0, "max_size": 3, "max_msgbytes": 77}
        assert (q.maxsize, q.maxmsgsize) == (3, 77)


def test_every_parameter_may_be_given_by_keyword(name):
    with Queue(
        name=name,
        maxsize=2,
        maxmsgsize=64,
        serializer=None,
        mode=0o600,
        create=True,
        exclusive=True,
        on_signal="retry",
        spin_us=0,
    ) as q:
        assert q.qattr() == {"size": 0, "max_size": 2, "max_msgbytes": 64}


def test_what_is_new_is_keyword_only(name):
    with pytest.raises(TypeError):
        Queue(name, 2, 64, None)
    assert errno_of(Queue, name, create=False) == QueueError.DOES_NOT_EXIST


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


def test_two_openers_of_one_name_share_one_queue(make, name):
    first, second = make(name), make(name)
    first.put("over")
    assert second.get() == "over"


def test_an_existing_queue_keeps_its_own_sizes_whatever_is_asked(make, name):
    make(name, 2, 200)
    for asked in ((1, 16), (4, 256), (10_000, 10_000_000)):
        other = make(name, *asked)
        assert (other.maxsize, other.maxmsgsize) == (2, 200)
        assert other.qattr() == {"size": 0, "max_size": 2, "max_msgbytes": 200}


def test_attributes_are_those_of_the_opener(make, name):
    q = make(name)
    assert q.name == name
    assert q.closed is False
    assert q.serializer is posixmq.PickleSerializer


@pytest.mark.parametrize("attribute", ["name", "maxsize", "maxmsgsize", "closed", "serializer"])
def test_attributes_cannot_be_set(q, attribute):
    with pytest.raises(AttributeError):
        setattr(q, attribute, 1)


def test_create_false_opens_what_exists(make, name):
    make(name).put("here")
    assert make(name, create=False).get() == "here"


def test_create_false_refuses_what_does_not_exist(name):
    with pytest.raises(QueueError) as caught:
        Queue(name, create=False)
    assert caught.value.errno == QueueError.DOES_NOT_EXIST
    assert name in str(caught.value)


def test_exclusive_creates_what_does_not_exist(make, name):
    assert make(name, exclusive=True).empty()


def test_exclusive_refuses_what_exists(make, name):
    make(name).put("here")
    with pytest.raises(QueueError) as caught:
        Queue(name, exclusive=True)
    assert caught.value.errno == QueueError.EXISTS
    assert name in str(caught.value)
    assert make(name).get() == "here"


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


@pytest.mark.parametrize("umask", [0, 0o077, 0o777], ids=oct)
@pytest.mark.parametrize("mode", [0o600, 0o666, 0o640, 0o777, 0o622], ids=oct)
def test_the_mode_is_reached_exactly_whatever_the_umask(make, name, mode, umask):
    before = os.umask(umask)
    try:
        make(name, mode=mode, trusted=True)
    finally:
        os.umask(before)
    (descriptor,) = descriptors(name)
    assert stat.S_IMODE(os.stat(f"/proc/self/fd/{descriptor}").st_mode) == mode


def test_a_new_queue_is_its_owners_alone_by_default(make, name):
    make(name)
    (descriptor,) = descriptors(name)
    assert stat.S_IMODE(os.stat(f"/proc/self/fd/{descriptor}").st_mode) == 0o600


def test_the_mode_of_an_existing_queue_is_left_alone(make, name):
    make(name, mode=0o600)
    make(name, mode=0o666, trusted=True)
    modes = {stat.S_IMODE(os.stat(f"/proc/self/fd/{d}").st_mode) for d in descriptors(name)}
    assert modes == {0o600}


def test_a_queue_that_may_not_be_used_is_refused_in_words(spawn, name):
    spawn(
        """
        name = sys.argv[1]
        drop_capabilities()
        with Queue(name, 1, 16, mode=0) as q:
            try:
                Queue(name)
            except QueueError as error:
                assert error.errno == QueueError.NO_PERMISSIONS, error
                assert name in str(error), error
            else:
                raise AssertionError("opened")
            assert descriptors(name) and len(descriptors(name)) == 1
            q.unlink()
        """,
        name,
    ).finish()


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


def test_with_gives_the_queue_itself_and_closes_it(name):
    q = Queue(name, 1, 16)
    with q as same:
        assert same is q
    assert q.closed


def test_with_closes_when_the_body_raises_and_lets_that_pass(name):
    with pytest.raises(ZeroDivisionError), Queue(name, 1, 16) as q:
        raise ZeroDivisionError
    assert q.closed


def test_with_never_unlinks(make, name):
    with Queue(name, 4, 256) as q:
        q.put("kept")
    assert make(name, create=False).get() == "kept"


def test_close_inside_with_is_no_trouble(name):
    with Queue(name, 1, 16) as q:
        q.close()
    assert q.closed


def test_messages_outlive_the_openers(make, name, spawn):
    with make(name) as q:
        q.put({"to": "whom it concerns"})
    out = spawn(
        """
        with Queue(sys.argv[1], create=False) as q:
            print(q.get())
        """,
        name,
    ).finish()
    assert out.strip() == "{'to': 'whom it concerns'}"


def test_unlink_removes_the_name_at_once(make, name):
    q = make(name)
    q.unlink()
    assert errno_of(Queue, name, create=False) == QueueError.DOES_NOT_EXIST


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


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_unlink_works_before_and_after_close(make, name, closed):
    q = make(name)
    if closed:
        q.close()
    assert q.unlink() is None
    assert errno_of(Queue, name, create=False) == QueueError.DOES_NOT_EXIST


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
    assert errno_of(posixmq.unlink, name=name) == QueueError.DOES_NOT_EXIST


def test_repr_names_the_queue_and_tells_whether_it_is_closed(make, name):
    q = make(name)
    while_open = repr(q)
    assert "Queue" in while_open
    assert name in while_open
    q.close()
    assert name in repr(q)
    assert "closed" in repr(q)
    assert repr(q) != while_open


def test_descriptors_are_not_inherited_by_programs_that_are_started(make, name):
    make(name)
    (descriptor,) = descriptors(name)
    assert not os.get_inheritable(descriptor)


def test_create_and_exclusive_go_by_truth(make, name):
    make(name, create=1, exclusive=[])
    assert errno_of(Queue, name, exclusive="yes") == QueueError.EXISTS
    assert errno_of(Queue, name + "-", create=0) == QueueError.DOES_NOT_EXIST


def test_exclusive_without_create_is_refused(name):
    """It could only mean that an existing queue is not wanted either."""
    with pytest.raises(ValueError, match="exclusive=True needs create=True"):
        Queue(name, create=False, exclusive=True)
