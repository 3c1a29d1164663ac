"""The C extension; pyproject.toml has the rest."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

# The links of this folder point to packages/common. An archive that a forge makes as .zip has lost
# them, and a copy of this folder alone leads nowhere.
if not (HERE / "ext/mqc/wait/wait.h").is_file():
    sys.exit(
        "posixmq cannot be built here: the symbolic links of its folder lead nowhere. Take a clone made by git, "
        "the archive as .tar.gz, or the sdist; whoever copies folders copies the whole of packages/."
    )

sys.path.insert(0, str(HERE / "ext/mqc"))

from extension import setup_package

setup_package("posixmq")
