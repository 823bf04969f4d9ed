"""The conformance suite: what every method must do, whoever wrote it, and the method that it is tried on."""

from cabench.conformance.checks import CHECKS, NotApplicable
from cabench.conformance.findings import Finding, check, findings, title
from cabench.conformance.subject import Subject, context, load_subject

__all__ = ["CHECKS", "Finding", "NotApplicable", "Subject", "check", "context", "findings", "load_subject", "title"]
