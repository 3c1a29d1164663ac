"""Sdists and wheels that hold too little or too much are noticed."""

import io
import tarfile
import zipfile

import pytest
from build_dists import warnings
from check_dists import LARGEST, heavy, lacking, stray, too_new


@pytest.fixture
def wheel(tmp_path):
    """Make a wheel of these files."""

    def wheel(**files):
        path = tmp_path / "posixmq-1.0.0-cp311-abi3-linux_x86_64.whl"
        with zipfile.ZipFile(path, "w") as packed:
            for name, content in files.items():
                packed.writestr(name, content)
        return path

    return wheel


@pytest.fixture
def sdist(tmp_path):
    """An sdist of two files."""
    path = tmp_path / "posixmq-1.0.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in ("setup.py", "ext/mqc/queue.c"):
            archive.addfile(tarfile.TarInfo(f"posixmq-1.0.0/{name}"), io.BytesIO())
    return path


def test_an_sdist_that_lacks_a_source_is_noticed(sdist):
    assert not list(lacking(sdist, {"setup.py", "ext/mqc/queue.c"}))
    (complaint,) = lacking(sdist, {"setup.py", "ext/mqc/queue.h"})
    assert complaint == "posixmq-1.0.0.tar.gz lacks ['ext/mqc/queue.h']"


def test_a_wheel_that_holds_a_source_of_c_is_noticed(wheel):
    names = ["posixmq/__init__.py", "posixmq/_posixmq.abi3.so", "posixmq/py.typed"]
    names += ["posixmq/_posixmq.pyi", "posixmq-1.0.0.dist-info/METADATA"]
    good = dict.fromkeys(names, b"")
    assert not list(stray(wheel(**good), "posixmq"))
    for odd in ("posixmq/queue.c", "tests/test_open.py", "sysvmq/__init__.py"):
        (complaint,) = stray(wheel(**good, **{odd: b""}), "posixmq")
        assert complaint.endswith(f"holds ['{odd}']")


def test_a_large_extension_is_noticed(wheel):
    assert not list(heavy(wheel(**{"posixmq/a.so": b"x" * LARGEST})))
    (complaint,) = heavy(wheel(**{"posixmq/a.so": b"x" * (LARGEST + 1)}))
    assert "a.so has 200,001 bytes, more than 200,000" in complaint


@pytest.mark.parametrize("section", [b".debug_info", b".zdebug_line"])
def test_debug_information_is_noticed(wheel, section):
    (complaint,) = heavy(wheel(**{"posixmq/a.so": b"\0.text\0" + section + b"\0"}))
    assert f"has debug information ({section.decode()})" in complaint


@pytest.mark.parametrize(
    ("shown", "is_too_new"),
    [
        ('is consistent with the following platform tag:\n"manylinux_2_5_x86_64".', False),
        ('is consistent with the following platform tag:\n"manylinux_2_17_x86_64".', False),
        ('is consistent with the following platform tag:\n"manylinux_2_34_x86_64".', True),
        ("This does not look like a platform wheel", True),
    ],
)
def test_a_wheel_that_old_systems_cannot_load_is_noticed(shown, is_too_new):
    assert bool(list(too_new("x.whl", shown))) == is_too_new


def test_the_warnings_of_a_compiler_are_found():
    line = "ext/mqc/queue.c:12:5: warning: unused variable 'x' [-Wunused-variable]"
    assert warnings(f"running build_ext\n{line}\n  12 |  int x;\n") == [line]
