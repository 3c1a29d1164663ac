"""What must not be installable is refused in the right words, and nothing else is taken for that."""

import subprocess
import sys

import pytest
import try_installs

WORDS = f"print('posixmq {try_installs.REFUSAL}. Take a clone');"


def end(code):
    return [sys.executable, "-c", code]


def test_a_refusal_in_the_right_words_is_what_is_expected():
    try_installs.expect_refusal(end(WORDS + "exit(1)"))


def test_a_refusal_may_be_broken_into_lines():
    try_installs.expect_refusal(end(WORDS.replace(" links ", r"\n    links ") + "exit(1)"))


@pytest.mark.parametrize("code", [WORDS, WORDS + "exit(0)", "exit(1)", "print('links'); exit(1)"])
def test_whatever_else_happens_is_a_failure(code, capsys):
    def act():
        try_installs.expect_refusal(end(code))

    with pytest.raises(subprocess.CalledProcessError):
        act()
    assert not try_installs.attempt("name", "command", act)
    out = capsys.readouterr().out
    assert out.startswith("FAILED") and "not refused as it should be" in out


def test_every_way_knows_how_its_folder_is_made():
    assert {way.tree for way in try_installs.WAYS} == try_installs.TREES.keys()
