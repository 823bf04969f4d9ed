"""The gate: fails when a change of the code made a metric worse than it was in a baseline.

Gated are, in every cell group (a method on a data set under a profile and precision), the scores that the separation
gap is made of (`cabench.evaluation.gap`), one a linear probe, and the gap itself. Each is turned into its distance from
the ideal: where the attribute belongs to the space less is a loss, where it does not more is one, and a leak below
chance is none. Left out are other metrics of the same probes, the nearest-neighbour probes, and the shape of the
spaces, whose ideals are no aim of every method: each further metric makes the correction for the number of comparisons
dearer for all the others.

The gate asks whether the code changed what it gives on the same test rows. Which rows these are is no part of that
question, so seeds are all that varies in its tests.

    baseline.py    the file of what there was
    selection.py   which records stand for the code as it is now
    judgement.py   the statistics: pure functions of numbers
    gate.py        all of it put together: what got worse, what cannot be compared
    wording.py     what is said of it
    formats.py     as text, Markdown or JUnit XML
    plugin.py      the fixture `cabench_gate` of pytest
"""
