"""The site of docs/: `python -m docs.handbook build` makes it; CONTRIBUTING.md says why it is Sphinx."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # docs is no installed package

project = "quant-runner"
extensions = ["myst_parser", "docs.handbook.navigation", "docs.handbook.mathml", "docs.handbook.search_words"]
exclude_patterns = ["_build"]
nitpicky = True

# Markdown as GitHub reads it: nothing that is only Sphinx's stands in a page.
myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

html_theme = "furo"
html_title = "quant-runner"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_math_renderer = "mathml"
html_search_language = "en-zh"
templates_path: list[str] = []
html_theme_options = {"navigation_with_keys": True}
