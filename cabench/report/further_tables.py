"""Tables of what is measured beside linear probes' main scores: other metrics, shape, disentanglement, neighbours."""

from __future__ import annotations

from cabench.evaluation.shape_scores import OTHER_SPACE
from cabench.report.summary import Column, Row, Section, find
from cabench.report.tables import (
    FRACTION,
    NO_SCORE,
    PERCENT,
    RATIO,
    Entry,
    Filled,
    Header,
    Table,
    arrow_of,
    attribute_title,
    filled_table,
    number,
    score_column,
)

SHAPE_METRICS = ("norm_ratio", "silhouette", "hsic", "space_r2", "kmeans_ari", "kmeans_nmi")
DISENTANGLEMENT_METRICS = ("mig", "dci_disentanglement", "dci_completeness")
NEIGHBOUR_METRICS = ("knn_balanced_accuracy", "knn_correlation", "knn_auc")
PLAIN_METRICS = ("accuracy", "r2")

_GROUPS: dict[str, str] = {
    "norm_ratio": "norm of background relative to target",
    "silhouette": "silhouette",
    "hsic": "HSIC of the two spaces",
    "space_r2": "R² across spaces",
    "kmeans_ari": "clusters and",
    "kmeans_nmi": "clusters and",
    "mig": "MIG",
    "dci_disentanglement": "DCI",
    "dci_completeness": "DCI",
}
_LABELS: dict[str, str] = {
    "norm_ratio": "salient",
    "hsic": "",
    "kmeans_ari": "ARI",
    "kmeans_nmi": "NMI",
    "dci_disentanglement": "disentanglement",
    "dci_completeness": "completeness",
}
_PLAIN = (
    "Accuracy of classes and R² of numbers, in percent; R² below 0 is shown as 0. The row chance is the share of "
    "the test split's most frequent class; a probe that reads nothing answers the most frequent class of training, "
    "which may be rare in the test split."
)
_TABLES: tuple[tuple[str, tuple[str, ...], list[str]], ...] = (
    ("Plain accuracy and R²", PLAIN_METRICS, [_PLAIN]),
    ("Shape of the spaces", SHAPE_METRICS, []),
    ("Disentanglement of the salient space", DISENTANGLEMENT_METRICS, []),
    ("Read by nearest neighbours (k = 20)", NEIGHBOUR_METRICS, []),
)


def further_tables(section: Section) -> list[Table]:
    """What is measured beside the main scores of linear probes."""
    found = []
    for title, metrics, said in _TABLES:
        columns = _wanted_first(section, section.columns_of(*metrics))
        if columns:
            filled = [part for column in columns for part in _filled(section, column)]
            found.append(filled_table(section, title, filled, said))
    return found


def _filled(section: Section, column: Column) -> list[Filled]:
    in_percent = column.metric in (*PLAIN_METRICS, *NEIGHBOUR_METRICS)
    fraction = RATIO if column.metric == "norm_ratio" else FRACTION
    found = [score_column(section, column, _header(section, column), PERCENT if in_percent else fraction)]
    if column.metric == "hsic":
        entries = [_largest_p(row, column) for row in section.rows]
        found.append(Filled(Header("HSIC of the two spaces", "largest p"), entries))
    return found


def _largest_p(row: Row, column: Column) -> Entry:
    """The largest p-value over the seeds: below 0.05, the spaces are shown to depend on each other under every seed."""
    scores = [score for record in row.records if (score := find(record, column)) is not None]
    p_values = tuple(score.p_value for score in scores if score.p_value is not None)
    return Entry(number(max(p_values), 3), values=(max(p_values),)) if p_values else Entry(NO_SCORE)


def _wanted_first(section: Section, columns: list[Column]) -> list[Column]:
    """By metric and attribute, in their order, the space that it belongs to before the one that it may leak into."""
    groups = list(dict.fromkeys(_header(section, column).group for column in columns))
    return sorted(columns, key=lambda c: (groups.index(_header(section, c).group), c.space != c.attribute_space))


def _header(section: Section, column: Column) -> Header:
    metric, attribute = column.metric, column.attribute
    group = _GROUPS.get(metric, attribute_title(attribute))
    label = _LABELS.get(metric, column.space)
    if metric in ("kmeans_ari", "kmeans_nmi"):
        group = f"{group} {attribute_title(attribute)}"
    elif metric == "mig":
        label = attribute_title(attribute)
    elif attribute == OTHER_SPACE and metric == "space_r2":
        label = f"{column.attribute_space} from {column.space}"
    elif metric in (*PLAIN_METRICS, *NEIGHBOUR_METRICS) and column.population == "background":
        group = f"{group} (background {section.examples})"
    return Header(group, label, arrow_of(column))
