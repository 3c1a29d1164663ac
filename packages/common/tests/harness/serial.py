"""Serializers that a test makes of two functions."""

import types


def same(data):
    return data


def serializer_of(dumps=same, loads=same):
    """A serializer of these functions; without them bytes stay as they are."""
    return types.SimpleNamespace(dumps=dumps, loads=loads)


def refuse_bad(data):
    """The loads of PICKY."""
    if data.startswith(b"bad"):
        raise ValueError(data)
    return data


PICKY = serializer_of(loads=refuse_bad)  # of bytes, some of which it refuses
