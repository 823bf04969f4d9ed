"""What a check of somebody's results came to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

TOLERANCE = 0.005
"""By how much a number may differ that is computed anew from vectors: half a point, one test row of 200."""


@dataclass
class Verification:
    """What was found in results from elsewhere.

    Attributes:
        findings: sentences on what is wrong, each with the place it is at.
        notes: sentences on what is not wrong but should be known, such as what could not be checked, each with the
            number of places that it holds for.
        cells: how many cells were looked at.
        failed: how many of them say that they failed.
        recomputed: of how many the scores were computed anew, from their vectors.
        equal: of how many of these all scores are equal to the last bit.
        farthest: by how much a recomputed value differs at most.
        tuned: how many tuning records were looked at.
    """

    findings: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    cells: int = 0
    failed: int = 0
    recomputed: int = 0
    equal: int = 0
    farthest: float = 0.0
    tuned: int = 0

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __str__(self) -> str:
        counted = [f"{self.cells} cells, {self.failed} of them failed", f"{self.tuned} tuning records"]
        findings = "1 finding" if len(self.findings) == 1 else f"{len(self.findings)} findings"
        computed = f"scores of {self.recomputed} cells computed anew"
        if self.recomputed:
            computed += f", {self.equal} of them bit for bit"
        if self.equal < self.recomputed:
            computed += f", the others within {self.farthest:.2g}"
        return f"{'; '.join([*counted, computed, findings])}."

    def note(self, what: str) -> None:
        """Add a note for one more place."""
        self.notes[what] += 1

    def find(self, place: object, what: str) -> None:
        """Add a finding at a place."""
        self.findings.append(f"{place}: {what}")
