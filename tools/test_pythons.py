"""Which Pythons count: those that start and have headers; free-threaded ones come last on the path."""

import pytest
from pythons import can_build, path_with_pyenv


@pytest.fixture
def python(tmp_path):
    """Make a program that stands for an interpreter."""

    def python(code):
        path = tmp_path / "python3.99"
        path.write_text(f"#!/bin/sh\n{code}\n")
        path.chmod(0o755)
        return str(path)

    return python


def test_a_python_without_headers_cannot_build(python):
    assert can_build(python("exit 0"))
    assert not can_build(python("exit 1"))


def test_a_python_that_is_not_there_cannot_build():
    assert not can_build("python3.no-such-version")


def test_pyenv_s_pythons_stand_on_the_path(tmp_path):
    for version in ("2.7.18", "3.10.13", "3.11.7", "3.13.0", "3.13.0t", "3.14.1t", "3.13-dev"):
        (tmp_path / "versions" / version / "bin").mkdir(parents=True)
    path = path_with_pyenv("/usr/bin:/bin", tmp_path).replace(f"{tmp_path}/versions/", "")
    assert path == "3.13.0/bin:3.11.7/bin:/usr/bin:/bin:3.13.0t/bin:3.14.1t/bin"


def test_without_pyenv_the_path_stays(tmp_path):
    assert path_with_pyenv("/usr/bin", tmp_path / "none") == "/usr/bin"
