"""The command line. Nothing here imports torch until a command needs it, so that help and listings answer at once."""

from __future__ import annotations

import typer

from cabench.cli import data, experiments, exporting, folders, methods, opening, planning, submitting, tuning, vectors

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The benchmark suite for contrastive analysis: common and salient representations, probed alike.",
)
for command in (experiments.run, planning.plan, experiments.evaluate, experiments.report, experiments.gate):
    app.command()(command)
app.command()(tuning.tune)
app.command("open-trials")(opening.open_trials)
app.command()(submitting.submit)
app.command()(vectors.score)
app.command()(vectors.encode)
app.command()(exporting.export)
app.command()(folders.merge)
app.command()(folders.publish)
app.command("verify-results")(folders.verify_results)
app.command("check-store")(folders.check_store)
app.command("check-method")(methods.check_method)
app.command("list")(methods.list_)
app.add_typer(data.app, name="data")
