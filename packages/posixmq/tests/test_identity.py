"""Handles of one queue are equal, whatever became of its name and whatever they may do."""

import pytest


def test_what_is_opened_for_one_right_is_the_same_queue(make, name):
    q = make(name)
    assert q == make(name, readable=False) == make(name, writable=False)


def test_a_queue_made_anew_under_the_name_differs(make, name):
    old = make(name)
    before = hash(old)
    old.unlink()
    new = make(name)
    assert old != new
    assert len({old, new}) == 2
    old.close()
    assert old != new
    assert hash(old) == before


def test_unlinking_changes_nothing(make, name):
    first, second = make(name), make(name)
    before = hash(first)
    first.unlink()
    assert first == second
    assert hash(first) == hash(second) == before


def test_a_queue_of_the_same_name_in_another_namespace_differs(spawn, make, name):
    """As containers have them: neither name nor number of the queue need differ."""
    out = spawn(
        """
        import ctypes

        made = [Queue(f"{sys.argv[1]}-{number}", 1, 16) for number in range(30)]
        for q in made:
            q.unlink()
        if ctypes.CDLL(None).unshare(0x08000000) != 0:
            print("no right")
            sys.exit()
        others = [Queue(f"{sys.argv[1]}-{number}", 1, 16) for number in range(30)]
        assert not any(q == other for q in made for other in others)
        assert os.fstat(made[0].fileno()).st_dev != os.fstat(others[0].fileno()).st_dev
        for q in made + others:
            q.close()
        """,
        name,
    ).finish()
    if "no right" in out:
        pytest.skip("no right to an IPC namespace here")
