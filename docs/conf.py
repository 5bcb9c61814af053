"""The documentation site: Sphinx reads the Markdown pages where they lie. `bash scripts/docs.sh` builds it.

The source folder is the checkout, so a link that works in a file on a forge works in the site too.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

ROOT = Path(__file__).parent.parent
PAGES = {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs"}
sys.path[:0] = [str(ROOT), str(ROOT / "backends")]

import acz  # noqa: E402
from acz.foundation.version import __version__  # noqa: E402
from acz.model.layers import LAYERS  # noqa: E402
from acz.model.layers.description import settings_of  # noqa: E402

for public in acz.__all__:  # autodoc lists the attributes that a module has; these are loaded when first used
    setattr(acz, public, getattr(acz, public))

project = "acz"
author = "The acz authors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
exclude_patterns = [path.name for path in ROOT.iterdir() if path.name not in PAGES]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]  # YAML words in `acz` command lines

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Source"]
default_role = "code"
python_display_short_literal_types = True
nitpick_ignore_regex = [
    ("py:.*", ".*")
]  # annotations name types of NumPy, pydantic and typing, whose pages are elsewhere

html_theme = "furo"
html_title = f"acz {version}"
html_extra_path = ["site"]
html_copy_source = False
html_show_copyright = False


def plain_text(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Escape what reStructuredText would take for markup: docstrings are plain text with names in backticks."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(`+[^`]*`+)", line)
            parts[::2] = [re.sub(r"([\\*|]|_(?=\W|$))", r"\\\1", part) for part in parts[::2]]
            lines[number] = "".join(parts)


class Layers(Directive):
    """Every layer by its `type`: the class's docstring, and a table of its settings."""

    def run(self) -> list[nodes.Node]:
        lines: list[str] = []
        for name, layer in LAYERS.items():
            lines += [f".. rubric:: ``type: {name}``", "", f".. autoclass:: {layer.__module__}.{layer.__name__}()"]
            lines += ["   :no-members:", ""]
            settings = settings_of(layer)
            if settings:
                lines += ["   .. list-table::", "      :header-rows: 1", "", "      * - setting", "        - values"]
                lines += ["        - default", "        - meaning"]
            for setting in settings:
                lines += [f"      * - ``{setting.name}``", f"        - ``{setting.values}``"]
                lines += [f"        - ``{setting.default or 'required'}``", f"        - {setting.meaning}"]
            lines += [""]
        container = nodes.container()
        self.state.nested_parse(StringList(lines, source="layers"), self.content_offset, container)
        return container.children


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", plain_text, priority=400)  # before napoleon writes markup of its own
    app.add_directive("acz-layers", Layers)
