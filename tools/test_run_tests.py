"""Which suites the program for the tests runs, and that it never takes nothing for success."""

import subprocess
import sys

import pytest
import run_tests

TEST = "packages/sysvmq/tests/test_peek.py::test_x[a b]"


def test_tests_are_told_from_the_options_of_pytest():
    assert run_tests.split([TEST, "-k", "early", "--maxfail=1"]) == (
        [TEST],
        ["-k", "early", "--maxfail=1"],
    )


@pytest.mark.parametrize(
    ("test", "name"),
    [
        (TEST, "sysvmq"),
        ("packages/posixmq", "posixmq"),
        ("tests/integration/test_logging.py", "ipcqueue"),
        ("tools", "ipcqueue"),
        ("README.md", "ipcqueue"),
    ],
)
def test_each_test_belongs_to_a_suite(test, name):
    assert run_tests.suite_of(test) == name


@pytest.fixture(autouse=True)
def wheels(tmp_path):
    """Name wheels, which nothing here installs."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in run_tests.SUITES:
        (folder / f"{name}-1.whl").touch()
    return folder


def test_a_test_that_is_named_runs_alone(tmp_path, wheels):
    runs = run_tests.plan(list(run_tests.SUITES), [TEST], wheels, tmp_path)
    assert [run.suite.name for run in runs] == ["sysvmq"]


@pytest.fixture
def run(tmp_path, wheels, monkeypatch):
    """Run a suite of these files in the Python of the tests, and return the result."""

    def run(tests, options=(), python=sys.executable):
        monkeypatch.setattr(run_tests.Run, "_install", lambda self, log: None)
        monkeypatch.setattr(run_tests.Run, "_python", python)
        run = run_tests.Run(run_tests.SUITES["posixmq"], wheels, tmp_path, tests, options)
        run.run()
        return run.result

    return run


@pytest.fixture
def file(tmp_path):
    def file(code):
        path = tmp_path / "test_it.py"
        path.write_text(code)
        return str(path)

    return file


def test_what_passes_is_counted(run, file):
    result = run([file("def test_a(): pass")])
    assert result.passed and result.passed_tests == 1


def test_a_suite_without_a_test_is_no_success(run, file):
    assert not run([file("")]).passed
    assert run([file("def test_a(): pass")], ["-k", "other"]).passed  # asked for


def test_a_python_that_cannot_be_started_is_no_success(run, file, tmp_path):
    result = run([file("def test_a(): pass")], python=str(tmp_path / "none"))
    assert not result.passed and "could not be started" in result.broken


def test_a_crash_is_told_with_its_signal(run, file):
    result = run([file("import os\ndef test_a(): os.kill(os.getpid(), 9)")])
    assert not result.passed and result.broken.startswith("pytest ended with signal 9")


def test_a_crash_is_told_with_its_test(run, tmp_path, monkeypatch):
    folder = tmp_path / "a clone (1)" / "tests/integration"
    folder.mkdir(parents=True)
    monkeypatch.setattr(run_tests, "ROOT", folder.parents[1])
    (folder.parents[1] / "pyproject.toml").touch()
    (folder / "test_it.py").write_text("import os\ndef test_a(): os.kill(os.getpid(), 9)")
    result = run(["tests/integration/test_it.py"])
    assert result.broken == "pytest ended with signal 9 in tests/integration/test_it.py::test_a"


def test_a_dependency_group_includes_others(tmp_path):
    project = tmp_path / "pyproject.toml"
    project.write_text(
        '[dependency-groups]\nall = [{ include-group = "some" }, "c>=1"]\nsome = ["a", "b==2"]\n'
    )
    assert run_tests.requirements("all", project) == ["a", "b==2", "c>=1"]


def test_without_wheels_it_says_so(tmp_path):
    program = [sys.executable, run_tests.__file__, "--wheels", str(tmp_path)]
    done = subprocess.run([*program, "--work", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1 and "has 0 wheels of posixmq" in done.stderr
