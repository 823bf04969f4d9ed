"""Contrastive analysis under one interface: the same splits, probes and seeds for every method.

What a method or a data set needs is here by name; it is imported when it is first used, so that `import cabench` alone
loads neither torch nor anything else that is slow.
"""

from importlib import import_module as _import_module
from pathlib import Path as _Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cabench.api import LoadedDataset, Results, evaluate, load_dataset, run, score
    from cabench.config import Settings, setting
    from cabench.context import FitContext
    from cabench.data.builder import DatasetBuilder
    from cabench.data.dataset import Attribute, ContrastiveDataset, DataForm, DatasetInfo, Population
    from cabench.data.importing.arrays import Examples, write_arrays
    from cabench.errors import UserError
    from cabench.evaluation.vectors import Vectors
    from cabench.method import ContrastiveAnalysisMethod, Generative, NetworkMethod, Representation
    from cabench.saving import load_method, save_method
    from cabench.training import Batch, GradientTrainedMethod, TrainingConfig, descend

_MODULES = {
    "LoadedDataset": "api",
    "Results": "api",
    "Vectors": "evaluation.vectors",
    "evaluate": "api",
    "load_dataset": "api",
    "run": "api",
    "score": "api",
    "Attribute": "data.dataset",
    "Batch": "training",
    "ContrastiveAnalysisMethod": "method",
    "ContrastiveDataset": "data.dataset",
    "DataForm": "data.dataset",
    "DatasetBuilder": "data.builder",
    "DatasetInfo": "data.dataset",
    "Examples": "data.importing.arrays",
    "FitContext": "context",
    "Generative": "method",
    "GradientTrainedMethod": "training",
    "NetworkMethod": "method",
    "Population": "data.dataset",
    "Representation": "method",
    "TrainingConfig": "training",
    "UserError": "errors",
    "descend": "training",
    "load_method": "saving",
    "save_method": "saving",
    "Settings": "config",
    "setting": "config",
    "write_arrays": "data.importing.arrays",
}

__all__ = [
    "Attribute",
    "Batch",
    "ContrastiveAnalysisMethod",
    "ContrastiveDataset",
    "DataForm",
    "DatasetBuilder",
    "DatasetInfo",
    "Examples",
    "FitContext",
    "Generative",
    "GradientTrainedMethod",
    "LoadedDataset",
    "NetworkMethod",
    "Population",
    "Representation",
    "Results",
    "Settings",
    "TrainingConfig",
    "UserError",
    "Vectors",
    "descend",
    "evaluate",
    "load_dataset",
    "load_method",
    "run",
    "save_method",
    "score",
    "setting",
    "write_arrays",
]

# A wheel holds `methods` and `datasets` in this folder; a checkout keeps them beside it, where contributors work.
# There they are found as namespace packages: neither has an __init__.py, so that a checkout on sys.path never hides
# another installed package called `datasets`.
_here = _Path(__file__).parent
if not (_here / "methods").is_dir():
    __path__.append(str(_here.parent))


def __getattr__(name: str) -> object:
    """Import what `__all__` lists from its module, when it is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module 'cabench' has no attribute {name!r}")
    return getattr(_import_module(f"cabench.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """The public names, whether or not they were used already."""
    return __all__
