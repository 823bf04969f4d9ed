"""What the checks say of one method, in order, each blamed for its own fault alone.

The project's own tests run every check on every method; `cabench check-method` and `check` run the same on one.
"""

from __future__ import annotations

import site
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import cabench
from cabench.conformance.checks import CHECKS, Check, NotApplicable
from cabench.conformance.subject import Subject, load_subject
from cabench.experiment.request import MethodLike


class Finding(NamedTuple):
    """What one check says of a method. `str()` gives it as one line.

    Attributes:
        title: what must hold, in words.
        outcome: "skipped" where the check does not concern the method, or rests on one that failed.
        reason: why it was skipped, or what went wrong; empty where the check passed.
    """

    title: str
    outcome: Literal["passed", "skipped", "FAILED"]
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.outcome:<8} {self.title}" + (f": {self.reason}" if self.reason else "")


def check(method: MethodLike, sets: Sequence[str] = ()) -> list[Finding]:
    """What all checks say of a method.

    Args:
        method: as of `load_subject`.
        sets: as of `load_subject`.

    Raises:
        UserError: as `load_subject` does.
    """
    return list(findings(load_subject(method, sets)))


def findings(subject: Subject) -> Iterator[Finding]:
    """The finding of each check in turn. A check that rests on a failed one is skipped, as it would blame another."""
    faults: dict[Check, str] = {}  # of checks that failed or were skipped for it: the title of the one that failed
    for check, grounds in CHECKS.items():
        fault = next((faults[ground] for ground in grounds if ground in faults), None)
        if fault is not None:
            faults[check] = fault
            yield Finding(title(check), "skipped", f"rests on {fault!r}, which failed")
            continue
        try:
            check(subject)
            yield Finding(title(check), "passed")
        except NotApplicable as reason:
            yield Finding(title(check), "skipped", str(reason))
        except Exception as error:  # whatever a method raises is a finding
            faults[check] = title(check)
            said = (
                str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}{_place(error)}"
            )
            yield Finding(title(check), "FAILED", said)


def _place(error: Exception) -> str:
    """The last line outside of cabench and the libraries that the error passed through, such as " (mine.py:23)"."""
    installed = (str(Path(cabench.__file__).parent / "conformance"), *map(str, site.getsitepackages()), sys.base_prefix)
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(installed)]
    return f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""


def title(check: Check) -> str:
    """What a check asks for, in words."""
    return check.__name__.removeprefix("check_").replace("_", " ")
