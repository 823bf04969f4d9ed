"""What a user asks for, resolved: names, profile and overrides become configured methods and data sets, once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from numbers import Integral
from pathlib import Path
from typing import Any

from cabench import discovery
from cabench.config import Settings, parse_value
from cabench.data.builder import DatasetProvider
from cabench.data.dataset import DatasetInfo
from cabench.data.derived import DerivedConfig
from cabench.data.file import DatasetFile
from cabench.data.named_files import OWN_SUFFIX, PATH
from cabench.data.sample import SampleProvider
from cabench.discovery import ALL
from cabench.errors import UserError, unknown
from cabench.files.json import canonical_json
from cabench.files.names import NAME_LETTERS, is_name
from cabench.method import ContrastiveAnalysisMethod
from cabench.profiles import Profile, Variant, load_profile

OWN_IMAGES, OWN_TABLE = "file", "table"
"""The data sets that stand for users' own files."""
FEATURES = "features"
"""The data set that stands for a pretrained network's features of another one's images."""
MOST_SEEDS = 10_000

GivenMethod = type[ContrastiveAnalysisMethod] | ContrastiveAnalysisMethod
MethodLike = str | GivenMethod
Overrides = Mapping[str, Mapping[str, Any]]

CHOOSE_OTHERS = f"; choose other methods, or {ALL!r} for every one that takes it"
"""How the refusal of a method ends that takes no row of a data set."""
_IN_WORDS = {
    "images": "images",
    "tables": "tables",
    "non-negative": "tables without negative values",
    "counts": "counts",
}


@dataclass(frozen=True)
class Request:
    """What a user asked for; whatever is left empty is the profile's default.

    Attributes:
        methods: names separated by commas, or a list of names, classes and constructed methods.
        datasets: names or paths of .h5 files, separated by commas or in a list.
        seeds: text such as "0-4", how many from 0, or a list of them.
        profile: a profile's name, or the path of a .toml file.
        sets: changes of single fields, such as "sepclr.epochs=20".
        device: "auto", "cpu", "cuda" or "cuda:1".
        precision: "auto", "fp32" or "bf16".
        data_root: folder of raw data; None downloads into the cache.
        controls: whether the profile's control methods are added.
    """

    methods: str | Sequence[MethodLike]
    datasets: str | Sequence[str | Path] = ""
    seeds: str | int | Sequence[int] = ""
    profile: str = "quick"
    sets: Sequence[str] = ()
    device: str = "auto"
    precision: str = "auto"
    data_root: Path | None = None
    controls: bool = True


@dataclass(frozen=True)
class ResolvedProfile:
    """A profile with one request's changes laid over it: it makes configured methods and data sets by label.

    Attributes:
        profile: as read, with the request's own files as data set variants.
        overrides: fields by label.
        given: methods that were handed over as classes or objects, by name; no discovery finds them.
    """

    profile: Profile
    overrides: Overrides = field(default_factory=dict)
    given: Mapping[str, GivenMethod] = field(default_factory=dict)

    @classmethod
    def read(cls, profile: str, sets: Sequence[str], labels: Sequence[str] | None = None) -> ResolvedProfile:
        """Read a profile and changes such as "sepclr.epochs=20".

        Args:
            profile: a name or path.
            sets: the changes.
            labels: what may be changed; None where that is not known yet.

        Raises:
            UserError: for a profile or change that cannot be read, and for one of a label that takes no part.
        """
        resolved = cls(load_profile(profile), parse_overrides(sets))
        if labels is not None:
            resolved.check_overrides(labels)
        return resolved

    def dataset(self, label: str) -> DatasetProvider:
        """What gives the data set behind a label, with its resolved configuration.

        Raises:
            UserError: for an unknown name, field or value.
        """
        provider, fields = self._provider(label)
        fields = {**fields, **self.overrides.get(label, {})}
        if issubclass(provider.Config, DerivedConfig) and fields.get("of") and "of_config" not in fields:
            fields |= self._origin(label, fields["of"])
        return provider(provider.Config.from_mapping(fields))

    def _provider(self, label: str) -> tuple[type[DatasetProvider], dict[str, Any]]:
        """The class behind a data set's label, and the fields that the profile sets for it."""
        name, fields = self.profile.dataset_fields(label)
        looks_like_a_path = not is_name(label) or Path(label).suffix.strip(".0123456789")
        if name not in discovery.plugins("datasets") and looks_like_a_path:
            raise UserError(
                f"{label} is no data set: a file of your own must end in {OWN_SUFFIX}. `cabench data import` makes one "
                "of tables, images and other files."
            )
        _check_label("data set", label, name, self.profile.dataset_variants, discovery.plugins("datasets"))
        return discovery.dataset_class(name), fields

    def _origin(self, label: str, of: str) -> dict[str, str]:
        """The fields of `DerivedConfig` for a data set that is made of another one."""
        resolved, (origin,) = self.with_files([of])
        if issubclass(resolved._provider(origin)[0].Config, DerivedConfig):
            raise UserError(f"{label} is made of {of}, which is made of another data set itself; name that one.")
        provider = resolved.dataset(origin)
        return {"of": provider.name, "of_config": canonical_json(provider.config.to_dict())}

    def sample(self, label: str) -> DatasetProvider:
        """What gives the rows of a data set that a run takes: all, or at most as many as the profile says.

        Raises:
            UserError: as `dataset`.
        """
        rows = self.profile.rows
        return SampleProvider(self.dataset(label), rows) if rows else self.dataset(label)

    def controls(self) -> list[str]:
        """The labels of the profile's controls.

        Raises:
            UserError: for one that does not exist.
        """
        labels = list(self.profile.defaults.get("controls", []))
        known = (ALL, *discovery.plugins("methods"), *self.profile.method_variants, *self.given)
        for label in labels:
            if label not in known:
                raise unknown(f"control of profile {self.profile.name!r}", label, known)
        return labels

    def method(self, label: str, dataset_label: str) -> ContrastiveAnalysisMethod:
        """The method behind a label, with its configuration resolved for a data set.

        Raises:
            UserError: as `configuration`, and for a method that cannot be constructed.
        """
        kind, config = self.configuration(label, dataset_label)
        with _blaming(label):
            return kind(config)

    def configuration(self, label: str, dataset_label: str) -> tuple[type[ContrastiveAnalysisMethod], Settings]:
        """The class of a method, and its configuration resolved for a data set.

        A method that was given as an object keeps its configuration, but for what the request changes.

        Raises:
            UserError: for an unknown name, field or value.
        """
        name, fields = self.profile.method_fields(label, dataset_label)
        given = self.given.get(label)
        if given is None:
            if self.lacks(name):
                raise UserError(
                    f"The method {name!r} of profile {self.profile.name!r} is not installed; name its file among the "
                    "methods, such as mine.py."
                )
            _check_label("method", label, name, self.profile.method_variants, discovery.plugins("methods"))
            given = discovery.method_class(name)
        if isinstance(given, ContrastiveAnalysisMethod):
            kind, fields = type(given), given.config.to_dict()
        else:
            kind, every = given, self.profile.every_method
            common = {key: every[key] for key in every if key in kind.Config.field_names()}
            fields = kind.Config.defaults_at_most(self.profile.at_most) | common | fields
        with _blaming(label):
            return kind, kind.Config.from_mapping({**fields, **self.overrides.get(label, {})})

    def lacks(self, name: str) -> bool:
        """Whether a method is one that does not come with cabench, and is neither installed nor given."""
        at_hand = name in self.given or name in discovery.plugins("methods")
        return name in self.profile.own_methods and not at_hand

    def check_overrides(self, labels: Sequence[str]) -> None:
        """Refuse a change of something that takes no part in the run.

        Raises:
            UserError: naming it and what does take part.
        """
        for label in self.overrides:
            if label not in labels:
                raise unknown("name in --set", label, labels)

    def with_files(self, names: Sequence[str]) -> tuple[ResolvedProfile, list[str]]:
        """Let data set files be used like names: each becomes a variant, named by its file, of `file` or `table`.

        Args:
            names: of data sets, as they were asked for; those that end in .h5 are paths.

        Returns:
            The profile with them, and the labels of all data sets, in order.

        Raises:
            UserError: for a file that cannot be read, or whose name is taken or not allowed.
        """
        labels, variants = [], dict(self.profile.dataset_variants)
        for name in names:
            if not isinstance(name, str):
                raise UserError(f"{type(name).__name__} is no data set; give a name or the path of an .h5 file.")
            if not name.endswith(OWN_SUFFIX):
                labels.append(name)
                continue
            label = Path(name).stem
            if not is_name(label):
                raise UserError(f"The name of the file {name} may hold {NAME_LETTERS} alone; rename it.")
            base = OWN_TABLE if DatasetFile.open_from_elsewhere(Path(name)).info.is_table else OWN_IMAGES
            variant = Variant(base, {PATH: str(Path(name).resolve())})
            taken = label == ALL or label in discovery.plugins("datasets") or label in discovery.plugins("methods")
            if taken or variants.get(label, variant) != variant:
                raise UserError(f"The file {name} is called like another data set or a method, {label!r}; rename it.")
            variants[label] = variant
            labels.append(label)
        return replace(self, profile=replace(self.profile, dataset_variants=variants)), labels


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


def seed_list(seeds: str | int | Sequence[int]) -> list[int]:
    """The seeds that are asked for as text, as a number of seeds from 0, or as a list.

    Raises:
        UserError: as `parse_seeds`, and for a number below 1.
    """
    if isinstance(seeds, str):
        return parse_seeds(seeds)
    if isinstance(seeds, Integral):
        if seeds < 1:
            raise UserError(f"{seeds} seeds cannot be run; ask for one or more.")
        return parse_seeds(f"0-{int(seeds) - 1}")
    if not isinstance(seeds, Iterable):
        raise UserError(f"Seeds {seeds!r} are not understood; give how many, a list, or text such as 0-4.")
    return parse_seeds(",".join(map(str, seeds)))


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
        label, dot, name = place.strip().partition(".")
        if not (equals and dot and label and name):
            raise UserError(f"--set {text!r} is not understood; write NAME.FIELD=VALUE, such as sepclr.epochs=20.")
        overrides.setdefault(label, {})[name] = parse_value(value.strip())
    return overrides


def name_list(kind: str, names: object) -> list[Any]:
    """Names separated by commas, a list of them, or one of another kind; paths become text.

    Raises:
        UserError: where there is none.
    """
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",")]
    elif not isinstance(names, Iterable):  # one class, one object
        names = [names]
    found = [str(name) if isinstance(name, Path) else name for name in names if name != ""]
    if not found:
        raise UserError(f"No {kind} was named; write names separated by commas.")
    return found


def check_method(method: ContrastiveAnalysisMethod, info: DatasetInfo) -> None:
    """Refuse a data set that a method does not run on, before any work starts. Whatever a method's own `check` says, a
    method that was written for images is given no table.

    Raises:
        UserError: saying what does not fit and what would.
    """
    wanted = _wanted(info)
    if not wanted & set(method.takes):
        *first, last = (_IN_WORDS[kind] for kind in method.takes if kind != "missing")
        taken = " and ".join([*([", ".join(first)] if first else []), last])
        held = f"a table of {info.image_shape[0]} {'counts' if info.are_counts else 'features'}"
        held += " that may be negative" if "non-negative" in method.takes else ""
        might_count = info.non_negative and "counts" in method.takes
        counted = "; if these are counts, import them with --counts" if might_count else ""
        raise UserError(
            f"{method.name} takes {taken}, but {info.called} holds {held if info.is_table else 'images'}"
            f"{counted}{CHOOSE_OTHERS}."
        )
    with _blaming(method.name):
        method.check(info)


def _wanted(info: DatasetInfo) -> set[str]:
    """The kinds of examples of which a method must take one; `cabench.data.preparation` makes others into these."""
    if not info.is_table:
        return {"images"}
    if info.are_counts:
        return {"tables", "non-negative", "counts"}
    return {"tables", "non-negative"} if info.non_negative else {"tables"}


def check_profile(profile: Profile, given: Mapping[str, GivenMethod] | None = None) -> None:
    """Construct every configuration that a profile gives, asked for or not, also of methods that are `given` by name.

    Settings of own methods that are not at hand are passed over.

    Raises:
        UserError: for a name, field or value that does not exist or is not allowed.
    """
    plain = ResolvedProfile(profile, given=given or {})
    for name in (*profile.method_variants, *profile.dataset_variants):
        if name == ALL or name in discovery.plugins("methods") or name in discovery.plugins("datasets"):
            raise UserError(f"Profile {profile.name!r}: the variant name {name!r} is taken; choose another.")
    for table, limits in (("every_method", profile.every_method), ("at_most", profile.at_most)):
        known = {key for method in discovery.loadable_methods() for key in method.Config.field_names() if limits}
        for key in limits:
            if key not in known:
                raise unknown(f"field of [{table}] in profile {profile.name!r}", key, known)
    for dataset in (*profile.datasets, *profile.dataset_variants):
        plain.dataset(dataset)
    for dataset in (*profile.on, *profile.like, *profile.like.values()):
        base, _ = profile.dataset_fields(dataset)
        _check_label("data set", dataset, base, profile.dataset_variants, discovery.plugins("datasets"))
    places = [(method, "") for method in (*profile.methods, *profile.method_variants)]
    places += [(method, dataset) for dataset, methods in profile.on.items() for method in methods]
    for method, dataset in places:
        if not plain.lacks(profile.method_fields(method, dataset)[0]):
            plain.configuration(method, dataset)


@contextmanager
def _blaming(label: str) -> Iterator[None]:
    """Name the method whose code raised something other than a UserError, before any work has started."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"Method {label!r} cannot be used ({type(error).__name__}: {error}); correct its code or leave it out."
        ) from error


def _check_label(kind: str, label: str, name: str, variants: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    if name not in known:
        shown_by = f"`cabench list {kind.replace(' ', '')}s` with the same --profile"
        raise unknown(kind, name, [*known, *variants] if label == name else known, shown_by)
