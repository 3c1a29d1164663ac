"""The serializers, where release 0.9.7 had them. Both kinds of queue take these classes."""

try:
    from posixmq.serializers import PickleSerializer, RawSerializer, SignedSerializer
except ImportError:  # macOS
    from sysvmq.serializers import PickleSerializer, RawSerializer, SignedSerializer

__all__ = ["PickleSerializer", "RawSerializer", "SignedSerializer"]
