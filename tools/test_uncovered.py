"""Lines that no test reaches need a reason, and a reason needs its line."""

from pathlib import Path

import pytest
import uncovered

SOURCE = [
    "int f(int x) {",
    *("    x++;" for _ in range(36)),
    "    if (x)",
    "        return -1;",
    "    return 0;",
]
LIST = "# function | line | reason\n# more about it\nf | return -1; | it takes root\n"


@pytest.fixture
def files(tmp_path):
    """What gcovr says of a file in which the lines of these numbers are not reached."""
    (tmp_path / "a.c").write_text("\n".join(SOURCE))

    def files(*missed):
        lines = [
            {"line_number": number, "function_name": "f", "count": int(number not in missed)}
            for number in range(1, len(SOURCE) + 1)
        ]
        return {"a.c": list(uncovered.lines_of(tmp_path, {"file": "a.c", "lines": lines}))}

    return files


def test_a_line_with_a_reason_may_be_left_out(files):
    explained = uncovered.read_list(LIST)
    assert not list(uncovered.unexplained(files(39), explained))


def test_a_line_without_a_reason_is_named(files):
    (complaint,) = uncovered.unexplained(files(39), set())
    assert complaint == "a.c:39: no test reaches f: return -1;"


def test_the_reason_counts_in_its_function_only(files):
    other = uncovered.read_list(LIST.replace("f |", "g |", 1))
    assert len(list(uncovered.unexplained(files(39), other))) == 1


def test_too_many_reasons_are_no_excuse(files):
    explained = {uncovered.Line("f", line.strip()) for line in SOURCE}
    assert not list(uncovered.unexplained(files(2, 3), explained))
    assert list(uncovered.unexplained(files(2, 3, 4), explained)) == ["a.c: under 95 %"]


def test_a_reason_without_its_line_is_named(files):
    explained = uncovered.read_list(LIST + "f | x--; | it takes root\n")
    (complaint,) = uncovered.outdated(files().values(), explained)
    assert complaint == "uncovered.txt explains what is not there: f: x--;"


def test_every_line_of_our_list_has_a_reason():
    text = Path(uncovered.LIST).read_text()
    rows = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(len(row.split(" | ")) == 3 for row in rows)
