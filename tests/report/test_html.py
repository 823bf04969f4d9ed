"""The HTML page, opened in a real browser: what a reader sees, with a mouse, a keyboard, a phone, or no network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from cabench import discovery
from cabench.data.dataset import Attribute
from cabench.evaluation.contributions import Contributions, ContributionTable
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.evaluation.gap import separation
from cabench.evaluation.score import Score, Unmeasured
from cabench.experiment.identity import current_evaluation
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.pictures.maps import maps
from cabench.report.html import html_page

METHODS = ("sepclr", "mmcvae", "sepvae", "cvae", "convae", "cpca", "pca", "simclr", "supervised", "chance")
DATASETS = ("dsprites", "cifar_mnist")
ATTRIBUTES = (Attribute("shape", "salient", "class", ("square", "heart")), Attribute("depth", "common", "real"))
HOSTILE = '<img src=x onerror="document.title=1">&"\'</script><script>document.title=2</script>'
LIMIT = 5 * 2**20
"""Bytes that a page of ten methods, two data sets and three seeds may have."""


def score(space: str, attribute: str, attribute_space: str, value: float, metric: str = "balanced_accuracy") -> Score:
    chance = {"balanced_accuracy": 0.5, "auc": 0.5, "correlation": 0.0}[metric]
    ideal = 1.0 if space == attribute_space else chance
    population = "all" if attribute == "is_target" else "target"
    return Score(space, attribute, attribute_space, population, metric, value, chance, ideal, 0.01, 900, 450, True)


def record(method: str, dataset: str, seed: int) -> Record:
    """A record in which the method with the largest number leaks most."""
    number = METHODS.index(method)
    jitter = 0.01 * np.random.default_rng([number, seed]).normal()
    kind, builder = discovery.method_class(method), discovery.dataset_class(dataset)
    scores = (
        score("salient", "shape", "salient", 0.9 + jitter),
        score("common", "shape", "salient", 0.55 + 0.03 * number + jitter),
        score("common", "shape", "salient", 0.55 + 0.04 * number + jitter, "auc"),
        score("common", "depth", "common", 0.8 + jitter, "correlation"),
        score("salient", "depth", "common", 0.08 * number + jitter, "correlation"),
        score("salient", "is_target", "salient", 0.95, "auc"),
        score("common", "is_target", "salient", 0.6, "auc"),
    )
    found = separation(scores)
    assert found is not None
    return Record(
        key=f"{100 * number + 10 * DATASETS.index(dataset) + seed:064x}",
        status="ok",
        method={"name": method, "label": method, "version": kind.version, "config": {}},
        dataset={
            "name": dataset,
            "label": dataset,
            "builder_version": builder.version,
            "config": {},
            "content_sha256": f"{DATASETS.index(dataset):064x}",
            "sources": ["made by a test"],
        },
        evaluation=current_evaluation(),
        profile="quick",
        seed=seed,
        precision="fp32",
        scores=scores,
        separation_gap=found.gap.value,
        cost={
            "train_s": 10.0 + number,
            "compile_s": 0.0,
            "probe_s": 1.0,
            "images_per_s": 100.0,
            "steps": 10,
            "images_seen": 1000 * (number + 1),
            "parameters": 1000 + number,
            "peak_memory_gib": 0.5,
        },
        provenance={"cabench": "0.1.0", "commit": "abcdef12", "dirty": False, "torch": "2.14", "started": "2026-11-24"},
        error=None,
        contributions=contributions(number, seed),
    )


def contributions(number: int, seed: int) -> ContributionTable:
    """Of 40 blocks to the seven scores."""
    values = np.random.default_rng([number, seed, 1]).normal(0, 0.001, (7, 40))
    rows, strata = np.full(40, 10), np.zeros(40, dtype=np.int64)
    return ContributionTable([Contributions(part - part.mean(), rows, strata) for part in values], rows, strata)


def write_cell(store: ResultsStore, kept: Record, generator: np.random.Generator) -> None:
    """A cell's folder as a run leaves it: pictures of noise are the hardest to encode small."""
    store.replace_record(kept)
    pictures = Image.fromarray(generator.integers(0, 256, (6 * 66, 658, 3), dtype=np.uint8))
    store.write_picture(kept, pictures)
    store.write_maps(kept, maps(encoded(generator), ATTRIBUTES))
    lines = [json.dumps({"epoch": e, "terms": {"total": 100 / e}, "elapsed_s": e}) for e in range(1, 31)]
    (kept.folder(store.folder) / "log.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def encoded(generator: np.random.Generator) -> EncodedSplit:
    parts = []
    for is_target in (False, True):
        spaces = {space: generator.normal(size=(300, 8)).astype(np.float32) for space in ("common", "salient")}
        shape = np.arange(300) % 2 if is_target else np.full(300, -1)
        parts.append(EncodedPopulation(spaces, {"shape": shape, "depth": np.linspace(0, 1, 300)}))
    return EncodedSplit(*parts)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> ResultsStore:
    """Ten methods on two data sets under three seeds, one of them failed, one stale, one with a hostile name."""
    store = ResultsStore(tmp_path_factory.mktemp("results"))
    generator = np.random.default_rng(0)
    for dataset in DATASETS:
        for method in METHODS:
            for seed in range(3):
                write_cell(store, record(method, dataset, seed), generator)
    failed = record("pca", "dsprites", 3)
    error = {"type": "ValueError", "message": HOSTILE, "traceback": "", "step": None, "last_terms": None}
    store.replace_record(replace(failed, status="failed", scores=(), separation_gap=None, cost={}, error=error))
    old = record("cpca", "dsprites", 4)
    stale = {**old.method, "label": "cpca_old", "version": 0}
    unmeasured = (Unmeasured("salient", "shape", "target", "mig", HOSTILE),)
    store.replace_record(replace(old, method=stale, unmeasured=unmeasured))
    return store


@pytest.fixture(scope="module")
def file(results: ResultsStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html_page(results.records(), results.folder), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("there is no chromium on PATH to open the page in")
    # Root, as in containers, cannot have Chromium's sandbox; a page from a file needs no network.
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=arguments)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, file: Path) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1200, "height": 800}, offline=True)
    opened = context.new_page()
    opened.goto(file.as_uri())
    yield opened
    context.close()


def first_column(page: Page, table: int = 0) -> list[str]:
    names = page.locator("table.sortable").nth(table).locator("tbody th").all_inner_texts()
    return [name.split()[0] for name in names]


class TestContent:
    def test_opens_offline_without_requests_or_errors(self, browser: Browser, file: Path) -> None:
        context = browser.new_context(offline=True)
        opened, asked, said = context.new_page(), [], []
        opened.on("request", lambda request: asked.append(request.url.partition(":")[0]))
        opened.on("console", lambda message: said.append(message.text))
        opened.on("pageerror", lambda error: said.append(str(error)))
        opened.goto(file.as_uri())
        for details in opened.locator("details").all():
            details.evaluate("element => { element.open = true }")
        opened.wait_for_load_state("networkidle")
        context.close()
        assert set(asked) <= {"file", "data"}
        assert asked.count("file") == 1
        assert said == []

    def test_is_small(self, file: Path) -> None:
        assert file.stat().st_size < LIMIT

    def test_says_who_leaks_and_how_sure_that_is(self, page: Page) -> None:
        said = page.locator("#section-2 .conclusion").inner_text()
        assert "sepclr leaks least (" in said
        assert "simclr most (" in said
        assert "±" in said
        assert "more leaky (p < 0.05, corrected for 28 pairs)" in said
        assert "All of this holds for this training split." in said

    def test_the_leakage_chart_names_every_method_and_puts_leaks_to_the_right(self, page: Page) -> None:
        chart = page.locator("#section-2 .chart").first
        assert set(METHODS) <= set(chart.locator("text.name").all_text_contents())
        centres = {
            group.locator("title").text_content(): float(group.locator("circle:not(.seed)").get_attribute("cx"))
            for group in chart.locator("g.point").all()
        }
        assert sorted(METHODS, key=lambda name: centres[name]) == list(METHODS)

    def test_dots_of_all_seeds_stand_in_the_table(self, page: Page) -> None:
        row = page.locator("#section-2 table").first.locator("tbody tr").first
        assert row.locator("td").first.locator("svg.strip circle").count() == 3

    def test_failed_and_stale_cells_are_seen(self, page: Page) -> None:
        section = page.locator("section", has_text="dsprites").locator("visible=true")
        warnings = " ".join(section.locator(".warning").all_inner_texts())
        assert "cpca_old" in warnings
        assert "pca, seed 3" in warnings

    def test_text_from_records_is_shown_and_never_run(self, page: Page) -> None:
        assert page.title() == "cabench results"
        assert HOSTILE in page.locator(".warning", has_text="Failed").inner_text()

    def test_tables_are_there_without_javascript(self, browser: Browser, file: Path) -> None:
        context = browser.new_context(java_script_enabled=False)
        opened = context.new_page()
        opened.goto(file.as_uri())
        assert opened.locator("table tbody th", has_text="sepclr").count() > 1
        context.close()

    def test_no_records_give_a_page_that_says_so(self, tmp_path: Path) -> None:
        assert "There are no records yet." in html_page([], tmp_path)

    def test_records_without_any_files_give_a_page(self, results: ResultsStore, tmp_path: Path) -> None:
        text = html_page(results.records(), tmp_path)
        assert "<table" in text
        assert "<canvas" not in text
        assert "data:image" not in text

    @pytest.mark.parametrize("text", ["{", "[]", "{}", '{"is_target": [0], "spaces": {}}', "\0" * 40])
    @pytest.mark.parametrize("name", ["maps.json", "log.jsonl", "pictures.png"])
    def test_a_damaged_file_is_left_out_and_the_others_beside_it_are_shown(
        self, results: ResultsStore, tmp_path: Path, name: str, text: str
    ) -> None:
        one = next(record for record in results.records() if record.status == "ok" and record.seed == 0)
        folder = Path(shutil.copytree(one.folder(results.folder), one.folder(tmp_path)))
        (folder / name).write_text(text, encoding="utf-8")
        shown = html_page([one], tmp_path)
        signs = {"maps.json": '<details class="maps">', "log.jsonl": "Training curves", "pictures.png": "data:image"}
        assert {kept: sign in shown for kept, sign in signs.items()} == {kept: kept != name for kept in signs}

    def test_stale_methods_are_named_but_not_drawn(self, page: Page) -> None:
        assert "cpca_old" not in page.locator("text.name").all_text_contents()
        assert "cpca_old" in page.locator("#section-2 .warning").first.inner_text()


class TestUse:
    def test_a_click_sorts_and_another_reverses(self, page: Page) -> None:
        before = first_column(page)
        header = page.locator("table.sortable").first.locator("thead th", has_text="parameters")
        header.locator("button").click()
        rising = first_column(page)
        header.locator("button").click()
        assert header.get_attribute("aria-sort") == "descending"
        assert first_column(page) == rising[::-1]
        assert sorted(rising) == sorted(before)

    def test_a_table_is_sorted_by_keyboard(self, page: Page) -> None:
        button = page.locator("table.sortable").first.locator("thead th button").first
        button.focus()
        page.keyboard.press("Enter")
        assert first_column(page) == sorted(first_column(page))

    def test_every_control_is_reached_by_tab(self, page: Page) -> None:
        reached = set()
        for _ in range(25):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.tagName + document.activeElement.className"))
        assert {"Askip", "BUTTON", "A", "DIVscroll"} <= reached

    def test_follows_the_system_and_the_button_turns_it(self, browser: Browser, file: Path) -> None:
        shades = {}
        for scheme in ("light", "dark"):
            context = browser.new_context(color_scheme=scheme)
            opened = context.new_page()
            opened.goto(file.as_uri())
            background = "getComputedStyle(document.body).backgroundColor"
            shades[scheme] = opened.evaluate(background)
            opened.locator("#theme").click()
            shades[f"{scheme} turned"] = opened.evaluate(background)
            context.close()
        assert shades["light"] != shades["dark"]
        assert shades["light turned"] == shades["dark"]
        assert shades["dark turned"] == shades["light"]

    @pytest.mark.parametrize("width", [360, 768])
    def test_fits_narrow_screens_with_everything_open(self, browser: Browser, file: Path, width: int) -> None:
        context = browser.new_context(viewport={"width": width, "height": 700})
        opened = context.new_page()
        opened.goto(file.as_uri())
        for details in opened.locator("details").all():
            details.evaluate("element => { element.open = true }")
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        context.close()

    def test_maps_are_drawn_and_follow_the_chosen_attribute(self, page: Page) -> None:
        block = page.locator("details.maps").first
        block.locator("summary").press("Enter")
        canvas = block.locator("canvas").first
        drawn = "c => c.toDataURL()"
        before = canvas.evaluate(drawn)
        block.locator("select").select_option("shape")
        assert canvas.evaluate(drawn) != before
        assert block.locator("canvas").count() == 2 * len(METHODS)
        assert "heart" in block.locator(".legend").inner_text()
