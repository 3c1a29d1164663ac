import sys

if sys.platform == "darwin":
    from sysvmq.serializers import PickleSerializer as PickleSerializer
    from sysvmq.serializers import RawSerializer as RawSerializer
else:
    from posixmq.serializers import PickleSerializer as PickleSerializer
    from posixmq.serializers import RawSerializer as RawSerializer

__all__ = ["PickleSerializer", "RawSerializer"]
