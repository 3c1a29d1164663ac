"""C that is too long or too complex is noticed, and C at its limit is not."""

import pytest

pytest.importorskip("lizard", reason="lizard, which measures the C, is not installed")

import c_limits


def function(lines=10, parameters=1, branches=0):
    """Return the code of a function of this size, written as ours are."""
    declared = ", ".join(f"int parameter_{number}" for number in range(parameters))
    body = [f"    if (step == {number}) return {number};" for number in range(branches)]
    body += ["    Py_BEGIN_ALLOW_THREADS"] * (lines - 3 - len(body))
    return "\n".join(["static int", f"measured({declared})", "{", *body, "}", ""])


@pytest.mark.parametrize(
    ("limit", "what"),
    [
        ({"lines": 46}, "lines"),
        ({"parameters": 5}, "parameters"),
        ({"branches": 14, "lines": 30}, "cyclomatic complexity"),
    ],
)
def test_a_function_may_reach_its_limit_and_not_pass_it(limit, what):
    assert not list(c_limits.excesses("queue.c", function(**limit)))
    (name, value), *rest = limit.items()
    (excess,) = c_limits.excesses("queue.c", function(**{name: value + 1}, **dict(rest)))
    assert excess.startswith("queue.c:2: measured: ")
    assert f" {what}, more than " in excess


def test_a_file_may_reach_its_limit_and_not_pass_it():
    assert not list(c_limits.excesses("queue.c", "int x;\n" * 600))
    (excess,) = c_limits.excesses("queue.c", "int x;\n" * 601)
    assert excess == "queue.c: 601 lines, more than 600"


def test_every_excess_is_told(tmp_path):
    path = tmp_path / "queue.c"
    path.write_text(function(lines=50, parameters=7) + function(parameters=6))
    told = c_limits.main([str(path)]).splitlines()
    assert len(told) == 4 and told[-1] == "3 excesses"


def test_the_c_of_both_packages_is_measured(monkeypatch):
    measured = []
    monkeypatch.setattr(c_limits, "excesses", lambda name, code: measured.append(name) or ())
    assert c_limits.main([]) == 0
    assert any(name.startswith("packages/common/mqc/") for name in measured)
    assert any(name.startswith("packages/posixmq/ext/") for name in measured)
    assert len(measured) == len(set(measured))
    assert not [name for name in measured if "/ext/mqc/" in name]
