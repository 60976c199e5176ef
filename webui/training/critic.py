"""The adversary of a few-step student: small heads on the maps of a frozen network, told the words and the picture.

Source: Sauer et al. 2023, "Adversarial diffusion distillation", arXiv:2311.17042, sections 3.1 and 3.2; the maps of the
teacher instead of a vision transformer's after Sauer et al. 2024, arXiv:2403.12015.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from webui.training.loop import Arithmetic
from webui.training.networks import Autoencoder, UNet
from webui.training.toys.judge import ToyJudge

RATE = 6e-4
WIDTH = 64
MISTOLD = 0.5
"""Weight of real pictures with other pictures' words."""
PENALTY = 1e-4
"""Weight of the gradient penalty on the maps of real pictures."""


class Features(Protocol):
    """A frozen network that sees clean latents (B, 4, h, w) and answers maps (B, C, H, W), always of the same widths."""

    def maps(self, latents: Tensor, context: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Differentiable with regard to the latents.

        Args:
            context: (B, 77, W) what the words say.
            generator: for what is drawn on the way; the same state, the same maps.
        """
        ...


class TeacherFeatures:
    """The encoder of the teacher, which sees the latents noised to a drawn level: low ones show texture, high ones layout."""

    def __init__(self, teacher: UNet, alphas: Tensor, arithmetic: Arithmetic) -> None:
        self._unet, self._alphas, self._arithmetic = teacher, alphas, arithmetic

    def maps(self, latents: Tensor, context: Tensor, generator: torch.Generator) -> list[Tensor]:
        levels = torch.rand(len(latents), generator=generator) ** 1.3 * 0.7 * len(self._alphas)
        t = levels.long().to(latents.device)
        a = self._alphas.to(latents)[t][:, None, None, None]
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        x = (a.sqrt() * latents + (1 - a).sqrt() * noise).contiguous(memory_format=torch.channels_last)
        with self._arithmetic():
            return encoded(self._unet, x, t, context)


def encoded(unet: UNet, x: Tensor, t: Tensor, context: Tensor) -> list[Tensor]:
    """What each level of the U-Net's encoder, and its middle, make of noised latents."""
    told = unet.time_embedding(unet.time_proj(t).to(x.dtype))
    found: list[Tensor] = []
    x = unet.conv_in(x)
    for block in unet.down_blocks:
        words: dict[str, Any] = {"encoder_hidden_states": context} if getattr(block, "has_cross_attention", False) else {}
        x, between = block(hidden_states=x, temb=told, **words)
        found.append(between[-2] if getattr(block, "downsamplers", None) else x)  # the level's end, before it is halved
    found.append(unet.mid_block(x, told, encoder_hidden_states=context))
    return found


class JudgeFeatures:
    """The layers of the judge of the toys, a network trained on the pocket world, of pictures that a tiny decoder makes."""

    def __init__(self, judge: ToyJudge, tiny: Autoencoder) -> None:
        self._judge, self._tiny = judge, tiny

    def maps(self, latents: Tensor, context: Tensor, generator: torch.Generator) -> list[Tensor]:  # noqa: ARG002
        x = self._tiny.decode(latents.contiguous(memory_format=torch.channels_last)).sample
        found = []
        for layer in self._judge.layers:
            x = layer(x)
            found.append(x)
        return found[1:]


class Heads(nn.Module):
    """One small network on each map. Their answers to words and picture are projections (Miyato and Koyama 2018,
    arXiv:1802.05637).

    Args:
        widths: channels of the maps.
        words, picture: width of what is told of them; 0: nothing is told.
    """

    def __init__(self, widths: Sequence[int], words: int, picture: int) -> None:
        super().__init__()
        self.bodies = nn.ModuleList(_body(width) for width in widths)
        self.scores = nn.ModuleList(nn.Conv2d(WIDTH, 1, 1) for _ in widths)
        self.words = nn.ModuleList(nn.Linear(words, WIDTH) for _ in widths if words)
        self.picture = nn.ModuleList(nn.Linear(picture, WIDTH) for _ in widths if picture)

    def forward(self, maps: Sequence[Tensor], words: Tensor, picture: Tensor) -> list[Tensor]:
        """Scores (B, places) of each map: above 0 for real. A deep map has few places and knows best what is shown, so all
        maps are to count alike, not all places.

        Args:
            words: (B, W) means over the words. picture: (B, P) of the picture that the student was shown, noised; zero where
                it was shown none.
        """
        found = []
        for i, given in enumerate(maps):
            hidden = self.bodies[i](given.float())
            score = self.scores[i](hidden)
            told = torch.zeros_like(hidden[:, :, 0, 0])
            if self.words:
                told = told + self.words[i](words)
            if self.picture:
                told = told + self.picture[i](picture)
            score = score + (hidden * told[:, :, None, None]).sum(1, keepdim=True) * WIDTH**-0.5
            found.append(score.flatten(1))
        return found


def _body(width: int) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(width, WIDTH, 1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(WIDTH, WIDTH, 3, 1, 1), nn.GroupNorm(8, WIDTH), nn.LeakyReLU(0.2)),
    )


class Critic:
    """The heads and their optimiser.

    Args:
        probe: maps of any latents, to measure the widths by.
        words: width of what is told of the words; 0: the heads are not told.
    """

    def __init__(self, probe: Sequence[Tensor], words: int) -> None:
        widths = [given.shape[1] for given in probe]
        self.heads = Heads(widths, words, widths[-1]).to(probe[0].device)
        self.optimiser = torch.optim.AdamW(self.heads.parameters(), lr=RATE, betas=(0.5, 0.99), weight_decay=1e-3)

    def state(self) -> dict[str, Any]:
        return {"heads": self.heads.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self.heads.load_state_dict(state["heads"])
        self.optimiser.load_state_dict(state["optimiser"])

    def learn(
        self,
        real: Sequence[Tensor],
        drawn: Sequence[Tensor],
        words: Tensor,
        shown: Tensor,
        mistold: tuple[Sequence[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """One step of the heads with the hinge loss (Lim and Ye 2017, arXiv:1705.02894), and a penalty on their gradient at
        the maps of real pictures. Answers the loss.

        Args:
            real, drawn: maps, of which nothing behind learns. shown: (B,) 1 where the student was shown the picture, else 0.
            mistold: maps of real pictures and other pictures' words, which shall not pass for real together (Reed et al. 2016,
                arXiv:1605.05396, section 4.1); without them a picture may be anything that looks real.
        """
        real = [given.detach().float().requires_grad_() for given in real]
        picture = seen(real, shown)
        scores = self.heads(real, words, picture)
        (*slopes,) = torch.autograd.grad(torch.stack([one.sum() for one in scores]).sum(), real, create_graph=True)
        penalty = torch.stack([slope.pow(2).sum((1, 2, 3)).mean() for slope in slopes]).sum()
        of_drawn = self.heads([given.detach() for given in drawn], words, picture)
        loss = _hinge(scores, -1) + _hinge(of_drawn, 1)
        if mistold is not None:
            loss = loss + MISTOLD * _hinge(self.heads(mistold[0], mistold[1], seen(mistold[0], shown)), 1)
        self.optimiser.zero_grad()
        (loss + PENALTY * penalty).backward()
        self.optimiser.step()
        return loss.detach()

    def score(self, drawn: Sequence[Tensor], real: Sequence[Tensor], words: Tensor, shown: Tensor) -> Tensor:
        """(B,) how real the drawn maps look; its gradient reaches whatever drew them. The arguments are those of learn."""
        return torch.stack([one.mean(1) for one in self.heads(drawn, words, seen(real, shown))]).mean(0)


def _hinge(scores: Sequence[Tensor], sign: float) -> Tensor:
    return torch.stack([functional.relu(1 + sign * one).mean() for one in scores]).mean()


def seen(real: Sequence[Tensor], shown: Tensor) -> Tensor:
    """(B, C) the last map of the picture on average, where the student was shown it."""
    return (functional.normalize(real[-1].detach().float().mean((2, 3)), dim=1) * shown[:, None]).detach()
