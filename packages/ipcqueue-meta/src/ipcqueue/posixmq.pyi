from posixmq import *
from posixmq import __all__ as __all__
from posixmq import __version__ as __version__
from posixmq import serializers as serializers
