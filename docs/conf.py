"""Settings of the documentation site: `sphinx-build -W docs site`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

import vatrace
from vatrace.cli import COMMANDS, help_text

project = "vatrace"
author = copyright = "The vatrace authors"
version = release = vatrace.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["**.ipynb_checkpoints"]
default_role = "code"  # docstrings have single backticks
suppress_warnings = ["misc.highlighting_failure"]  # of trees of folders and of output, which have no language

html_theme = "furo"
html_title = f"vatrace {release}"
html_theme_options = {"footer_icons": []}

myst_heading_anchors = 4
linkcheck_ignore = [r"http://(127\.0\.0\.1|localhost)"]
linkcheck_anchors = False  # pages of others often add them by a script
myst_enable_extensions = ["colon_fence"]
nb_execution_mode = "off"  # tests/test_notebooks.py runs the notebooks; they are stored with their output

autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_mock_imports = ["torch"]
napoleon_numpy_docstring = False

OUTSIDE = re.compile(
    r"\[([^\]]*)\]\(\.\./(?:\.\./)?(?!docs/|guides/|notebooks/|reference/|[\w-]+\.md)[^)]*\)|\[([^\]]*)\]\(\.\./[A-Z]+\.md\)"
)
"""Links to files of the repository that aren't part of the site."""


class Commands(Directive):
    """The help of every command, as it is printed, with ~ for the home folder."""

    def run(self) -> list[nodes.Node]:
        """Make a section for each command."""
        sections: list[nodes.Node] = []
        for name in COMMANDS:
            section = nodes.section(ids=[nodes.make_id(name)], names=[name])
            section += nodes.title(name, f"vatrace {name}")
            section += nodes.literal_block(text=help_text(name).replace(str(Path.home()), "~"), language="text")
            sections.append(section)
        return sections


def unlink(app: Sphinx, name: str, source: list[str]) -> None:
    """Leave only the text of links to files that aren't part of the site."""
    source[0] = OUTSIDE.sub(lambda match: match[1] or match[2] or "", source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive and the treatment of links."""
    app.add_directive("commands", Commands)
    app.connect("source-read", unlink)
    return {"parallel_read_safe": True}
