"""Batches through a network, on all processor cores, with the same bits however many there are.

Each batch is computed by one thread: with several threads to an operation, the order of sums could depend on their
number.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from cabench.datasets.sources.backbones import Backbone

# Images. EfficientNet-Lite0 at 96 pixels, two free cores: 728 images/s in batches of 32, 506 in those of 64.
BATCH = 32


@dataclass(frozen=True)
class Extractor:
    """A network at work.

    Attributes:
        network: in evaluation mode; moved to `device`.
        backbone: prepares the images.
        size: height and width that they are scaled to.
        device: where to compute. Bits on a GPU differ from those on the processor.
    """

    network: nn.Module
    backbone: Backbone
    size: int
    device: torch.device

    def features(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Features float32 (n, d) of batches of uint8 images (n, channels, height, width), in order.

        Few batches are held at a time.
        """
        self.network.to(self.device)
        workers = _cores() if self.device.type == "cpu" else 1
        with _one_thread_each(), torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
            yield from _in_parallel(self._features, batches, workers)

    @torch.inference_mode()
    def _features(self, images: np.ndarray) -> np.ndarray:
        prepared = self.backbone.prepare(torch.from_numpy(images).to(self.device), self.size)
        features: np.ndarray = self.network(prepared).cpu().numpy()
        return features


def _in_parallel(
    function: Callable[[np.ndarray], np.ndarray], items: Iterable[np.ndarray], workers: int
) -> Iterator[np.ndarray]:
    """Results in the order of the items. Threads will do: torch computes without the interpreter's lock."""
    waiting: deque[Future[np.ndarray]] = deque()
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Threads that start inside the block compute alone; afterwards all is as it was."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
