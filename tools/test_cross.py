"""How a compilation for another system may end."""

import pytest
from cross import REFUSAL, complaint

LINUX, MACOS = "aarch64-linux-musl", "aarch64-macos"


@pytest.mark.parametrize(
    ("target", "name", "code", "said", "is_right"),
    [
        (LINUX, "posixmq", 0, "", True),
        (LINUX, "posixmq", 0, "queue.c:1:1: warning: unused", False),
        (LINUX, "posixmq", 1, "queue.c:1:1: error: no such type", False),
        (MACOS, "sysvmq", 0, "", True),
        (MACOS, "sysvmq", 1, f"error: {REFUSAL}", False),
        (MACOS, "posixmq", 1, f"error: {REFUSAL}", True),
        (MACOS, "posixmq", 1, "error: mqueue.h not found", False),
        (MACOS, "posixmq", 0, "", False),
    ],
)
def test_only_what_is_meant_to_be_refused_may_fail(target, name, code, said, is_right):
    assert (complaint(target, name, code, said) == "") == is_right
