"""The message for an unknown name."""

from __future__ import annotations

from cabench.errors import LISTED, unknown


def test_few_names_are_all_listed() -> None:
    assert str(unknown("split", "trian", ["train", "test"])) == (
        "Unknown split 'trian'; did you mean 'train'? Known: test, train."
    )
    assert str(unknown("split", "x", [])) == "Unknown split 'x'. Known: none."


def test_of_many_the_first_are_listed_or_what_shows_them_is_named() -> None:
    genes = [f"gene_{number:05}" for number in range(20_000)]
    assert str(unknown("column", "age", genes)) == (
        f"Unknown column 'age'. Known: {', '.join(genes[:LISTED])} and 19,988 more."
    )
    assert str(unknown("column", "gene_0001", genes, "`head`")).endswith("'? `head` shows all names.")
