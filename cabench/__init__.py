"""Contrastive analysis under one interface: the same splits, probes and seeds for every method.

What a user, a method or a data set needs is here by name; it is imported when it is first used, so that
`import cabench` alone loads neither torch nor anything else that is slow.
"""

from importlib import import_module as _import_module
from pathlib import Path as _Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cabench.api import LoadedDataset as LoadedDataset
    from cabench.api import Results as Results
    from cabench.api import evaluate as evaluate
    from cabench.api import load_dataset as load_dataset
    from cabench.api import merge as merge
    from cabench.api import run as run
    from cabench.api import score as score
    from cabench.api import tune as tune
    from cabench.config import Settings as Settings
    from cabench.config import setting as setting
    from cabench.context import FitContext as FitContext
    from cabench.data.builder import DatasetBuilder as DatasetBuilder
    from cabench.data.dataset import Attribute as Attribute
    from cabench.data.dataset import ContrastiveDataset as ContrastiveDataset
    from cabench.data.dataset import DataForm as DataForm
    from cabench.data.dataset import DatasetInfo as DatasetInfo
    from cabench.data.dataset import Population as Population
    from cabench.data.importing.arrays import write_arrays as write_arrays
    from cabench.data.importing.examples import Examples as Examples
    from cabench.errors import UserError as UserError
    from cabench.evaluation.vectors import Vectors as Vectors
    from cabench.method import ContrastiveAnalysisMethod as ContrastiveAnalysisMethod
    from cabench.method import Generative as Generative
    from cabench.method import NetworkMethod as NetworkMethod
    from cabench.method import Representation as Representation
    from cabench.publication.publish import publish as publish
    from cabench.publication.verify import verify_results as verify_results
    from cabench.saving import load_method as load_method
    from cabench.saving import save_method as save_method
    from cabench.training import Batch as Batch
    from cabench.training import GradientTrainedMethod as GradientTrainedMethod
    from cabench.training import TrainingConfig as TrainingConfig
    from cabench.training import descend as descend
    from cabench.tuning.opening import open_trials as open_trials

_NAMES = {
    "api": "LoadedDataset Results evaluate load_dataset merge run score tune",
    "config": "Settings setting",
    "context": "FitContext",
    "data.builder": "DatasetBuilder",
    "data.dataset": "Attribute ContrastiveDataset DataForm DatasetInfo Population",
    "data.importing.arrays": "write_arrays",
    "data.importing.examples": "Examples",
    "errors": "UserError",
    "evaluation.vectors": "Vectors",
    "method": "ContrastiveAnalysisMethod Generative NetworkMethod Representation",
    "publication.publish": "publish",
    "publication.verify": "verify_results",
    "saving": "load_method save_method",
    "training": "Batch GradientTrainedMethod TrainingConfig descend",
    "tuning.opening": "open_trials",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted(_MODULES)

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
