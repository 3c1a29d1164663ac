"""Every import of this module gives the package sysvmq itself."""

import sys

import sysvmq
import sysvmq.serializers

sys.modules[f"{__name__}.serializers"] = sysvmq.serializers
sys.modules[__name__] = sysvmq
