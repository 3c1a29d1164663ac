"""Stands aside for the package sysvmq, whatever form of import asked for it."""

import sys

import sysvmq
import sysvmq.serializers

sys.modules[f"{__name__}.serializers"] = sysvmq.serializers
sys.modules[__name__] = sysvmq
