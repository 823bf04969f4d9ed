"""Double InfoGAN: a GAN whose discriminator reads common and salient vectors back from images.

Paper: Carton, Louiset, Gori. "Double InfoGAN for contrastive analysis", AISTATS 2024, PMLR 238:172-180, arXiv
2401.17776. Reproduced: the released DCGAN models (commits 3aaadbf, 8fc3455, 03d75f1); the defaults of
`DoubleInfoGANConfig` are the CIFAR-MNIST experiment's.

The generator G makes fakes f_b = G(z, 0) of the background and f_t = G(z, s) of the target from standard normal z and
s, as many of each as the batch has images. The discriminator is one trunk with four heads: V (real?), K (target?), z^
and s^ (the vectors read back), with Gaussian noise before every convolution. With b background and t target images, and
w_b = background_weight, w_t = target_weight applied to the terms of each population:

    adversarial     mean -log V(fakes) for G;  mean -log V(reals) - log (1 - V(fakes)) for D
    classification  BCE of K on fakes for G, on reals for D
    information     |z^(f) - z| + |s^(f) - s|, with s = 0 for f_b
    reconstruction  |G(z^(b), 0) - b|  and  |G(z^(t), s^(t)) - t|
    empty           |s^(b)|, for D alone, not weighted by w_b
    shared          cross-entropy of the CR network, for G: see below

All norms are mean absolute errors. Each step updates G, then D, then the CR network, on the same images with new
latents for each; only the network being updated learns. Background, target and both kinds of fakes pass D in separate
calls, so that batch normalisation sees one population at a time. The CR network, used if `cr_steps` is above 0, sees
two fakes that share the common vector and one dimension of the salient vector, and predicts which dimension.

Kept as released: the class head never sees fakes in D's step, although G is trained to please it; the reconstruction
term trains both G and the encoder in their turns.

Deviations: representations are taken in eval mode and without noise, while the released evaluation keeps both batch
statistics and noise; in its own step D sees reals before fakes, in the release after them: losses are the same, but the
running statistics that eval mode uses weigh most what came last; logarithms are computed from logits instead of with
1e-8 added; images are resized inside the method (the release trains on files of 64 x 64): the longer side gets
`resolution` pixels, the other one as many as keep the proportions, but at least 8, and `decode` gives images of the
data's own size; each step sees equal halves of background and target, and images that do not fill a batch wait for the
next epoch; networks may run in bf16, losses in float32.

The representation is the output of the heads z^ and s^. The salient vector of a background image is the output of s^:
training pulls it to zero, but nothing forces it there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.optim import Adam, Optimizer

from cabench.config import ConfigError, setting
from cabench.context import FitContext
from cabench.data.dataset import DataForm
from cabench.method import Generative, Representation
from cabench.methods.losses.infogan import absolute_error, affirmed, denied, shared_dimension
from cabench.methods.networks import dcgan
from cabench.methods.networks.dcgan import Discriminator, Generator, SharedDimensionReader, Verdict
from cabench.methods.networks.sizes import SMALLEST_IMAGE
from cabench.search import Log
from cabench.training import Batch, GradientTrainedMethod, TrainingConfig, descend, weighted_sum

BETAS = (0.5, 0.999)


@dataclass(frozen=True)
class DoubleInfoGANConfig(TrainingConfig):
    """Defaults: the released CIFAR-MNIST experiment (card A8)."""

    epochs: int = 1000
    batch_size: int = 128
    learning_rate: float = setting(
        2e-4, above=0, search=Log(1e-4, 3e-3), help="of all Adam optimizers, constant; betas are 0.5, 0.999"
    )
    resolution: int = setting(
        64, at_least=0, help="longer side of the networks' images, to which others are resized; 0 for the images' own"
    )
    width: int = setting(64, at_least=1, help="channels of the first convolution; they double with each further one")
    noise: float = setting(0.2, at_least=0, help="standard deviation of the noise before each of D's convolutions")
    d_common: int = setting(64, at_least=1, help="size of the common vector z")
    d_salient: int = setting(64, at_least=1, help="size of the salient vector s")
    generator_steps: int = setting(1, at_least=1, help="generator updates per step")
    discriminator_steps: int = setting(1, at_least=1, help="discriminator updates per step")
    cr_steps: int = setting(0, at_least=0, help="CR network updates per step")
    background_weight: float = setting(0.5, at_least=0, help="w_bg, weight of the background's terms")
    target_weight: float = setting(1.0, at_least=0, help="w_t, weight of the target's terms")
    adversarial_weight: float = setting(0.5, at_least=0, search=Log(0.05, 5), help="w_adv, of the real-or-fake terms")
    classification_weight: float = setting(
        0.5, at_least=0, search=Log(0.05, 5), help="w_c, of the target-or-background terms"
    )
    common_information_weight: float = setting(1.0, at_least=0, help="wi_z, of reading z back")
    salient_information_weight: float = setting(1.0, at_least=0, help="wi_s, of reading s back")
    reconstruction_weight: float = setting(
        1.0, at_least=0, search=Log(0.1, 10), help="wii, of the error of decoded images"
    )
    empty_weight: float = setting(
        1.0, at_least=0, search=Log(0.1, 10), help="wi_real_s, of s^ on real background images"
    )
    cr_weight: float = setting(0.0, at_least=0, help="w_cr, of the CR network's verdict in the generator's loss")

    def __post_init__(self) -> None:
        """Refuse a resolution that the networks cannot halve, and a CR network that never learns."""
        super().__post_init__()
        if self.cr_weight and not self.cr_steps:
            raise ConfigError(
                f"double_infogan.cr_weight = {self.cr_weight:g} is not allowed with cr_steps = 0, under which the CR "
                "network never learns; set cr_steps to at least 1, or cr_weight to 0."
            )
        if 0 < self.resolution < SMALLEST_IMAGE:
            raise ConfigError(
                f"double_infogan.resolution = {self.resolution} is not allowed; it must be at least {SMALLEST_IMAGE}, "
                "or 0 for the images' own size."
            )


class Latents(NamedTuple):
    """Latents of both kinds of fakes: common (n, d_common) and salient (n, d_salient) for each population."""

    background: Representation
    target: Representation


class DoubleInfoGAN(GradientTrainedMethod, Generative):
    """A generator, a discriminator that encodes, and a CR network if it is used; see the module.

    Attributes:
        size: height and width of the networks' images; set by `prepare`.
    """

    name = "double_infogan"
    version = 1
    Config = DoubleInfoGANConfig
    config: DoubleInfoGANConfig
    size: tuple[int, int]

    def build(self, form: DataForm) -> nn.ModuleDict:
        """Generator, discriminator, and the CR network if it is used."""
        config, width = self.config, self.config.width
        self.size = _size(form.image_shape, config.resolution)
        shape = (form.image_shape[0], *self.size)
        network = nn.ModuleDict(
            {
                "generator": Generator(config.d_common + config.d_salient, shape, width, nn.Tanh()),
                "discriminator": Discriminator(shape, config.d_common, config.d_salient, width, config.noise),
            }
        )
        if config.cr_steps:
            network["cr"] = SharedDimensionReader(shape, config.d_salient, width)
        dcgan.initialise(network)
        return network

    def make_optimizers(self) -> dict[str, Optimizer]:
        """One Adam for each network."""
        rate = self.config.learning_rate
        return {name: Adam(part.parameters(), lr=rate, betas=BETAS, fused=True) for name, part in self.network.items()}

    def training_step(self, background: Batch, target: Batch, context: FitContext) -> dict[str, Tensor]:
        """Updates of generator, discriminator and CR network, in that order, on the same images.

        "total" is the sum of the generator's and the discriminator's loss.
        """
        b, t = (self._resized(batch.images) for batch in (background, target))
        for _ in range(self.config.generator_steps):
            with self._learning("generator"):
                generator = self.generator_terms(b, t, context)
                descend(self.optimizers["generator"], generator["total"])
        for _ in range(self.config.discriminator_steps):
            with self._learning("discriminator"):
                discriminator = self.discriminator_terms(b, t, context)
                descend(self.optimizers["discriminator"], discriminator["total"])
        terms = {"total": generator["total"] + discriminator["total"]}
        terms |= {f"generator_{name}": term for name, term in generator.items()}
        terms |= {f"discriminator_{name}": term for name, term in discriminator.items()}
        for _ in range(self.config.cr_steps):
            with self._learning("cr"):
                terms["cr"] = self.cr_term(len(b) + len(t), context)
                descend(self.optimizers["cr"], terms["cr"])
        return terms

    def generator_terms(self, background: Tensor, target: Tensor, context: FitContext) -> dict[str, Tensor]:
        """The unweighted terms of the generator's loss, each background plus target, and their sum as "total".

        Args:
            background: (n, channels, *size) images in [-1, 1].
            target: likewise.
            context: gives autocast and the noise stream.
        """
        noise = context.randomness.noise
        latents = self._draw(len(background) + len(target), context)
        with context.autocast():
            verdicts = [self._discriminate(self._generate(part), noise) for part in latents]
            with torch.no_grad():  # the encoder does not learn in this step
                read = [self._discriminate(images, noise) for images in (background, target)]
            terms = {
                "adversarial": self._weighted(*(affirmed(v.validity) for v in verdicts)),
                "classification": self._weighted(denied(verdicts[0].target), affirmed(verdicts[1].target)),
                **self._information(verdicts, latents),
                "reconstruction": self._reconstruction(read, background, target),
            }
        if self.config.cr_weight:
            terms["cr"] = self.cr_term(len(background) + len(target), context)
        return {"total": weighted_sum(terms, self.config), **terms}

    def discriminator_terms(self, background: Tensor, target: Tensor, context: FitContext) -> dict[str, Tensor]:
        """The unweighted terms of the discriminator's loss, each background plus target, and their sum as "total".

        Args:
            background: (n, channels, *size) images in [-1, 1].
            target: likewise.
            context: gives autocast and the noise stream.
        """
        noise = context.randomness.noise
        latents = self._draw(len(background) + len(target), context)
        with context.autocast():
            real = [self._discriminate(images, noise) for images in (background, target)]
            with torch.no_grad():  # the generator does not learn in this step
                fakes = [self._generate(part) for part in latents]
            fake = [self._discriminate(images, noise) for images in fakes]
            terms = {
                "adversarial": self._weighted(
                    *(affirmed(r.validity) + denied(f.validity) for r, f in zip(real, fake, strict=True))
                ),
                "classification": self._weighted(denied(real[0].target), affirmed(real[1].target)),
                **self._information(fake, latents),
                "reconstruction": self._reconstruction(real, background, target),
                "empty": absolute_error(real[0].salient, torch.zeros_like(real[0].salient)),
            }
        return {"total": weighted_sum(terms, self.config), **terms}

    def cr_term(self, rows: int, context: FitContext) -> Tensor:
        """Cross-entropy of the CR network on `rows` pairs of fakes that share z and one dimension of s."""
        noise, config = context.randomness.noise, self.config
        first, second, third = (self._normal(rows, config.d_salient, noise) for _ in range(3))
        dimension = torch.randint(config.d_salient, (rows,), generator=noise, device=noise.device)
        shared = torch.arange(config.d_salient, device=noise.device) == dimension[:, None]
        common = self._normal(rows, config.d_common, noise)
        with context.autocast():
            pair = [self._generate(Representation(common, torch.where(shared, third, s))) for s in (first, second)]
            logits = self.network["cr"](*pair, noise)
        return shared_dimension(logits, dimension)

    def represent(self, images: Tensor) -> Representation:
        """The outputs of the heads z^ and s^, without noise."""
        verdict = self._discriminate(self._resized(images), None)
        return Representation(verdict.common, verdict.salient)

    def decode(self, representation: Representation) -> Tensor:
        """See `Generative`. Images have the data's own size; a salient vector of zeros gives background."""
        with self.evaluating() as device:
            common, salient = (vectors.to(device) for vectors in representation)
            images = self._generate(Representation(common, salient)).float()
            return _resize(images, self.form.image_shape[1:]).add(1).div(2).clamp(0, 1)

    def _draw(self, rows: int, context: FitContext) -> Latents:
        noise, config = context.randomness.noise, self.config
        background, target, salient = (
            self._normal(rows, size, noise) for size in (config.d_common, config.d_common, config.d_salient)
        )
        return Latents(Representation(background, torch.zeros_like(salient)), Representation(target, salient))

    def _normal(self, rows: int, size: int, noise: torch.Generator) -> Tensor:
        return torch.randn(rows, size, generator=noise, device=noise.device)

    def _generate(self, latents: Representation) -> Tensor:
        images: Tensor = self.network["generator"](torch.cat(latents, dim=1))
        return images

    def _discriminate(self, images: Tensor, noise: torch.Generator | None) -> Verdict:
        return cast("Verdict", self.network["discriminator"](images, noise))

    def _weighted(self, background: Tensor, target: Tensor) -> Tensor:
        return self.config.background_weight * background + self.config.target_weight * target

    def _information(self, verdicts: list[Verdict], latents: Latents) -> dict[str, Tensor]:
        """The errors of the common and salient vectors read back from fakes."""
        pairs = list(zip(verdicts, latents, strict=True))
        return {
            "common_information": self._weighted(*(absolute_error(v.common, part.common) for v, part in pairs)),
            "salient_information": self._weighted(*(absolute_error(v.salient, part.salient) for v, part in pairs)),
        }

    def _reconstruction(self, read: list[Verdict], background: Tensor, target: Tensor) -> Tensor:
        """The error of real images decoded from their own vectors; background gets a salient vector of zeros."""
        b, t = read
        return self._weighted(
            absolute_error(self._generate(Representation(b.common, torch.zeros_like(b.salient))), background),
            absolute_error(self._generate(Representation(t.common, t.salient)), target),
        )

    def _resized(self, images: Tensor) -> Tensor:
        """Images in [0, 1] at the networks' size and in [-1, 1]."""
        return _resize(images, self.size) * 2 - 1

    @contextmanager
    def _learning(self, name: str) -> Iterator[None]:
        """Inside the block only the network of that name takes gradients; gradients flow through the others."""
        for other, part in self.network.items():
            part.requires_grad_(other == name)
        try:
            yield
        finally:
            self.network.requires_grad_(True)


def _size(shape: tuple[int, ...], resolution: int) -> tuple[int, int]:
    """Height and width of the networks' images, for images of a shape (channels, height, width)."""
    _, height, width = shape
    scale = resolution / max(height, width) if resolution else 1
    return max(SMALLEST_IMAGE, round(height * scale)), max(SMALLEST_IMAGE, round(width * scale))


def _resize(images: Tensor, size: tuple[int, ...]) -> Tensor:
    """Bilinear, with antialiasing where images shrink."""
    if images.shape[-2:] == size:
        return images
    return interpolate(images, size, mode="bilinear", antialias=True)
