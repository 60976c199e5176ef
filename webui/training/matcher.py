"""Whether a picture is what the words say: a network that finds the caption of a picture among many others.

Adversaries that are told the words let a smeared thing of the right colours pass; what has to be told apart from a thousand other
captions does not. It stands on the maps of a frozen network, beside the adversary's heads.

Source: contrastive losses as Zhang et al. 2021, "Cross-modal contrastive learning for text-to-image generation",
arXiv:2101.04702, eq. 3 and 4, have them between sentence and picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

RATE = 1e-3
WIDTH = 128
SHARPNESS = 14.0
"""Times the cosines."""
CAPTIONS = 1024
"""Other pictures' captions that are remembered, to be told apart from the right one."""


class Embedding(nn.Module):
    """Pictures and captions as unit vectors, the nearer the better they fit.

    Args:
        widths: channels of the maps.
        words: width of what is told of a caption, see `told`.
    """

    def __init__(self, widths: Sequence[int], words: int) -> None:
        super().__init__()
        self.bodies = nn.ModuleList(
            nn.Sequential(
                *(nn.Conv2d(width, WIDTH, 1), nn.GroupNorm(8, WIDTH), nn.SiLU()),
                *(nn.Conv2d(WIDTH, WIDTH, 3, 1, 1), nn.GroupNorm(8, WIDTH), nn.SiLU()),
            )
            for width in widths
        )
        self.picture = nn.Sequential(nn.Linear(2 * WIDTH * len(widths), 2 * WIDTH), nn.SiLU(), nn.Linear(2 * WIDTH, WIDTH))
        self.caption = nn.Sequential(nn.Linear(words, 2 * WIDTH), nn.SiLU(), nn.Linear(2 * WIDTH, WIDTH))

    def pictures(self, maps: Sequence[Tensor]) -> Tensor:
        """(B, WIDTH)"""
        seen = [body(given.float()) for body, given in zip(self.bodies, maps, strict=True)]
        pooled = torch.cat([value for one in seen for value in (one.mean((2, 3)), one.amax((2, 3)))], 1)
        return functional.normalize(self.picture(pooled), dim=1)

    def captions(self, words: Tensor) -> Tensor:
        """(N, WIDTH)"""
        return functional.normalize(self.caption(words), dim=1)


class Matcher:
    """The network, its optimiser and the captions that it has seen.

    Args:
        probe: maps of any latents, to measure the widths by.
        words: width of what is told of a caption.
    """

    def __init__(self, probe: Sequence[Tensor], words: int) -> None:
        self.embedding = Embedding([given.shape[1] for given in probe], words).to(probe[0].device)
        self.optimiser = torch.optim.AdamW(self.embedding.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=1e-2)
        self._others = torch.zeros(0, words, device=probe[0].device)

    def state(self) -> dict[str, Any]:
        return {"network": self.embedding.state_dict(), "optimiser": self.optimiser.state_dict(), "others": self._others}

    def load(self, state: dict[str, Any]) -> None:
        self.embedding.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self._others = state["others"].to(self._others)

    def learn(self, real: Sequence[Tensor], words: Tensor) -> Tensor:
        """One step with maps of real pictures and their captions (B, W). Answers the share of pictures whose caption it found."""
        scores = self._scores([given.detach() for given in real], words)
        loss = functional.cross_entropy(scores, torch.arange(len(words), device=words.device))
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self._others = torch.cat([words.detach(), self._others])[:CAPTIONS]
        return (scores.argmax(1) == torch.arange(len(words), device=words.device)).float().mean()

    def fits(self, drawn: Sequence[Tensor], words: Tensor) -> Tensor:
        """(B,) logarithm of how likely the drawn maps have their own caption; its gradient reaches whatever drew them."""
        return functional.log_softmax(self._scores(drawn, words), 1).diagonal()

    def _scores(self, maps: Sequence[Tensor], words: Tensor) -> Tensor:
        """(B, B + others)"""
        return SHARPNESS * self.embedding.pictures(maps) @ self.embedding.captions(torch.cat([words, self._others])).T


def told(context: Tensor, heard: Tensor) -> Tensor:
    """(B, 2 W) mean and largest of what a text encoder says of the words.

    Args:
        context: (B, 77, W). heard: (B, 77) 1 for the start, the words and the first end.
    """
    mean = (context * heard[:, :, None]).sum(1) / heard.sum(1, keepdim=True)
    return torch.cat([mean, context.masked_fill(heard[:, :, None] == 0, -torch.inf).amax(1)], 1)
