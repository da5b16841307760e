"""How Sphinx makes the site; the Makefile calls it."""

import inspect
import re
from dataclasses import is_dataclass

project = html_title = "minibitnet"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "numpydoc"]
nb_execution_mode = "off"
nb_merge_streams = True
myst_heading_anchors = 3
default_role = "py:obj"
highlight_language = "text"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say more: shapes
add_module_names = False
numpydoc_show_class_members = False

html_theme = "furo"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False
html_show_search_summary = False  # it needs a server
html_use_index = False
html_domain_indices = False

HEADING = r".. rubric:: \1\n   :heading-level: 2\n"


def has_fields(thing):
    return is_dataclass(thing) or hasattr(thing, "_fields")


def mend_docstring(app, what, name, thing, options, lines):
    """Make of a docstring what it looks like in the source.

    Sections of a module are headings; names in columns are a list; the fields of a
    class are shown as they are written, with their comments.
    """
    text = "\n".join(lines)
    if what == "module":
        text = re.sub(r"(?m)^(.+)\n---+$", HEADING, text)
        text = re.sub(r"(?m)^    (`\w+`)  +", r"    - \1: ", text)
    if what == "class" and has_fields(thing):
        fields = re.split(r"\n    (?:def|@)", inspect.getsource(thing))[0]
        text += "\n.. code-block:: python\n\n" + fields.split('"""')[-1]
    lines[:] = text.split("\n")


def drop_arguments(app, what, name, thing, options, arguments, returns):
    """A class with fields needs no list of its arguments."""
    return ("", "") if what == "class" and has_fields(thing) else None


def skip_field(app, what, name, thing, skip, options):
    """The fields of a named tuple have no docstrings of their own."""
    return True if str(thing.__doc__).startswith("Alias for field") else None


def setup(app):
    app.connect("autodoc-process-docstring", mend_docstring, priority=900)
    app.connect("autodoc-process-signature", drop_arguments)
    app.connect("autodoc-skip-member", skip_field)
