"""What is to be computed: cells, each a method on a data set under a seed, and the key that identifies each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cabench import discovery
from cabench.config import parse_value
from cabench.data.builder import DatasetProvider
from cabench.data.dataset import DatasetInfo
from cabench.data.file import DatasetFile
from cabench.errors import UserError, unknown
from cabench.files.names import is_name
from cabench.method import ContrastiveAnalysisMethod
from cabench.profiles import Profile, Variant

OWN_IMAGES, OWN_TABLE, OWN_SUFFIX = "file", "table", ".h5"
"""The data sets that stand for users' own files, and how the paths of these end."""
ALL = "all"
"""Stands for every discovered method that takes the data set."""
MOST_SEEDS = 10_000
Overrides = Mapping[str, Mapping[str, Any]]


def parse_seeds(text: str) -> list[int]:
    """The seeds behind "0-4", "0,2,5" or a mixture, in order and without repeats: at most 10,000 below 10^9.

    Raises:
        UserError: for anything else.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not _is_seed(first) or (dash and not _is_seed(last)) or (dash and int(last) < int(first)):
            raise UserError(f"Seeds {text!r} are not understood; write numbers and ranges such as 0,2 or 0-4.")
        asked = range(int(first), int(last or first) + 1)
        if len(seeds) + len(asked) > MOST_SEEDS:
            raise UserError(f"Seeds {text!r} are more than {MOST_SEEDS:,}; ask for fewer at a time.")
        seeds += asked
    return list(dict.fromkeys(seeds))


def _is_seed(text: str) -> bool:
    return text.isdecimal() and len(text) < 10


def parse_overrides(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Fields by label from texts such as "sepclr.epochs=20".

    Raises:
        UserError: for a text of another form.
    """
    overrides: dict[str, dict[str, Any]] = {}
    for text in texts:
        place, equals, value = text.partition("=")
        label, dot, field = place.strip().partition(".")
        if not (equals and dot and label and field):
            raise UserError(f"--set {text!r} is not understood; write NAME.FIELD=VALUE, such as sepclr.epochs=20.")
        overrides.setdefault(label, {})[field] = parse_value(value.strip())
    return overrides


def make_dataset(label: str, profile: Profile, overrides: Overrides) -> DatasetProvider:
    """What gives the data set behind a label, with its resolved configuration.

    Raises:
        UserError: for an unknown name, field or value.
    """
    name, fields = profile.dataset_fields(label)
    _check_label("data set", label, name, profile.dataset_variants, discovery.plugins("datasets"))
    provider = discovery.load_dataset(name)
    return provider(provider.Config.from_mapping({**fields, **overrides.get(label, {})}))


def make_method(label: str, dataset_label: str, profile: Profile, overrides: Overrides) -> ContrastiveAnalysisMethod:
    """The method behind a label, with its configuration resolved for a data set.

    Raises:
        UserError: for an unknown name, field or value, and for a method that cannot be constructed.
    """
    name, fields = profile.method_fields(label, dataset_label)
    _check_label("method", label, name, profile.method_variants, discovery.plugins("methods"))
    method = discovery.load_method(name)
    shared = {key: value for key, value in profile.every_method.items() if key in method.Config.field_names()}
    with _blaming(label):
        return method(method.Config.from_mapping({**shared, **fields, **overrides.get(label, {})}))


@contextmanager
def _blaming(label: str) -> Iterator[None]:
    """Name the method whose code raised something other than a UserError, before any work has started."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"Method {label!r} cannot be used ({type(error).__name__}: {error}); mend its code or leave it out."
        ) from error


def with_files(profile: Profile, names: Sequence[str]) -> tuple[Profile, list[str]]:
    """Let data set files be used like names: each becomes a variant, named by its file, of `file` or `table`.

    Args:
        profile: that the variants are added to.
        names: of data sets, as they were asked for; those that end in .h5 are paths.

    Returns:
        The profile with them, and the labels of all data sets, in order.

    Raises:
        UserError: for a file that cannot be read, or is called like another data set or a method, or as
            nothing may be called.
    """
    labels, variants = [], dict(profile.dataset_variants)
    for name in names:
        if not name.endswith(OWN_SUFFIX):
            labels.append(name)
            continue
        label = Path(name).stem
        if not is_name(label):
            raise UserError(f"The file {name} must be called by letters, digits, _ and -; rename it.")
        base = OWN_TABLE if DatasetFile.open_from_elsewhere(Path(name)).info.is_table else OWN_IMAGES
        variant = Variant(base, {"path": str(Path(name).resolve())})
        taken = label == ALL or label in discovery.plugins("datasets") or label in discovery.plugins("methods")
        if taken or variants.get(label, variant) != variant:
            raise UserError(f"The file {name} is called like another data set or a method, {label!r}; rename it.")
        variants[label] = variant
        labels.append(label)
    return replace(profile, dataset_variants=variants), labels


def check_method(method: ContrastiveAnalysisMethod, info: DatasetInfo) -> None:
    """Refuse a data set that a method does not run on, before any work starts. Whatever a method's own `check` says, a
    method that was written for images is given no table.

    Raises:
        UserError: saying what does not fit and what would.
    """
    if info.is_table and not method.takes_tables:
        able = [able.name for able in discovery.loadable_methods() if able.takes_tables]
        raise UserError(
            f"{method.name} takes images, but {info.name} holds a table of {info.image_shape[0]} features; choose one "
            f"of {', '.join(able)}."
        )
    with _blaming(method.name):
        method.check(info)


def check_overrides(overrides: Overrides, labels: Sequence[str]) -> None:
    """Refuse an override for something that takes no part in the run.

    Raises:
        UserError: naming it and what does take part.
    """
    for label in overrides:
        if label not in labels:
            raise unknown("name in --set", label, labels)


def check_profile(profile: Profile) -> None:
    """Construct every configuration that a profile gives, whether or not it is asked for.

    Raises:
        UserError: for a name, field or value that does not exist or is not allowed.
    """
    for name in (*profile.method_variants, *profile.dataset_variants):
        if name == ALL or name in discovery.plugins("methods") or name in discovery.plugins("datasets"):
            raise UserError(f"Profile {profile.name!r}: the variant name {name!r} is taken; choose another.")
    if profile.every_method:
        known = {key for method in discovery.loadable_methods() for key in method.Config.field_names()}
        for key in profile.every_method:
            if key not in known:
                raise unknown(f"field of [every_method] in profile {profile.name!r}", key, sorted(known))
    for dataset in (*profile.datasets, *profile.dataset_variants):
        make_dataset(dataset, profile, {})
    for dataset in (*profile.on, *profile.like, *profile.like.values()):
        base, _ = profile.dataset_fields(dataset)
        _check_label("data set", dataset, base, profile.dataset_variants, discovery.plugins("datasets"))
    places = [(method, "") for method in (*profile.methods, *profile.method_variants)]
    places += [(method, dataset) for dataset, methods in profile.on.items() for method in methods]
    for method, dataset in places:
        make_method(method, dataset, profile, {})


def _check_label(kind: str, label: str, name: str, variants: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    if name not in known:
        raise unknown(kind, name, [*known, *variants] if label == name else known)
