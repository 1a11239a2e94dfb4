"""How the documentation is built: `scripts/docs`, warnings as errors, nothing fetched.

Text notebooks (docs/**/*.md) are executed by MyST-NB. docs/_ext generates the API reference from the docstrings and
the gallery from `mf.theories()`, turns formulas into MathML and times the pages. Outputs are kept under the build
folder by the code of a page and the source of the library, so that a page is executed again when either changes.
"""

import os
import sys
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from jupyter_cache import get_cache

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE / "_ext"), str(ROOT)]

project = "meanfield"
copyright = "the meanfield authors, Apache-2.0"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "api",
    "docstrings",
    "gallery",
    "mathml",
    "times",
]
exclude_patterns = ["_build"]
nitpicky = True
smartquotes = False  # quotes are code here
suppress_warnings: list[str] = []

html_theme = "furo"
html_title = "meanfield"
html_copy_source = False
html_static_path = ["_static"]
html_math_renderer = "mathml"
pygments_style = "friendly"
pygments_dark_style = "native"

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_typehints = "none"
autodoc_mock_imports = [name for name in ("torch", "gpytorch") if find_spec(name) is None]


def source() -> str:
    """A hash of every module that a page can run."""
    files = sorted(file for room in ("meanfield", "solvers", "symbolic") for file in (ROOT / room).rglob("*.py"))
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def of_torch() -> list[str]:
    """The pages that run PyTorch, as patterns."""
    pages = (page for page in HERE.rglob("*.md") if "_build" not in page.parts)
    texts = {str(page.relative_to(HERE)): page.read_text() for page in pages}
    return [name for name, text in texts.items() if "{code-cell}" in text and ("torch\n" in text or "mf.torch" in text)]


KEPT = Path(os.environ.get("MEANFIELD_DOCS_KEPT", HERE / "_build" / "kept")) / source()
KEPT.mkdir(parents=True, exist_ok=True)
gallery_kept = str(KEPT / "gallery")

nb_execution_mode = "cache"
nb_execution_cache_path = str(KEPT / "pages")
get_cache(nb_execution_cache_path).list_cache_records()  # made here, or two processes would both make it
nb_execution_in_temp = True
nb_execution_timeout = 900
nb_execution_show_tb = True  # a page that fails is a warning with its traceback, and so an error, after all pages ran
nb_merge_streams = True
nb_output_stderr = "remove-warn"
nb_execution_excludepatterns = []
if os.environ.get("MEANFIELD_DOCS_WITHOUT_TORCH"):
    nb_execution_excludepatterns = of_torch()
    suppress_warnings.append("myst-nb.lexer")  # the kernel, which did not run, would have named its language
    print("MEANFIELD_DOCS_WITHOUT_TORCH: not executed are", ", ".join(nb_execution_excludepatterns))
elif find_spec("torch") is None:
    sys.exit("the pages of mf.torch need PyTorch: install it, or set MEANFIELD_DOCS_WITHOUT_TORCH=1 to leave them out")
