"""The README keeps its word: its tables are those of the records, and its test command is what CI runs."""

from __future__ import annotations

import io
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cabench
from cabench.experiment.store import ResultsStore
from cabench.report.figures import can_draw_png, png, standing_alone
from cabench.report.markdown import markdown, markdown_summary
from cabench.report.output import END, START, generated_text, write_report
from cabench.report.published import read_published
from cabench.report.section_figures import section_figures
from cabench.report.summary import of_datasets
from cabench.report.tuning_report import tuning_figures, tuning_markdown
from cabench.tuning.tuned_profile import published_profile
from cabench.tuning.tuning_record import read_tuning_records

CHECKOUT = Path(cabench.__file__).parent.parent
README = CHECKOUT / "README.md"

pytestmark = pytest.mark.skipif(not README.exists(), reason="the package is installed, its README is not here")

RESULTS = CHECKOUT / "results"
STUDIED = "cifar_mnist_features,dsprites,mouse_protein_drug,pneumonia_features"
"""The data sets that the study is done on."""
TUNED = {
    RESULTS / "tuning": CHECKOUT / "cabench" / "profiles" / "tuned.toml",
    RESULTS / "pneumonia": RESULTS / "pneumonia" / "tuned.toml",
}
"""Where tuning records stand, those of data that come with cabench and those of an own file, and their profiles."""


def summary_of(datasets):
    return lambda records: markdown_summary(of_datasets(records, datasets))


@pytest.mark.parametrize(
    ("page", "write"),
    [("README.md", summary_of("dsprites")), ("docs/study.md", summary_of(STUDIED)), ("results/README.md", markdown)],
)
def test_tables_are_those_of_the_published_records(page, write):
    """README: `cabench report --results results/published --datasets dsprites --format summary --output README.md`."""
    records, unreadable = ResultsStore(RESULTS / "published").shown_records()
    assert records
    assert not unreadable
    assert generated_text(CHECKOUT / page) == write(records).strip()


@pytest.mark.parametrize("tuning", TUNED, ids=lambda folder: folder.name)
def test_tables_of_tuning_are_those_of_the_tuning_records(tuning):
    """`cabench report --tuning results/tuning --output results/tuning/README.md`."""
    assert generated_text(tuning / "README.md") == tuning_markdown(read_tuning_records(tuning)).strip()


@pytest.mark.parametrize("tuning", TUNED, ids=lambda folder: folder.name)
def test_tuned_profiles_are_those_of_the_tuning_records(tuning):
    """`cabench tune` writes the first; `cabench publish` the second, whose data file is to be put beside it."""
    text = TUNED[tuning].read_text(encoding="utf-8")
    assert text == published_profile(read_tuning_records(tuning))


def test_figures_are_those_of_the_published_records():
    """`cabench report --results results/published --figures docs/images`, and with `--tuning results/tuning`."""
    published = RESULTS / "published"
    charts = {
        **section_figures(of_datasets(ResultsStore(published).shown_records()[0], STUDIED), published),
        **{name: chart for tuning in TUNED for name, chart in tuning_figures(read_tuning_records(tuning)).items()},
    }
    images = CHECKOUT / "docs" / "images"
    assert {path.stem for path in images.iterdir()} == set(charts)
    for name, chart in charts.items():
        figure = standing_alone(chart)
        assert (images / f"{name}.svg").read_text(encoding="utf-8") == figure
        if can_draw_png() and (images / f"{name}.png").exists():  # the study shows SVG alone
            kept, drawn = (Image.open(file).convert("L") for file in (images / f"{name}.png", io.BytesIO(png(figure))))
            assert kept.size == drawn.size
            assert np.abs(np.subtract(kept, drawn, dtype=np.float64)).mean() < 0.5, "versions of resvg differ by less"
    pages = [README.read_text(encoding="utf-8"), (CHECKOUT / "docs" / "study.md").read_text(encoding="utf-8")]
    shown = [re.findall(r"images/([^)]*)\)", page) for page in pages]
    assert all(shown)
    assert {Path(name).stem for names in shown for name in names} == set(charts)
    assert all((images / name).is_file() for names in shown for name in names)


def test_figures_from_papers_can_be_read():
    read_published(RESULTS / "published_elsewhere.csv")


def test_published_records_hold_all_seeds_of_all_methods():
    records, _ = ResultsStore(RESULTS / "published").shown_records()
    seeds = {}
    for record in records:
        if record.status == "failed":  # of its own, and telling nothing of the machine
            assert record.error["type"] == "NonFiniteLossError"
            assert 'File "/' not in record.error["traceback"]
        else:
            assert record.contributions is not None, "what test images add to scores is missing: it cannot be compared"
        seeds.setdefault((record.profile, record.dataset["label"], record.method["label"]), set()).add(record.seed)
    assert all(found == set(range(5)) for found in seeds.values()), seeds


def test_ci_runs_the_test_command_of_the_readme():
    (command,) = re.findall(r"<!-- test-command -->\n```sh\n(.*)\n```", README.read_text(encoding="utf-8"))
    assert "pytest" in command
    script = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8")
    extraction = re.search(r"^command=.*$", script, re.MULTILINE)
    assert extraction
    extracted = subprocess.run(
        ["bash", "-c", f'{extraction.group()}; printf %s "$command"'],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert extracted.stdout == command


def test_a_report_replaces_the_marked_block_and_nothing_else(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{START}\nold\n{END}\nafter\n", encoding="utf-8")
    write_report(page, "new\n")
    assert page.read_text(encoding="utf-8") == f"before\n{START}\n\nnew\n\n{END}\nafter\n"


def test_a_page_with_one_marker_is_refused_and_left_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{START}\n", encoding="utf-8")
    with pytest.raises(cabench.UserError, match="only one of the two"):
        write_report(page, "new\n")
    assert page.read_text(encoding="utf-8") == f"before\n{START}\n"


def test_a_file_without_markers_is_written_whole(tmp_path):
    write_report(tmp_path / "table.md", "new\n")
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == "new\n"
