"""Settings of the documentation; `nox -s docs` builds it from the installed wheels."""

from importlib.metadata import version as installed

project = "ipcqueue"
author = "ipcqueue contributors"
project_copyright = "2026, ipcqueue contributors"
release = version = installed("ipcqueue")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "benchmarks"]
myst_heading_anchors = 3
nitpicky = False
# parameters such as serializer are looked up as attributes, which both packages have
suppress_warnings = ["ref.python"]

html_theme = "furo"
html_title = f"ipcqueue {release}"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
