"""Nothing in the way from a data set to a report unpickles anything that could name code."""

from __future__ import annotations

from pathlib import Path

import pytest

WATCHED = """
import pickle, sys
from pathlib import Path

found = []
sys.addaudithook(lambda event, args: found.append(args) if event == "pickle.find_class" else None)
from cabench.cli import app

for command in (
    ["run", "--profile", "smoke", "--datasets", "planted", "--methods", "pca,mmcvae", "--seeds", "0"],
    ["evaluate"],
    *(["report", "--format", form] for form in ("markdown", "csv", "latex", "html")),
):
    try:
        app(command)
    except SystemExit as end:
        assert not end.code, (command, end.code)
print(f"\\nfound {found}")
pickle.loads(pickle.dumps(Path("x")))
print("seen", bool(found))
"""


@pytest.mark.slow
def test_a_run_its_evaluation_and_its_reports_load_no_pickle(tmp_path: Path, start_python) -> None:
    process = start_python(tmp_path, "-c", WATCHED)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "\nfound []\n" in output
    assert output.endswith("seen True\n")  # the watch works
