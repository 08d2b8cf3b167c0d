# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection's pages as a site: its Markdown as it lies in the sources, and what antsibull-docs makes of its plugins and roles."""

from __future__ import annotations

import html
import typing as t
import zlib
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive

if t.TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "netops.kube_proxy"
author = "the netops.kube_proxy authors"
project_copyright = f"2026, {author}"
extensions = ["myst_parser", "sphinx.ext.intersphinx", "sphinx_antsibull_ext"]
html_theme = "sphinx_ansible_theme"
html_theme_options = {"documentation_home_url": "https://docs.ansible.com/"}
html_title = project
html_show_sphinx = False
html_copy_source = False
html_static_path = ["_static"]
html_js_files = ["mermaid.min.js"]
html_use_smartypants = False
highlight_language = "YAML+Jinja"
myst_heading_anchors = 3
myst_fence_as_directive = ["mermaid"]
default_role = "any"
nitpicky = True

# The pages of Ansible's own documentation that antsibull-docs refers to, as an inventory of the site would name them.
ANSIBLE = """\
ansible_configuration_settings std:label -1 reference_appendices/config.html#ansible-configuration-settings Ansible Configuration Settings
common_return_values std:label -1 reference_appendices/common_return_values.html#common-return-values Return Values
"""
INVENTORY = Path(__file__).parent / "ansible.inv"
INVENTORY.write_bytes(
    b"# Sphinx inventory version 2\n# Project: Ansible\n# Version: devel\n"
    b"# The remainder of this file is compressed using zlib.\n" + zlib.compress(ANSIBLE.encode())
)
intersphinx_mapping = {"ansible": ("https://docs.ansible.com/projects/ansible/devel", str(INVENTORY))}


class Mermaid(Directive):
    """A diagram, drawn by the reader's browser."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        diagram = html.escape("\n".join(self.content))
        return [nodes.raw("", f'<pre class="mermaid">\n{diagram}\n</pre>', format="html")]


def setup(app: Sphinx) -> None:
    app.add_directive("mermaid", Mermaid)
