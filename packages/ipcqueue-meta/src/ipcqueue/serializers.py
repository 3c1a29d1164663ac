"""The serializers, as release 0.9.7 had them here; both kinds of queue take either class."""

try:
    from posixmq.serializers import PickleSerializer, RawSerializer, SignedSerializer
except ImportError:  # macOS
    from sysvmq.serializers import PickleSerializer, RawSerializer, SignedSerializer

__all__ = ["PickleSerializer", "RawSerializer", "SignedSerializer"]
