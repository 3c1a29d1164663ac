"""A count that cannot fail proves nothing: every promise is broken once, and must be missed."""

import random

import pytest
from accounts import Log, Sent, Tally
from crew import Crew, count
from messages import build, read


def run_liar(family, address, folder, lie):
    """Have one producer and one consumer move 2000 messages; one of them lies."""
    puts = lie in ("double", "swap")
    with Crew(family, address, folder) as crew:
        crew.add_producer(lie=lie if puts else "", limit=2000)
        crew.add_consumer(lie="" if puts else lie)
        crew.start()
        crew.until_put()
        crew.stop()
        result = count(crew)
        assert result.messages == 2000
        return result


@pytest.mark.parametrize(
    ("lie", "noticed"),
    [
        ("drop", lambda result: result.missing == 3),
        ("double", lambda result: result.doubled == 3),
        ("tear", lambda result: result.torn == 3),
        ("swap", lambda result: result.disordered == 3),
    ],
)
def test_a_broken_promise_is_noticed(address, family, tmp_path, lie, noticed):
    result = run_liar(family, address, tmp_path, lie)
    assert noticed(result), result
    with pytest.raises(AssertionError):
        result.check()


def test_the_truth_passes(address, family, tmp_path):
    run_liar(family, address, tmp_path, "").check()


def test_any_changed_byte_and_any_cut_is_a_torn_message():
    for sequence in (0, 7, 57, 123):
        message = build(3, sequence)
        assert read(message) == (3, sequence)
        for position in {0, 4, 6, 8, len(message) - 1, random.randrange(len(message))}:
            changed = bytearray(message)
            changed[position] ^= 0x10
            assert read(bytes(changed)) is None
        assert read(message[:-1]) is read(message + b"x") is read(message[:8]) is read(b"") is None


def test_two_mixed_up_messages_are_torn():
    one, other = build(1, 7), build(2, 57)
    assert len(one) == len(other)
    assert read(one[:2500] + other[2500:]) is None


def test_the_account_of_a_producer_holds_what_was_in_its_hand(tmp_path):
    account = Sent(tmp_path / "sent", Sent.SIZE)
    account.words[Sent.ABOUT], account.words[Sent.DONE] = 8, 5
    assert account.take_from_hand() == range(5, 8)
    assert account.take_from_hand() == range(8, 8)
    account.close()


def test_a_log_survives_its_process_and_counts_whole_records(tmp_path):
    log = Log(tmp_path / "log", Log.SIZE)
    log.enter(build(1, 0))
    log.words[Log.FIRST + 1] = 99  # written, and killed before it was counted
    other = Log(tmp_path / "log")
    other.enter(build(2, 5))
    assert log.records() == [(1, 0), (2, 5)]
    log.close()
    other.close()


def test_a_log_grows_under_the_eyes_of_who_watches_it(tmp_path):
    watched = Log(tmp_path / "log", Log.FIRST + 1)
    log = Log(tmp_path / "log")
    for sequence in range(20):
        log.enter(build(1, sequence))
        assert watched.moved() == sequence + 1
    assert watched.records() == [(1, sequence) for sequence in range(20)]
    log.close()
    watched.close()


def test_a_tally_tells_missing_doubled_and_torn_apart(tmp_path):
    tally = Tally(tmp_path / "tally", Tally.SIZE)
    for sequence in (0, 1, 4, 4, 3, 5):
        tally.enter(build(1, sequence))
    tally.enter(b"torn")
    assert tally.words[Tally.MISSING :].tolist() == [2, 2]
    assert tally.words[Tally.NEXT] == 6
    assert tally.words[Tally.TORN] == 1
    tally.close()
