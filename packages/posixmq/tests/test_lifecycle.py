"""The one descriptor of a Queue; common/test_lifecycle.py has what both kinds promise."""

import gc
import sys
import warnings

import pytest

import posixmq
from harness.process import descriptors
from posixmq import Queue


def test_close_gives_the_descriptor_back(make, name):
    q = make(name)
    assert len(descriptors(name)) == 1
    q.close()
    assert descriptors(name) == []


def test_each_object_has_one_descriptor_whatever_it_did(make, name):
    q = make(name)
    q.put(1)
    q.get(timeout=1)
    with pytest.raises(posixmq.QueueError):
        q.put("x" * 1000)
    assert len(descriptors(name)) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_warning_made_an_error_does_not_keep_the_descriptor_open(name, monkeypatch):
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", lambda hint: unraisable.append(hint.exc_type))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Queue(name, 1, 16)
        gc.collect()
    assert unraisable == [ResourceWarning]
    assert descriptors(name) == []
