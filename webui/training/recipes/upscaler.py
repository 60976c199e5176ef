"""`webui train upscaler`: pictures of 64 x 64 to 256 x 256, as SD's x4 upscaler does it: a U-Net on latents of an autoencoder
with f = 4, beside them the small picture with some noise, and how much of it as a class (Rombach et al. 2022,
arXiv:2112.10752, section 4.4; the noise after Ho et al. 2022, arXiv:2106.15282). It predicts v.

    render        scenes to pictures of 256 x 256
    autoencoder   pictures to latents and back
    encode        latents and captions of all pictures
    unet          the denoiser, on parts of the latents
    decoder       the autoencoder's decoder alone goes on, half of the time from what the denoiser draws in one step: then
                  it draws sharp also what that does not know
    export        a checkpoint in diffusers layout, with the base's text encoder
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from webui.contract.errors import StartError
from webui.training import scenes
from webui.training.autoencoder import Kind, load_autoencoder, train_autoencoder, train_decoder
from webui.training.export import export_upscaler
from webui.training.filling import Filling, fill
from webui.training.loop import Learner, draws, learn, put_average, read_state, write_state
from webui.training.networks import (
    HIGH_BETA,
    LARGE_SCALE,
    LATENT_CHANNELS,
    LOW_BETA,
    NOISE_LEVELS,
    Autoencoder,
    UNet,
    make_large_autoencoder,
    make_upscaler,
    mean_latents,
    start_carrying,
    start_linear,
)
from webui.training.recipe import Recipe
from webui.training.scenes import to_tensor
from webui.training.unet import load_networks, rows
from webui.training.worlds import Worlds

SEED, RATE = 10, 2e-5
"""A higher rate forgets the head start within some steps."""
LOUD = 4.0
"""Constants beside what is carried; see start_from_small."""
SIZE, BY = 256, 4
PART = 24
"""Side of the part of the latents that a step sees."""
PACK = 20
KIND = Kind(make_large_autoencoder, start_carrying, 6e-4, LARGE_SCALE, crop=96)
TOWARDS_NOISE = 0.05
"""Exponent of the drawn time: one step is taken, from noise alone, and a short training does best to learn that one."""
TOWARDS_CLEAN = 12
"""Exponent of the drawn level of the small picture's noise: half of them have none, as its row has it."""
FITTED = 48
"""Scenes from which the head start is taken."""
UNHEARD = 0.15
"""Share of the captions that are left out."""


class UpscalerRecipe(Recipe):
    """7 channels: latents, and the small picture."""

    name = "upscaler"
    stages = ("render", "autoencoder", "encode", "unet", "decoder", "export")
    samples: ClassVar = {"autoencoder": 20_000, "unet": 60_000, "decoder": 10_000}
    batches: ClassVar = {"autoencoder": (2, 64), "decoder": (2, 64), "unet": (8, 256)}

    def begin(self) -> None:
        self.autoencoder = self.options.state / "autoencoder"

    def _worlds(self) -> Worlds:
        """Beside the state: no other recipe draws scenes of this size."""
        return Worlds(self.options.state, self.options.scenes, SIZE, self.options.sprites)

    def _rendered(self) -> Worlds:
        worlds = self._worlds()
        self.need(worlds.is_full, f"Only {worlds.filled} of {worlds.count} scenes are rendered", "render")
        return worlds

    def _latents(self) -> Filling:
        side = SIZE // BY
        shape = (self.options.scenes, LATENT_CHANNELS, side, side)
        return Filling(self.options.state / "latents.npy", shape, np.float16)

    def _tokens(self) -> Filling:
        return scenes.tokens(self.options.state, self.options.scenes)

    def _render(self) -> bool:
        return self._worlds().render(self.arithmetic, self.threads, self.say, self.should_stop)

    def is_finished(self, stage: str) -> bool:
        return self.autoencoder.exists() if stage == "autoencoder" else super().is_finished(stage)

    def _autoencoder(self) -> bool:
        if (self.options.state / "latents.npy").exists():
            raise StartError("The encoder of this autoencoder is in use and stays: --stage decoder goes on with its decoder.")
        return train_autoencoder(
            self.state_of("autoencoder"),
            self.autoencoder,
            self._rendered().pictures.array,
            self.goal("autoencoder"),
            self.arithmetic,
            self.batch("autoencoder"),
            self.named("autoencoder"),
            self.should_stop,
            KIND,
        )

    def _decoder(self) -> bool:
        self.need(self.autoencoder.exists(), "There is no trained autoencoder yet", "autoencoder")
        return train_decoder(
            self.state_of("decoder"),
            self.autoencoder,
            self._rendered().pictures.array,
            self.goal("decoder"),
            self.arithmetic,
            self.batch("decoder"),
            self.named("decoder"),
            self.should_stop,
            KIND,
            partial(guessed, *self._denoiser()),
        )

    def _encode(self) -> bool:
        self.need(self.autoencoder.exists(), "There is no trained autoencoder yet", "autoencoder")
        worlds, latents, tokens = self._rendered(), self._latents(), self._tokens()
        worlds.claim(self.options.state, "latents.npy")
        coder = load_autoencoder(self.autoencoder)
        self.arithmetic.put(coder)
        packs = self._latent_packs(coder, worlds.pictures.array, latents.filled)
        words = scenes.token_packs(worlds.caption, tokens.filled, worlds.count)
        return fill([latents], packs, self.say, "encode", self.should_stop) and fill(
            [tokens], words, self.say, "captions", self.should_stop
        )

    @torch.no_grad()
    def _latent_packs(self, coder: Autoencoder, source: NDArray[np.uint8], start: int) -> Iterator[tuple[NDArray, ...]]:
        for i in range(start, len(source), PACK):
            z = mean_latents(coder, to_tensor(source[i : i + PACK]).to(self.arithmetic.device)) * LARGE_SCALE
            yield (z.cpu().numpy().astype(np.float16),)

    def _denoiser(self) -> tuple[UNet, Tensor]:
        """The U-Net as it is exported, and the encoded empty prompt."""
        unet = self._trained()
        self.arithmetic.put(unet)
        _, text, known = load_networks(self.base, np.asarray(scenes.padded([])))
        with torch.no_grad():
            told = text(torch.from_numpy(rows(known)[scenes.padded([])])[None]).last_hidden_state
        return unet.eval(), told.to(self.arithmetic.device)

    def _trained(self) -> UNet:
        """The running average."""
        state = read_state(self.state_of("unet"))
        if state is None:
            raise StartError("There is no trained U-Net yet: run --stage unet first.")
        unet = make_upscaler()
        put_average(state, unet)
        return unet

    def _fit(self) -> Tensor:
        """What a small picture tells linearly of the latents; see fitted."""
        worlds, latents = self._rendered(), self._latents()
        self.need(latents.is_full, "The scenes are not encoded yet", "encode")
        at = np.linspace(0, worlds.count - 1, min(FITTED, worlds.count)).astype(np.int64)
        small = shrunk(to_tensor(worlds.pictures.array[at]), "bicubic")
        return fitted(small, torch.from_numpy(latents.array[at].astype(np.float32)))

    def _unet(self) -> bool:
        worlds, latents, tokens = self._rendered(), self._latents(), self._tokens()
        self.need(latents.is_full and tokens.is_full, "The scenes are not encoded yet", "encode")
        torch.manual_seed(SEED)
        _, text, known = load_networks(self.base, np.unique(tokens.array))
        unet = make_upscaler()
        start_linear(unet)
        start_from_small(unet, self._fit())
        self.arithmetic.put(unet)
        text.to(self.arithmetic.device).eval().requires_grad_(False)
        learner = Learner({"unet": unet}, list(unet.parameters()), RATE, 0.998, warm_steps=200)
        file, batch, device = self.state_of("unet"), self.batch("unet"), self.arithmetic.device
        if (state := read_state(file)) is not None:
            learner.load(state)
        row_of, alphas, noisy = rows(known), alphas_of(1000), alphas_of(NOISE_LEVELS)
        empty = row_of[scenes.padded([])]

        def loss(step: int) -> Tensor:
            rng, generator = draws(SEED, step)
            picked = rng.integers(0, worlds.count, batch)
            places = rng.integers(0, SIZE // BY - PART + 1, (batch, 2))
            z, small = [], []
            for i, (top, left) in zip(picked, places, strict=True):
                z.append(latents.array[i, :, top : top + PART, left : left + PART].astype(np.float32))
                small.append(worlds.pictures.array[i, BY * top : BY * (top + PART), BY * left : BY * (left + PART)])
            low = shrunk(to_tensor(np.stack(small)), "area" if rng.uniform() < 0.5 else "bicubic")
            level = torch.from_numpy((rng.uniform(size=batch) ** TOWARDS_CLEAN * NOISE_LEVELS).astype(np.int64))
            a = noisy[level][:, None, None, None]
            low = a.sqrt() * low + (1 - a).sqrt() * torch.randn(low.shape, generator=generator)
            ids = row_of[tokens.array[picked, rng.integers(0, tokens.array.shape[1], batch)].astype(np.int64)]
            ids[rng.uniform(size=batch) < UNHEARD] = empty
            spread = (rng.permutation(batch) + rng.uniform(size=batch)) / batch
            t = torch.from_numpy((spread**TOWARDS_NOISE * 1000).astype(np.int64)).clamp(0, 999)
            a, clean = alphas[t][:, None, None, None], torch.from_numpy(np.stack(z))
            noise = torch.randn(clean.shape, generator=generator)
            x = torch.cat([a.sqrt() * clean + (1 - a).sqrt() * noise, low], 1).to(device, memory_format=torch.channels_last)
            wanted = (a.sqrt() * noise - (1 - a).sqrt() * clean).to(device)
            with self.arithmetic():
                with torch.no_grad():
                    told = text(torch.from_numpy(ids).to(device)).last_hidden_state
                out = unet(x, t.to(device), told, class_labels=level.to(device)).sample
            return (out.float() - wanted).pow(2).mean()

        def save() -> None:
            write_state(file, learner.state() | {"known": known})

        return learn(
            learner,
            self.goal("unet"),
            loss,
            batch,
            save=save,
            say=self.named("unet"),
            should_stop=self.should_stop,
            curve=file.with_suffix(".tsv"),
        )

    def _export(self) -> bool:
        """The running average of the U-Net, the autoencoder, the base's words."""
        self.need(self.autoencoder.exists(), "There is no trained autoencoder yet", "autoencoder")
        export_upscaler(self.output, self.base, self._trained(), load_autoencoder(self.autoencoder))
        self.say(f"export: {self.output}. webui evaluate upscaler scores it.")
        return True


def fitted(small: Tensor, latents: Tensor) -> Tensor:
    """(4, 28) the linear map from 3 x 3 pixels of the small picture, and a one, to a latent: least squares.

    Args:
        small: (B, 3, h, w). latents: (B, 4, h, w).
    """
    known = _around(small).double()
    wanted = latents.permute(0, 2, 3, 1).reshape(-1, LATENT_CHANNELS).double()
    ridge = 1e-4 * len(known) * torch.eye(28, dtype=torch.float64)
    return torch.linalg.solve(known.T @ known + ridge, known.T @ wanted).T.float()


def _around(small: Tensor) -> Tensor:
    """(B h w, 28): the 3 x 3 pixels around each pixel of (B, 3, h, w), and a one."""
    pixels = functional.unfold(functional.pad(small, (1, 1, 1, 1), "replicate"), 3).transpose(1, 2).reshape(-1, 27)
    return torch.cat([pixels, torch.ones(len(pixels), 1).to(pixels)], 1)


@torch.no_grad()
def guessed(unet: UNet, told: Tensor, pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Unscaled latents (B, 4, H / 4, W / 4) as the denoiser draws them in one step, of the small version of pictures
    (B, 3, H, W).

    Args:
        told: (1, 77, C) the encoded words, none.
    """
    small = shrunk(pictures, "bicubic")
    count, device = len(small), pictures.device
    noise = torch.randn((count, LATENT_CHANNELS, *small.shape[2:]), generator=generator).to(device)
    last, levels = torch.full((count,), 999, device=device), torch.zeros(count, dtype=torch.long, device=device)
    v = unet(torch.cat([noise, small], 1), last, told.expand(count, -1, -1), class_labels=levels).sample
    a = alphas_of(1000)[999]
    return (a.sqrt() * noise - (1 - a).sqrt() * v) / LARGE_SCALE


@torch.no_grad()
def start_from_small(unet: UNet, linear: Tensor) -> None:
    """Begin as one that answers what the small picture linearly tells of the latents, whatever the noise: the v of the
    noisiest step. From a usual start most of an hour went into learning just this.

    The fit and its negative go from the first convolution over its skip straight to the last one, since
    silu(x) - silu(-x) = x; large constants beside them keep the scale of the group norm steady to a hundredth. All else is
    silent there, and has to be learnt.
    """
    first, last, norm, out = unet.conv_in, unet.up_blocks[-1].resnets[-1], unet.conv_norm_out, unet.conv_out
    group = norm.num_channels // norm.num_groups
    size = ((2 + (group - 2) * LOUD**2) / group) ** 0.5
    for silent in (last.conv2.weight, last.conv2.bias, out.weight, out.bias):
        silent.zero_()
    skip = last.conv_shortcut.in_channels - first.out_channels
    for k in range(LATENT_CHANNELS):
        at = k * group
        last.conv_shortcut.weight[at : at + group], last.conv_shortcut.bias[at : at + group] = 0, 0
        for sign, channel in ((1, at), (-1, at + 1)):
            first.weight[channel, :LATENT_CHANNELS] = 0
            first.weight[channel, LATENT_CHANNELS:] = sign * linear[k, :27].view(3, 3, 3)
            first.bias[channel] = sign * linear[k, 27]
            last.conv_shortcut.weight[channel, skip + channel] = 1
        last.conv_shortcut.bias[at + 2 : at + group] = torch.tensor([LOUD, -LOUD]).repeat(group)[: group - 2]
        out.weight[:, at : at + group] = 0
        out.weight[k, at, 1, 1], out.weight[k, at + 1, 1, 1] = -size, size


def alphas_of(count: int) -> Tensor:
    """(count,) of the first training steps: share of the variance that is left. Betas are linear in their roots from 1e-4 to
    0.02, as SD's x4 upscaler has them for what it draws and for the noise of the small picture."""
    return torch.cumprod(1 - torch.linspace(LOW_BETA**0.5, HIGH_BETA**0.5, 1000) ** 2, 0)[:count]


def shrunk(pictures: Tensor, how: str) -> Tensor:
    """(B, 3, H, W) to a quarter of the sides, as pictures are made smaller: by "area" or "bicubic"."""
    if how == "area":
        return functional.avg_pool2d(pictures, BY)
    return functional.interpolate(pictures, scale_factor=1 / BY, mode="bicubic", antialias=True, align_corners=False)
