"""docs/conformance.md counts and names what the tables say, and a stale page is noticed."""

import conformance
import pytest

TABLE = """
[reasons]
root = "root may do it"

["mq_open(3)"]
DESCRIPTION = [
    ["create", "makes a queue", ["test_open.py::test_create"]],
    ["mode", "takes a mode", ["test_open.py::test_mode"], "the mode is 0o600"],
]
ERRORS = [["EACCES", "no right to it", "root"]]
"""


@pytest.fixture
def root(tmp_path):
    """A repository of two tables and their page."""
    for name in ("posixmq", "sysvmq"):
        table = tmp_path / f"packages/{name}/tests/conformance.toml"
        table.parent.mkdir(parents=True)
        table.write_text(TABLE)
    (tmp_path / "docs").mkdir()
    assert conformance.main(["--write"], tmp_path) == 0
    return tmp_path


def test_the_page_counts_sentences_and_names_what_differs(root):
    page = (root / conformance.PAGE).read_text()
    assert "| `posixmq` | 3 | 2 | 1 | 1 |" in page
    assert "- mq_open(3) DESCRIPTION: mode (takes a mode). Here: the mode is 0o600." in page
    assert "- Root may do it (1): mq_open(3) ERRORS: EACCES." in page


def test_a_page_made_of_its_tables_is_right(root):
    assert conformance.main([], root) == 0


def test_a_page_of_other_tables_is_noticed(root):
    table = root / "packages/sysvmq/tests/conformance.toml"
    table.write_text(TABLE.replace("makes a queue", "makes any queue").replace("0o600", "0o666"))
    assert "run nox -s sync" in conformance.main([], root)


def test_an_unknown_option_is_refused(root):
    assert "--write" in conformance.main(["--wirte"], root)
