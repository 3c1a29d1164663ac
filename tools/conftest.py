"""The programs of this folder import each other by name; python -I leaves it off the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
