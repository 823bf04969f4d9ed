"""Contrastive analysis under one interface: the same splits, probes and seeds for every method."""

from pathlib import Path as _Path

# A wheel holds `methods` and `datasets` in this folder; a checkout keeps them beside it, where contributors work.
# There they are found as namespace packages: neither has an __init__.py, so that a checkout on sys.path never hides
# another installed package called `datasets`.
_here = _Path(__file__).parent
if not (_here / "methods").is_dir():
    __path__.append(str(_here.parent))
