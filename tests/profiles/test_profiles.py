"""Profiles: which fields win, what a file may hold, and that every built-in profile is valid to the last field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cabench import discovery
from cabench.data.dataset import Attribute, DataForm
from cabench.errors import UserError
from cabench.experiment.request import Request, ResolvedProfile, check_profile, parse_seeds
from cabench.experiment.store import ResultsStore
from cabench.experiment.survey import survey
from cabench.files.json import digest
from cabench.methods.networks.dcgan import Trunk
from cabench.profiles import Profile, Variant, load_profile, profile_names
from cabench.training import GradientTrainedMethod

SALIENT = (Attribute("shape", "salient", "class", ("square", "heart")),)
MakeProfile = Callable[[str], Profile]


@pytest.fixture
def profile(tmp_path: Path) -> MakeProfile:
    """Loads a profile from its text."""

    def load(text: str) -> Profile:
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return load_profile(str(path))

    return load


# Each place sets its own field and all later ones, so that the place that wins is seen in every field.
LAYERS = """
[methods.base]
a = "method"
b = "method"
c = "method"
d = "method"
e = "method"
f = "method"
[on.data.base]
b = "on data"
c = "on data"
d = "on data"
e = "on data"
f = "on data"
[on.data_variant.base]
c = "on data variant"
d = "on data variant"
e = "on data variant"
f = "on data variant"
[variants.method_variant]
method = "base"
d = "variant"
e = "variant"
f = "variant"
[on.data.method_variant]
e = "variant on data"
f = "variant on data"
[on.data_variant.method_variant]
f = "variant on data variant"
[variants.data_variant]
dataset = "data"
"""


@pytest.mark.parametrize(
    ("label", "dataset", "expected"),
    [
        ("base", "elsewhere", ["method"] * 6),
        ("base", "data", ["method"] + ["on data"] * 5),
        ("base", "data_variant", ["method", "on data"] + ["on data variant"] * 4),
        ("method_variant", "elsewhere", ["method"] * 3 + ["variant"] * 3),
        ("method_variant", "data", ["method", "on data", "on data", "variant", "variant on data", "variant on data"]),
        (
            "method_variant",
            "data_variant",
            ["method", "on data", "on data variant", "variant", "variant on data", "variant on data variant"],
        ),
    ],
)
def test_later_places_win(profile: MakeProfile, label: str, dataset: str, expected: list[str]) -> None:
    base, fields = profile(LAYERS).method_fields(label, dataset)
    assert base == "base"
    assert [fields[name] for name in "abcdef"] == expected


def test_a_method_that_the_profile_does_not_mention_has_no_fields(profile: MakeProfile) -> None:
    assert profile(LAYERS).method_fields("unheard", "data") == ("unheard", {})
    assert profile(LAYERS).dataset_fields("unheard") == ("unheard", {})


def test_a_data_set_takes_the_fields_of_the_one_that_it_is_like_with_its_own_on_top(profile: MakeProfile) -> None:
    loaded = profile(
        """
        [like]
        other = "data"
        [on.data.base]
        a = "like"
        b = "like"
        [on.other.base]
        b = "own"
        [on.data.variant]
        c = "like"
        [variants.variant]
        method = "base"
        c = "variant"
        [variants.other_variant]
        dataset = "other"
        """
    )
    assert loaded.method_fields("base", "other") == ("base", {"a": "like", "b": "own"})
    assert loaded.method_fields("base", "other_variant") == ("base", {"a": "like", "b": "own"})
    assert loaded.method_fields("variant", "other") == ("base", {"a": "like", "b": "own", "c": "like"})
    assert loaded.method_fields("base", "data") == ("base", {"a": "like", "b": "like"})


def test_a_data_set_that_is_like_an_unknown_one_is_refused(profile: MakeProfile) -> None:
    for names in ('planted = "dspritez"', 'plantd = "dsprites"'):
        with pytest.raises(UserError, match=r"did you mean '(dsprites|planted)'"):
            check_profile(profile(f"[like]\n{names}"))


def test_merging_leaves_the_profile_as_it_was(profile: MakeProfile) -> None:
    loaded = profile(LAYERS)
    before = digest({"methods": loaded.methods, "on": loaded.on})
    loaded.method_fields("method_variant", "data_variant")[1]["a"] = "changed"
    loaded.dataset_fields("data_variant")[1]["a"] = "changed"
    assert digest({"methods": loaded.methods, "on": loaded.on}) == before


def test_a_data_set_variant_has_its_base_fields_with_its_own_on_top(profile: MakeProfile) -> None:
    loaded = profile(
        """
        [datasets.data]
        size = 32
        seed = 1
        [variants.larger]
        dataset = "data"
        size = 64
        """
    )
    assert loaded.dataset_fields("data") == ("data", {"size": 32, "seed": 1})
    assert loaded.dataset_fields("larger") == ("data", {"size": 64, "seed": 1})


def test_variants_of_methods_and_data_sets_are_told_apart(profile: MakeProfile) -> None:
    loaded = profile(LAYERS)
    assert loaded.method_variants == {
        "method_variant": Variant("base", {"d": "variant", "e": "variant", "f": "variant"})
    }
    assert loaded.dataset_variants == {"data_variant": Variant("data", {})}


def test_a_profile_from_a_path_is_named_after_its_file(profile: MakeProfile) -> None:
    loaded = profile('description = "mine"\n[defaults]\nseeds = "0-2"\n')
    assert (loaded.name, loaded.description, loaded.defaults) == ("mine", "mine", {"seeds": "0-2"})


def test_an_empty_profile_is_a_profile(profile: MakeProfile) -> None:
    loaded = profile("")
    assert loaded.method_fields("pca", "planted") == ("pca", {})
    assert loaded.description == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[methods", "not valid TOML"),
        ("[methods.pca]\na = 1\na = 2", "not valid TOML"),
        ("[method.pca]\na = 1", "'method'; did you mean 'methods'"),
        ("epochs = 3", "Unknown table .* 'epochs'"),
        ("methods = 3", r"\[methods\] must be a table"),
        ("[methods]\npca = 3", r"\[methods\]\.pca must be a table"),
        ("[datasets]\nplanted = []", r"\[datasets\]\.planted must be a table"),
        ("[like]\nplanted = 3", r"like\.planted must be the name of a data set"),
        ("[on]\nplanted = 3", r"\[on\]\.planted must be a table"),
        ("[on.planted]\npca = 3", r"\[on\]\.planted\.pca must be a table"),
        ("[variants]\nmine = 'pca'", r"\[variants\]\.mine must be a table"),
        ("defaults = 3", r"\[defaults\] must be a table"),
        ("[defaults]\nseed = '0'", "'seed'; did you mean 'seeds'"),
        ("[defaults]\nseeds = 3", "defaults.seeds must be text"),
        ("[defaults]\ndatasets = 'planted'", "defaults.datasets must be a list"),
        ("[defaults]\nprecision = 32", "defaults.precision must be text"),
        ("[tuned]\nplanted = 'sepclr'", "tuned.planted must be a list of names of methods"),
        ("[at_most]\nepochs = 'few'", "at_most.epochs must be a number"),
        ("[at_most]\nepochs = true", "at_most.epochs must be a number"),
        ("at_most = 3", r"\[at_most\] must be a table"),
        ("[rows]\ntrain = 9", "rows.train must be a whole number from 10, not 9"),
        ("[rows]\ntrain = 1e3", "rows.train must be a whole number from 10"),
        ("[rows]\nvalid = 100", r"Unknown split in \[rows\] of profile 'mine' 'valid'; did you mean 'validation'"),
        ("[variants.mine]\nepochs = 3", "'mine' must name either a method or a dataset"),
        ("[variants.mine]\nmethod = 'pca'\ndataset = 'planted'", "'mine' must name either a method or a dataset"),
    ],
)
def test_a_malformed_profile_is_refused_and_the_place_named(profile: MakeProfile, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        profile(text)


def test_a_profile_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b'description = "\xff"')
    with pytest.raises(UserError):
        load_profile(str(path))


@pytest.mark.parametrize("form", ["{} = 1", "[{}]\nx = 1", "[methods]\n{} = 1", "x = {{ {} = 1 }}"])
@pytest.mark.parametrize("dot", [".", " . ", ".'a b'.", '."".', '."\\"".'])
def test_a_key_of_many_parts_is_refused_before_it_is_read(profile: MakeProfile, form: str, dot: str) -> None:
    with pytest.raises(UserError, match="is not valid TOML: it is nested deeper than 50 levels"):
        profile(form.format(dot.join(["a"] * 50_000)))


@pytest.mark.parametrize("text", ['\\"', '"', "'", '"\\\\"'], ids=ascii)
def test_a_comment_of_anything_is_read(profile: MakeProfile, text: str) -> None:
    """A look at each quote that goes on to the end of the line would take half an hour."""
    assert profile(f'description = "d"  # .{text * 200_000}').description == "d"


def test_dots_that_join_no_keys_are_read(profile: MakeProfile) -> None:
    words, numbers = "A sentence. " * 1000, "0.5, " * 1000
    assert profile(f'description = "{words}"\n[methods.pca]\nx = [{numbers}]').description == words


def test_profiles_that_extend_each_other_in_a_long_chain_are_refused(tmp_path: Path) -> None:
    for number in range(1500):
        (tmp_path / f"{number}.toml").write_text(f"extends = '{number + 1}.toml'", encoding="utf-8")
    with pytest.raises(UserError, match=r"0\.toml' extends more than 20 others, one by the other"):
        load_profile(str(tmp_path / "0.toml"))


def test_a_chain_of_twenty_profiles_is_read(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}.toml").write_text(f"extends = '{number + 1}.toml'", encoding="utf-8")
    (tmp_path / "20.toml").write_text("description = ''", encoding="utf-8")
    assert load_profile(str(tmp_path / "0.toml")).extends == tuple(str(number) for number in range(1, 21))


@pytest.mark.parametrize("default", ["datasets = [1]", "controls = [1]"])
def test_defaults_that_list_something_else_than_names_are_refused(profile: MakeProfile, default: str) -> None:
    with pytest.raises(UserError):
        plan_with(profile(f"[defaults]\n{default}"))


def plan_with(loaded: Profile) -> None:
    for label in loaded.defaults.get("datasets", []):
        ResolvedProfile(loaded).dataset(label)
    for label in loaded.defaults.get("controls", []):
        ResolvedProfile(loaded).method(label, "planted")


def test_a_missing_profile_file_is_refused_with_the_built_in_names(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no profile file .*absent\.toml.*quick"):
        load_profile(str(tmp_path / "absent.toml"))


def test_an_unknown_profile_is_refused_with_the_closest_match() -> None:
    with pytest.raises(UserError, match="'quik'; did you mean 'quick'"):
        load_profile("quik")


def test_a_variant_of_an_unknown_base_is_refused_where_it_is_used(profile: MakeProfile) -> None:
    loaded = profile("[variants.mine]\nmethod = 'pcaa'\n[variants.other]\ndataset = 'plantd'\n")
    with pytest.raises(UserError, match="Unknown method 'pcaa'"):
        ResolvedProfile(loaded).method("mine", "planted")
    with pytest.raises(UserError, match="Unknown data set 'plantd'"):
        ResolvedProfile(loaded).dataset("other")


def test_an_unknown_name_is_compared_with_variants_too(profile: MakeProfile) -> None:
    with pytest.raises(UserError, match=r"did you mean 'my_variant'"):
        ResolvedProfile(profile("[variants.my_variant]\nmethod = 'pca'")).method("my_varient", "planted")


def test_a_field_that_the_method_does_not_have_is_refused(profile: MakeProfile) -> None:
    with pytest.raises(UserError, match="Unknown field of chance 'd_comon'; did you mean 'd_common'"):
        ResolvedProfile(profile("[methods.chance]\nd_comon = 2")).method("chance", "planted")


def test_the_built_in_profiles_are_there() -> None:
    assert {"smoke", "quick"} <= set(profile_names())


@pytest.mark.parametrize("name", profile_names())
def test_a_built_in_profile_describes_itself_and_names_its_defaults(name: str) -> None:
    loaded = load_profile(name)
    assert loaded.name == name
    assert loaded.description
    assert loaded.defaults["datasets"]
    assert loaded.defaults["precision"] == "fp32"
    assert parse_seeds(str(loaded.defaults["seeds"]))
    plan_with(loaded)


@pytest.mark.parametrize("name", profile_names())
def test_a_built_in_profile_sets_only_fields_that_exist_to_values_that_are_allowed(name: str) -> None:
    loaded = load_profile(name)
    datasets = {*loaded.datasets, *loaded.dataset_variants, *loaded.on, *loaded.defaults["datasets"]}
    for label in datasets:
        ResolvedProfile(loaded).dataset(label)
    everywhere = {*loaded.methods, *loaded.method_variants, *loaded.defaults.get("controls", [])}
    for dataset in datasets:
        for method in {*everywhere, *loaded.on.get(dataset, {})}:
            ResolvedProfile(loaded).method(method, dataset)


@pytest.mark.parametrize("name", profile_names())
def test_a_built_in_profile_gives_no_variant_the_name_of_something_else(name: str) -> None:
    loaded = load_profile(name)
    taken = {*discovery.plugins("methods"), *discovery.plugins("datasets")}
    assert not taken & {*loaded.method_variants, *loaded.dataset_variants}


def test_a_request_uses_the_defaults_of_its_profile(
    profile: MakeProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path / "cache"))
    profile(
        "[defaults]\ndatasets = ['tiny']\ncontrols = ['chance']\nseeds = '3-4'\n[variants.tiny]\ndataset = 'planted'"
    )
    request = Request(
        methods="pca",
        datasets="",
        seeds="",
        profile=str(tmp_path / "mine.toml"),
        sets=(),
        device="cpu",
        precision="auto",
        data_root=None,
        controls=True,
    )
    cells = survey(request, ResultsStore(tmp_path / "results")).cells
    assert [(cell.dataset, cell.method, cell.seed) for cell in cells] == [
        ("tiny", "pca", 3),
        ("tiny", "pca", 4),
        ("tiny", "chance", 3),
        ("tiny", "chance", 4),
    ]
    assert {cell.said for cell in cells} == {"missing (data set not built)"}


@pytest.mark.parametrize("name", ["a/b", "../up", " ", "a b"])
def test_a_variant_whose_name_is_no_folder_name_is_refused(profile: MakeProfile, name: str) -> None:
    with pytest.raises(UserError, match="is no name for a variant"):
        profile(f'[variants."{name}"]\nmethod = "pca"')


def test_a_variant_cannot_take_the_name_of_a_method(profile: MakeProfile) -> None:
    with pytest.raises(UserError, match="'sepclr' is taken"):
        check_profile(profile('[variants.sepclr]\nmethod = "pca"'))


# Profiles that extend others


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")


def test_a_profile_lays_its_fields_over_those_that_it_extends(tmp_path):
    write(
        tmp_path,
        base="""
            description = "the base"
            [defaults]
            datasets = ["planted"]
            controls = ["pca", "chance"]
            [methods.pca]
            components = 3
            [on.planted.sepclr]
            epochs = 5
            d_common = 7
            [variants.small]
            method = "sepclr"
            d_salient = 2
        """,
        mine="""
            extends = "base.toml"
            [defaults]
            controls = ["pca"]
            [on.planted.sepclr]
            epochs = 6
            [variants.small]
            d_common = 1
        """,
    )
    profile = load_profile(str(tmp_path / "mine.toml"))
    assert (profile.name, profile.description) == ("mine", "")
    assert profile.defaults == {"datasets": ["planted"], "controls": ["pca"]}
    assert profile.methods == {"pca": {"components": 3}}
    assert profile.on == {"planted": {"sepclr": {"epochs": 6, "d_common": 7}}}
    assert profile.method_variants["small"] == Variant("sepclr", {"d_salient": 2, "d_common": 1})


def test_extending_a_built_in_profile_changes_what_is_said_and_nothing_else(tmp_path):
    write(tmp_path, mine='extends = "quick"\n[on.dsprites.sepclr]\nepochs = 77\n')
    mine, quick = load_profile(str(tmp_path / "mine.toml")), load_profile("quick")
    assert ResolvedProfile(mine).method("sepclr", "dsprites").config.epochs == 77
    assert mine.on["dsprites"]["sepclr"] == {**quick.on["dsprites"]["sepclr"], "epochs": 77}
    assert mine.on["cifar_mnist"] == quick.on["cifar_mnist"]
    assert mine.method_variants == quick.method_variants


def test_a_profile_says_which_others_it_extends_but_for_those_that_are_not_listed(tmp_path):
    write(tmp_path, middle='extends = "smoke"\n', mine='description = "mine"\nextends = "middle.toml"\n')
    mine = load_profile(str(tmp_path / "mine.toml"))
    assert mine.entry_on("dsprites") == {"name": "mine", "description": "mine", "extends": ["middle", "smoke"]}
    assert load_profile("smoke").extends == ()


def test_paths_are_relative_to_the_file_that_extends(tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    write(tmp_path / "below", base="[methods.pca]\ncomponents = 3\n", middle='extends = "base.toml"\n')
    write(tmp_path, mine='extends = "below/middle.toml"\n')
    monkeypatch.chdir("/")
    assert load_profile(str(tmp_path / "mine.toml")).methods == {"pca": {"components": 3}}


def test_every_path_in_a_profile_is_relative_to_its_file(tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    base = """
    [defaults]
    datasets = ["dsprites", "clothes.h5", "/abs/shoes.h5"]
    [datasets.file]
    path = "default.h5"
    some_path = "x/y.pt"
    warmpath = "no path"
    weights = "mine-0123abcd.pth"
    published = "imagenet"
    [variants.garments]
    dataset = "file"
    path = "../garments.h5"
    """
    write(tmp_path / "below", base=base)
    write(tmp_path, mine='extends = "below/base.toml"\n[variants.hats]\ndataset = "table"\npath = "hats.h5"\n')
    monkeypatch.chdir("/")
    mine = load_profile(str(tmp_path / "mine.toml"))
    below = tmp_path / "below"
    assert mine.defaults["datasets"] == ["dsprites", str(below / "clothes.h5"), "/abs/shoes.h5"]
    assert mine.datasets["file"] == {
        "path": str(below / "default.h5"),
        "some_path": str(below / "x" / "y.pt"),
        "warmpath": "no path",
        "weights": str(below / "mine-0123abcd.pth"),
        "published": "imagenet",
    }
    assert mine.dataset_variants["garments"].fields == {"path": str(tmp_path / "garments.h5")}
    assert mine.dataset_variants["hats"].fields == {"path": str(tmp_path / "hats.h5")}
    monkeypatch.chdir(tmp_path)
    assert load_profile("mine.toml").dataset_variants == mine.dataset_variants


def test_a_path_on_the_command_line_is_relative_to_where_one_stands(tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    write(tmp_path / "below", mine='[variants.garments]\ndataset = "file"\npath = "garments.h5"\n')
    monkeypatch.chdir(tmp_path)
    resolved = ResolvedProfile.read("below/mine.toml", ["garments.path=other.h5"])
    assert resolved.dataset("garments").config.path == "other.h5"
    resolved = ResolvedProfile.read("below/mine.toml", [])
    assert resolved.dataset("garments").config.path == str(tmp_path / "below" / "garments.h5")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('extends = "mine.toml"', "Profiles extend each other in a circle: .*mine.toml -> .*mine.toml"),
        (
            'extends = "other.toml"',
            "Profiles extend each other in a circle: .*mine.toml -> .*other.toml -> .*mine.toml",
        ),
        ('extends = "nothing.toml"', "There is no profile file .*nothing.toml"),
        ('extends = "quik"', "quik.*quick"),
        ("extends = 3", "extends must be the name of a profile or a path, not 3"),
    ],
)
def test_what_cannot_be_extended_is_refused(tmp_path, text, message):
    write(tmp_path, mine=text, other='extends = "mine.toml"')
    with pytest.raises(UserError, match=message):
        load_profile(str(tmp_path / "mine.toml"))


def test_files_to_be_extended_are_not_listed():
    assert not [name for name in profile_names() if name.startswith("_")]
    assert "sepclr_no_independence" in load_profile("_ablations").method_variants


# Fields for every method


def test_a_field_for_every_method_is_given_to_those_that_have_it(profile):
    mine = profile("[every_method]\ncomponents = 5\nepochs = 3\n[methods.sepclr]\nepochs = 4\n")
    assert ResolvedProfile(mine).method("pca", "planted").config.to_dict() == {"components": 5}
    assert ResolvedProfile(mine).method("mmcvae", "planted").config.epochs == 3
    assert ResolvedProfile(mine).method("sepclr", "planted").config.epochs == 4
    assert ResolvedProfile(mine, {"sepclr": {"epochs": 9}}).method("sepclr", "planted").config.epochs == 9
    check_profile(mine)


def test_a_field_that_no_method_has_is_refused(profile):
    with pytest.raises(UserError, match=r"field of \[every_method\] in profile 'mine' 'epoch'.*epochs"):
        check_profile(profile("[every_method]\nepoch = 3\n"))


# Limits


def test_a_limit_holds_for_defaults_that_are_above_it(profile):
    mine = profile("[at_most]\nepochs = 3\ncomponents = 999\n[methods.sepclr]\nepochs = 4\n")
    check_profile(mine)
    assert ResolvedProfile(mine).method("mmcvae", "planted").config.epochs == 3
    assert ResolvedProfile(mine).method("sepclr", "planted").config.epochs == 4
    assert ResolvedProfile(mine, {"mmcvae": {"epochs": 9}}).method("mmcvae", "planted").config.epochs == 9
    plain = discovery.method_class("pca").Config()
    assert ResolvedProfile(mine).method("pca", "planted").config == plain


def test_a_method_that_was_handed_over_with_its_configuration_keeps_it(profile):
    given = discovery.method_class("mmcvae")
    handed = given(given.Config(epochs=7))
    assert (
        ResolvedProfile(profile("[at_most]\nepochs = 3"), given={"mmcvae": handed}).method("mmcvae", "").config.epochs
        == 7
    )


def test_the_smoke_profile_lets_no_method_train_for_longer_than_two_epochs_of_batches_of_64():
    smoke = ResolvedProfile(load_profile("smoke"))
    for name in discovery.plugins("methods"):
        for dataset in ("planted", "cifar_mnist", "file", "table", "celeba"):
            config = smoke.method(name, dataset).config.to_dict()
            assert config.get("epochs", 0) <= 2
            assert config.get("batch_size", 0) <= 64


def test_a_limit_of_a_field_that_no_method_has_is_refused(profile):
    with pytest.raises(UserError, match=r"field of \[at_most\] in profile 'mine' 'epoch'.*epochs"):
        check_profile(profile("[at_most]\nepoch = 3\n"))


@pytest.mark.parametrize(
    ("dataset", "shape"), [("cifar_mnist", (3, 32, 32)), ("dsprites", (1, 64, 64)), ("file", (1, 28, 28))]
)
def test_the_matched_profile_gives_all_methods_one_trunk_one_size_and_one_budget(dataset, shape):
    matched = load_profile("matched")
    trunks, sizes, budgets = set(), set(), set()
    for name in discovery.plugins("methods"):
        method = ResolvedProfile(matched).method(name, dataset)
        if not isinstance(method, GradientTrainedMethod) or "images" not in method.takes:
            continue
        config = method.config.to_dict()
        budgets.add((config["epochs"], config["batch_size"]))
        sizes |= {config[key] for key in ("d_common", "d_salient", "dimensions") if key in config}
        method.prepare(DataForm(shape, SALIENT), torch.device("cpu"), torch.Generator())
        encoders = [m for m in method.network.modules() if isinstance(m, Trunk)]
        assert encoders, f"{name} has no DCGAN trunk"
        trunks |= {sum(parameter.numel() for parameter in trunk.parameters()) for trunk in encoders}
    assert len(budgets) == len(sizes) == len(trunks) == 1, (budgets, sizes, trunks)


# Cards A1, A5 and A7: what the released scripts say for each data set.
RELEASED = {
    ("sepclr", "celeba"): {
        **{"encoder": "standard_resnet18", "weights": ""},
        **{"d_common": 16, "d_salient": 16, "batch_size": 256, "epochs": 250, "learning_rate": 3e-4},
        **{"salient_weight": 1000, "information_less_weight": 1000, "independence_weight": 10, "temperature": 0.5},
        **{"crop_size": 128, "crop_scale": (0.2, 1.0), "rotation": 0, "flip": 0.5, "jitter": 0.8, "grey": 0.2},
    },
    ("sepclr", "chexpert"): {
        "encoder": "standard_resnet18",
        **{"d_common": 32, "d_salient": 32, "batch_size": 256, "epochs": 200, "learning_rate": 3e-4},
        **{"salient_weight": 1, "information_less_weight": 10, "independence_weight": 10, "temperature": 0.5},
        **{"crop_size": 224, "crop_scale": (0.2, 1.0), "rotation": 45, "flip": 0.5, "brightness": 0.4, "contrast": 0.4},
        "weights": "imagenet-f37072fd",
    },
    ("sepclr", "odir"): {
        "encoder": "standard_resnet18",
        **{"d_common": 32, "d_salient": 32, "batch_size": 256, "epochs": 200, "learning_rate": 3e-4},
        **{"salient_weight": 1, "information_less_weight": 100, "independence_weight": 10, "temperature": 0.5},
        **{"crop_size": 224, "crop_scale": (0.75, 1.0), "rotation": 45, "jitter": 0.8, "saturation": 0.4, "hue": 0.1},
        **{"flip": 0, "vertical_flip": 0.5, "weights": "imagenet-f37072fd"},
    },
    ("sepvae", "celeba_64"): {
        "architecture": "sepvae_64",
        **{"d_common": 16, "d_salient": 16, "prior_variance": 1 / 40, "common_kl_weight": 0.5, "epochs": 200},
        **{"salient_kl_weight": 0.5, "total_correlation_weight": 2, "classification_weight": 1e-9, "batch_size": 512},
    },
    ("convae", "celeba_64"): {
        "architecture": "sepvae_64",
        **{"d_common": 16, "d_salient": 16, "epochs": 200, "batch_size": 512, "total_correlation_weight": 2},
    },
    ("mmcvae", "celeba_64"): {
        "architecture": "mmcvae_64",
        **{"d_common": 16, "d_salient": 6, "epochs": 100, "batch_size": 128},
        **{"common_mmd_weight": 10_000, "salient_mmd_weight": 1_000},
    },
    ("sepvae", "chexpert"): {
        **{"d_common": 128, "d_salient": 128, "prior_variance": 1 / 20, "common_kl_weight": 0.5, "epochs": 100},
        **{"salient_kl_weight": 0.1, "total_correlation_weight": 2, "classification_weight": 5e-10, "batch_size": 512},
    },
    ("convae", "odir"): {"d_common": 128, "d_salient": 128, "epochs": 100, "total_correlation_weight": 10},
    ("mmcvae", "chexpert"): {
        **{"d_common": 128, "d_salient": 128, "batch_size": 512, "epochs": 100, "common_kl_weight": 0.5},
        **{"salient_kl_weight": 0.1, "common_mmd_weight": 1000, "salient_mmd_weight": 100},
    },
    ("double_infogan", "celeba_64"): {"d_common": 95, "d_salient": 5, "learning_rate": 2e-4, "resolution": 64},
    ("mmcvae", "cifar_mnist_double_infogan"): {
        "architecture": "mmcvae_64",
        **{"d_common": 100, "d_salient": 100, "epochs": 1000, "batch_size": 128},
        **{"common_mmd_weight": 10_000, "salient_mmd_weight": 1_000},
    },
    ("double_infogan", "dsprites_double_infogan"): {
        **{"d_common": 95, "d_salient": 15, "learning_rate": 5e-5, "epochs": 5000, "batch_size": 128},
        **{"generator_steps": 2, "discriminator_steps": 1, "cr_steps": 1, "cr_weight": 1},
    },
}


@pytest.mark.parametrize(("method", "dataset"), RELEASED, ids="-".join)
def test_the_paper_profile_has_the_released_settings(method: str, dataset: str) -> None:
    config = ResolvedProfile(load_profile("paper")).method(method, dataset).config

    wanted = RELEASED[method, dataset]
    assert {name: getattr(config, name) for name in wanted} == wanted
