"""Tables of what linear probes read: every attribute from either space side by side, nuisances, and adjusted probes."""

from __future__ import annotations

from cabench.data.dataset import IS_TARGET, Owner
from cabench.evaluation.score import PopulationName
from cabench.report.summary import Column, Section
from cabench.report.tables import (
    NO_SCORE,
    PERCENT,
    Filled,
    Header,
    Table,
    arrow_of,
    attribute_title,
    filled_table,
    score_column,
)

READ_METRICS = ("balanced_accuracy", "correlation")
"""How well an attribute is read, as papers print it: of classes, and of numbers."""
ALONE = "from nuisances alone"

_ADJUSTED = {
    "adjusted_auc": "adjusted",
    "adjusted_correlation": "adjusted",
    "unseen_level_auc": "unseen level",
    "unseen_level_correlation": "unseen level",
}
_READ = "Balanced accuracy of classes, correlation of numbers, in percent."
_LEAKS = "Beside it the AUC of leaks, which shows weak ones too."
_NUISANCES = (
    "A nuisance that is read from the salient space is a leak; the common space may hold it or not, and is shown "
    "without an ideal."
)
_WITHOUT = (
    "AUC of classes, correlation of numbers, in percent. Adjusted: what the nuisances explain of the vectors is taken "
    "out, and scores are taken within their levels. Unseen level: the probe has seen nothing of the level that it is "
    "scored on. From nuisances alone: what they tell of an attribute without any vector, "
    "over all levels. Scores that are not adjusted and no higher may be read from them."
)


def probe_tables(section: Section) -> list[Table]:
    """The linear probes: salient attributes of targets, common and nuisance ones of either population."""
    everywhere: tuple[PopulationName, ...] = ("target", "background")
    places: list[tuple[str, Owner, PopulationName]] = [("Salient", "salient", "target")]
    places += [("Common", "common", population) for population in everywhere]
    places += [("Nuisance", "nuisance", population) for population in everywhere]
    found = []
    for word, owner, population in places:
        columns = _columns(section, owner, population)
        if columns:
            title = f"{word} attributes, read from {population} {section.examples}"
            filled = [score_column(section, column, probe_header(column)) for column in columns]
            has_auc = any(column.metric == "auc" for column in columns)
            said = [_READ, *[_LEAKS] * has_auc, *[_NUISANCES] * (owner == "nuisance")]
            found.append(filled_table(section, title, filled, said))
    return found + _adjusted_tables(section)


def probe_header(column: Column) -> Header:
    """The title of a column: the attribute, then the space that it is read from."""
    is_second = column.metric == "auc" and column.attribute != IS_TARGET
    label = f"{column.space}, AUC" if is_second else column.space
    return Header(attribute_title(column.attribute), label, arrow_of(column))


def _columns(section: Section, owner: Owner, population: PopulationName) -> list[Column]:
    """By attribute: from the space that it belongs to, from the other, and the AUC of a leak.

    Of nuisances the leak stands first.
    """
    there = [
        column
        for column in section.columns_of(*READ_METRICS, "auc")
        if (column.attribute_space, column.population) == (owner, population) and column.space != "nuisance"
    ]
    attributes = list(dict.fromkeys(column.attribute for column in there))
    first = "salient" if owner == "nuisance" else owner
    leaky = "salient" if owner == "nuisance" else {"salient": "common", "common": "salient"}[owner]
    shown = [column for column in there if column.metric != "auc" or column.space == leaky]
    return sorted(shown, key=lambda c: (attributes.index(c.attribute), c.space != first, c.metric == "auc"))


def _adjusted_tables(section: Section) -> list[Table]:
    """What probes read with the nuisances' part taken out; none where there are no nuisances."""
    columns = section.columns_of(*_ADJUSTED)
    if not columns:
        return []
    attributes = list(dict.fromkeys((column.attribute, column.population) for column in columns))
    columns.sort(
        key=lambda c: (attributes.index((c.attribute, c.population)), _ADJUSTED[c.metric], c.space != c.attribute_space)
    )
    filled = [_beside_nuisances(section, column, _adjusted_header(section, column)) for column in columns]
    title = "Attributes with what nuisances tell taken out"
    return [filled_table(section, title, filled, [_WITHOUT, *predicted_by_nuisances(section)])]


def predicted_by_nuisances(section: Section) -> list[str]:
    """How well the nuisances alone tell target from background; empty where there are none."""
    found = nuisances_alone(section, IS_TARGET, "all")
    if found is None:
        return []
    return [f"The nuisances alone tell target from background with an AUC of {100 * found:.1f} %; chance is 50.0 %."]


def nuisances_alone(section: Section, attribute: str, population: str) -> float | None:
    """How well an attribute is read from the nuisance attributes and no image; None where that was not measured."""
    for column in section.columns_of("auc", "correlation"):
        if (column.space, column.attribute, column.population) == ("nuisance", attribute, population):
            scores = section.scores(column)
            return sum(score.value for score in scores) / len(scores)
    return None


def _beside_nuisances(section: Section, column: Column, header: Header) -> Filled:
    filled = score_column(section, column, header)
    alone = nuisances_alone(section, column.attribute, column.population)
    text = NO_SCORE if alone is None else PERCENT.text(alone)
    return filled._replace(yardsticks={**filled.yardsticks, ALONE: text})


def _adjusted_header(section: Section, column: Column) -> Header:
    where = f" ({column.population} {section.examples})" if column.attribute_space == "common" else ""
    label = f"{column.space}, {_ADJUSTED[column.metric]}"
    return Header(attribute_title(column.attribute) + where, label, arrow_of(column))
