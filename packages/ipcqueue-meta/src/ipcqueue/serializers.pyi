import sys

if sys.platform == "darwin":
    from sysvmq.serializers import PickleSerializer as PickleSerializer
    from sysvmq.serializers import RawSerializer as RawSerializer
    from sysvmq.serializers import SignedSerializer as SignedSerializer
else:
    from posixmq.serializers import PickleSerializer as PickleSerializer
    from posixmq.serializers import RawSerializer as RawSerializer
    from posixmq.serializers import SignedSerializer as SignedSerializer

__all__ = ["PickleSerializer", "RawSerializer", "SignedSerializer"]
