"""Whole cells on the device: seeds beside each other, a run that is killed and goes on, and the longest cell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import torch
from gpu.common import Emit, Row, Scale, context_on, method_at

from cabench.data.dataset import ContrastiveDataset, DatasetInfo, Population
from cabench.experiment.encoding import encode_images
from cabench.experiment.provenance import peak_memory_gib
from cabench.experiment.request import ResolvedProfile

METHOD = "sepclr"
EPOCHS = 2
KILLED_EPOCHS = 4


def command(device: torch.device, scale: Scale, folder: Path, epochs: int, *more: str) -> list[str]:
    """`cabench run` of one method, with results in a folder."""
    dataset, profile = scale.run
    run = [sys.executable, "-m", "cabench", "run", "--methods", METHOD, "--datasets", dataset, "--profile", profile]
    run += ["--no-controls", "--no-models", "--device", str(device), "--results", str(folder), *more]
    return run + [f"--set={change}" for change in (f"{METHOD}.epochs={epochs}", *scale.sets)]


def environment(folder: Path) -> dict[str, str]:
    """One thread a process, and a data set cache of its own."""
    return {**os.environ, "CABENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}


def ran(arguments: list[str], folder: Path) -> float:
    """The seconds that a command takes.

    Raises:
        RuntimeError: with what it said, when it fails.
    """
    started = time.perf_counter()
    done = subprocess.run(arguments, env=environment(folder), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments[2:])} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return time.perf_counter() - started


def build(scale: Scale, folder: Path) -> None:
    """Build the data set of the cells, so that no run's time has it."""
    dataset, profile = scale.run
    os.environ |= environment(folder)
    ResolvedProfile.read(profile, scale.sets).dataset(dataset).obtain(None)


def seeds(emit: Emit, device: torch.device, scale: Scale) -> None:
    """Seeds by as many workers at once, and by one worker one after another; starting processes is counted."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        every = ("--seeds", f"0-{scale.seeds - 1}", "--workers")
        build(scale, folder)
        alone = ran(command(device, scale, folder / "alone", EPOCHS, *every, "1"), folder)
        together = ran(command(device, scale, folder / "together", EPOCHS, *every, str(scale.seeds)), folder)
    emit(Row(f"{scale.seeds} seeds one after another", alone, "s"))
    emit(Row(f"{scale.seeds} seeds at once", together, "s"))
    emit(Row("one after another over at once", alone / together, "times"))


def resume(emit: Emit, device: torch.device, scale: Scale) -> None:
    """A run that is killed inside training and started again, against one that is not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        more = ("--seeds", "0", "--checkpoint-seconds", "0")
        whole, killed = (command(device, scale, folder / part, KILLED_EPOCHS, *more) for part in ("whole", "killed"))
        ran(whole, folder)
        process = subprocess.Popen(
            killed, env=environment(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and not list((folder / "killed").rglob("state.safetensors")):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        early = process.wait() == -signal.SIGKILL and not list((folder / "killed").rglob("record.json"))
        emit(Row("killed while it trained", str(early), "", "" if early else "it had ended"))
        ran(killed, folder)
        epochs = [logged(folder / part) for part in ("whole", "killed")]
        fault = "" if epochs[0] == epochs[1] == list(range(1, KILLED_EPOCHS + 1)) else f"logged {epochs}"
        emit(Row("epochs logged after it went on", len(epochs[1]), "", fault))
        vectors = [salient(folder / part) for part in ("whole", "killed")]
        apart = np.linalg.norm(vectors[1] - vectors[0]) / np.linalg.norm(vectors[0])
        emit(Row("its vectors from those of an undisturbed run", 100 * float(apart), "%"))


def logged(folder: Path) -> list[int]:
    """The epochs in the log of a run's one cell."""
    (log,) = folder.rglob("log.jsonl")
    return [json.loads(line)["epoch"] for line in log.read_text(encoding="utf-8").splitlines()]


def salient(folder: Path) -> np.ndarray:
    """The salient vectors of the test targets of a run's one cell."""
    (path,) = folder.rglob("representations.h5")
    with h5py.File(path) as file:
        return file["test/target/salient"][:]


def paper(emit: Emit, device: torch.device, scale: Scale) -> None:
    """Two epochs of SepCLR's `paper` cell on noise of the size of `cifar_mnist`, and its whole time by that."""
    method, context = method_at(scale, METHOD), context_on(device, "fp32")
    epochs = method.config.epochs
    method.config = replace(method.config, epochs=EPOCHS)
    generator = torch.Generator().manual_seed(0)
    parts = [
        Population(torch.randint(256, (scale.rows, *scale.shape), dtype=torch.uint8, generator=generator), {})
        for _ in range(2)
    ]
    counts = {split: {"background": scale.rows, "target": scale.rows} for split in ("train", "test")}
    info = DatasetInfo("noise", 1, {}, "", (), scale.shape, (), counts)
    method.fit(ContrastiveDataset(info, *parts), context)
    started = time.perf_counter()
    encode_images(method, parts[0].images, device)
    encoded_s = time.perf_counter() - started
    called = f"{METHOD} on noise of the size of {scale.dataset}, profile {scale.profile}"
    emit(Row(f"{called}: {EPOCHS} epochs of {2 * scale.rows} images", context.cost.train_s, "s"))
    emit(Row(f"{called}: {scale.rows} images encoded", encoded_s, "s"))
    emit(Row(f"{called}: training of {epochs} epochs", context.cost.train_s / EPOCHS * epochs / 3600, "h"))
    emit(Row(f"{called}: most memory", peak_memory_gib(device), "GiB"))
