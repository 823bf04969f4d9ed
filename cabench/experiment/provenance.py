"""Where a record was computed: versions, commit and hardware. Provenance is kept beside results, never in their key."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from cabench.profiles import ProfileEntry


def now() -> str:
    """The time in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def provenance(device: torch.device, started: str, profile: ProfileEntry) -> dict[str, object]:
    """The provenance of a cell that ends now."""
    return {
        "profile": profile,
        **_software(),
        "device": str(device),
        **hardware(device),
        "started": started,
        "ended": now(),
    }


def hardware(device: torch.device, threads: int | None = None) -> dict[str, object]:
    """What the time of a computation depends on: graphics processor, processor and number of threads.

    Args:
        device: of the computation.
        threads: of it; None for those of this process.
    """
    return {
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "cpu": _cpu(),
        "threads": threads or torch.get_num_threads(),
    }


def peak_memory_gib(device: torch.device) -> float:
    """Peak memory in GiB: allocated on the GPU since its last reset, else resident in this process since it started.

    0 on Windows, where Python has no measure of it.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    if sys.platform == "win32":
        return 0.0
    import resource

    # ru_maxrss is in bytes on macOS and in KiB elsewhere.
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


@cache
def _software() -> dict[str, object]:
    at, dirty = commit()
    return {
        "cabench": version("cabench"),
        "commit": at,
        "dirty": dirty,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
    }


def commit() -> tuple[str | None, bool | None]:
    """The commit of the checkout that this file stands in, and whether it has changes; None outside a checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None, None
    try:
        return _git(root, "rev-parse", "HEAD"), bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _git(root: Path, *arguments: str) -> str:
    # For its hooks git sets GIT_DIR, GIT_INDEX_FILE and others, and obeys them rather than -C. Settings, such as which
    # checkouts of other users are safe, stay.
    names = [name for name in os.environ if not name.startswith("GIT_") or name.startswith("GIT_CONFIG")]
    environment = {name: os.environ[name] for name in names}
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()


@cache
def _cpu() -> str:
    """The processor's model name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
