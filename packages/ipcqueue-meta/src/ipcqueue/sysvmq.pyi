from sysvmq import *
from sysvmq import __all__ as __all__
from sysvmq import __version__ as __version__
from sysvmq import serializers as serializers
