"""The summary of a test run, made from what a real pytest reports."""

import subprocess
import sys
from collections import Counter

import pytest
from summary import Result, print_summary, read_report

GOOD = """
import pytest

def test_that_passes(): pass

@pytest.mark.skip(reason="no such kernel")
def test_that_is_skipped(): pass
"""

BAD = """
import pytest

class TestOfAClass:
    @pytest.mark.parametrize("word", ["it's a [b]", "fine"])
    def test_that_fails(self, word):
        assert word == "fine", "the word is odd"

@pytest.fixture
def broken():
    raise OSError("no queue")

def test_with_a_broken_fixture(broken): pass
"""

SKIPPED_WHOLE = """
import pytest

pytest.skip("not on this system", allow_module_level=True)
"""


@pytest.fixture
def run(tmp_path):
    """Write test files, run pytest on them or on one test, and return the result."""

    def run(*tests, **files):
        for name, code in files.items():
            (tmp_path / f"test_{name}.py").write_text(code)
        report = tmp_path / "report.xml"
        command = [sys.executable, "-I", "-m", "pytest", "--rootdir=.", "--import-mode=importlib"]
        options = [f"--junitxml={report}", "-o", "junit_family=xunit1"]
        subprocess.run([*command, *options, *tests], cwd=tmp_path, stdout=subprocess.DEVNULL)
        return read_report(report)

    return run


def test_each_outcome_is_counted_with_its_reason(run):
    result = run(good=GOOD, bad=BAD, skipped=SKIPPED_WHOLE)
    assert result.passed_tests == 2
    assert result.skips == Counter({"no such kernel": 1, "not on this system": 1})
    assert [failure.kind for failure in result.failures] == ["failed", "error"]
    assert result.failures[0].message.startswith("AssertionError: the word is odd ... ")
    assert "no queue" in result.failures[1].message
    assert not result.passed


def test_what_failed_can_be_run_alone_by_the_name_given(run):
    for failure in run(good=GOOD, bad=BAD).failures:
        alone = run(failure.test)
        assert (alone.passed_tests, alone.failures) == (0, [failure])


def test_a_file_that_cannot_be_imported_is_named(run):
    (failure,) = run(odd="import no_such_module").failures
    assert (failure.test, failure.kind) == ("test_odd.py", "error")
    assert failure.message == "ModuleNotFoundError: No module named 'no_such_module'"


def test_the_summary_names_what_failed_and_how_to_run_it_alone(run, capsys, tmp_path):
    results = {"posixmq": run(good=GOOD), "sysvmq": run("test_bad.py", bad=BAD)}
    print_summary(results, tmp_path, "nox -s test --", 75)
    out = capsys.readouterr().out
    assert "posixmq    1 passed, 0 failed, 1 skipped" in out
    assert "1  no such kernel (posixmq 1)" in out
    assert "FAILED  test_bad.py::TestOfAClass::test_that_fails[it's a [b]]" in out
    assert """nox -s test -- 'test_bad.py::TestOfAClass::test_that_fails[it'"'"'s a [b]]'""" in out
    assert "ERROR  test_bad.py::test_with_a_broken_fixture" in out
    assert "NOT everything passed, in 1 min 15 s" in out and str(tmp_path) in out


def test_a_suite_that_did_not_come_to_its_end_is_no_success(capsys, tmp_path):
    broken = Result(passed_tests=7, broken="pytest ended with signal 11")
    assert not broken.passed
    print_summary({"posixmq": broken}, tmp_path, "", 3)
    out = capsys.readouterr().out
    assert "BROKEN  posixmq: pytest ended with signal 11" in out
    assert "NOT everything passed, in 3 s" in out
