"""A report of ThreadSanitizer counts where our own C takes part in it."""

import pytest
import races

RULE = "=================="


def report(*frames):
    lines = [f"    #{number} {frame}" for number, frame in enumerate(frames)]
    return "\n".join([RULE, "WARNING: ThreadSanitizer: data race (pid=1)", *lines, RULE, ""])


PYTHONS = report("list_resize /src/Objects/listobject.c:80 (python3.13+0x1)", "main <null> (x+0x2)")
OURS = [
    "mqc_gate_leave /clone/packages/posixmq/ext/mqc/wait/gate.c:12 (_posixmq.so+0x1)",
    "Queue_close /clone/packages/sysvmq/ext/_sysvmq.c:99:5 (_sysvmq.so+0x2)",
    "mqc_wait_begin /clone/packages/sysvmq/ext/mqc/mqc_wait.h:7 (_sysvmq.so+0x2)",
    "<null> <null> (_posixmq.so+0x3)",
]


@pytest.mark.parametrize("frame", OURS)
def test_a_race_of_ours_is_found_among_python_s(tmp_path, frame):
    (tmp_path / "report.12").write_text(PYTHONS + report("memcpy <null> (libtsan+0x1)", frame))
    assert races.check(tmp_path / "report").startswith("1 reports with our code in them")


def test_a_race_of_python_s_own_is_not_ours(tmp_path):
    (tmp_path / "report.12").write_text(PYTHONS * 2)
    assert races.check(tmp_path / "report") == 0
