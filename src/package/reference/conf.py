"""Sphinx's configuration; started by bindings/reference, which names the checkout and the version."""

import os
import re
import sys
from pathlib import Path

checkout = Path(os.environ["LAYERWISE_CHECKOUT"])
sys.path.insert(0, str(checkout / "bindings" / "python"))

project = "layerwise"
version = release = re.search(r'VERSION = "(.*)"', (checkout / "bindings/python/layerwise/_version.py").read_text())[1]
extensions = ["sphinx.ext.autodoc", "myst_parser"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
html_theme = "furo"
html_title = f"layerwise {version}"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
suppress_warnings = ["myst.xref_missing", "myst.header"]  # the READMEs link to files of the checkout


def as_written(app, what, name, obj, options, lines):
    """Docstrings are plain text in columns, not Sphinx's markup: the first sentences, and the rest as it stands."""
    end = next((number for number, line in enumerate(lines) if not line.strip()), len(lines))
    first = [re.sub(r"([*`|_\\])", r"\\\1", line) for line in lines[:end]]
    rest = [f"   {line}" if line.strip() else "" for line in lines[end:]]
    lines[:] = [*first, "", ".. code-block:: none", "", *rest, ""] if any(rest) else [*first, ""]


def setup(app):
    app.connect("autodoc-process-docstring", as_written)
