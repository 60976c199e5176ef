"""Walks at different noise levels in one call of the network: a stream batch.

While the newest input takes its first step, older ones take their second and third in the same call, so a stream of pictures
of n steps comes as fast as one of single steps. Each walk runs its sampler in a thread of its own and knows nothing of it.

Source: Kodaira et al. 2023, "StreamDiffusion", arXiv:2312.12491, section 3.1.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from webui.contract.errors import Interrupted
from webui.contract.parts import Conditioning, Denoise
from webui.engine.conditioning import Sides, stacked

Step = Callable[[Denoise], Tensor]
"""A whole walk: with a denoiser to clean latents (1, C, h, w)"""
Ask = Callable[[Tensor, Tensor, Sides], Tensor]
"""(x (B, C, h, w), sigma (B,), both sides for B pictures) -> clean (B, C, h, w)"""


@dataclass(eq=False)
class _Walk:
    tag: Hashable
    sides: Sides
    asked: tuple[Tensor, float] | None = None
    answer: Tensor | None = None
    result: Tensor | None = None
    error: BaseException | None = None
    has_ended: bool = False


class Together:
    """Walks that go on one call at a time.

    Args:
        ask: one call of the network for all of them.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._changed = threading.Condition()
        self._walks: list[_Walk] = []
        self._is_closed = False

    def __len__(self) -> int:
        """Walks on their way."""
        return len(self._walks)

    def begin(self, tag: Hashable, sides: Sides, walk: Step) -> None:
        """Let a walk of one picture begin with the next tick."""
        one = _Walk(tag, sides)
        with self._changed:
            self._walks.append(one)
        threading.Thread(target=self._run, args=(one, walk), name="walk", daemon=True).start()

    def tick(self) -> list[tuple[Hashable, Tensor]]:
        """One call of the network; the walks that ended with it, the oldest first, with their latents.

        Raises:
            whatever the network or a walk raised; all walks have ended then.
        """
        with self._changed:
            self._settle()
            asking = [one for one in self._walks if one.asked is not None]
        if asking:
            try:
                answer = self._answer(asking)
            except BaseException:
                self.close()
                raise
            with self._changed:
                for i, one in enumerate(asking):
                    one.asked, one.answer = None, answer[i : i + 1]
                self._changed.notify_all()
                self._settle()
        with self._changed:
            ended = [one for one in self._walks if one.has_ended]
            self._walks = [one for one in self._walks if not one.has_ended]
        for one in ended:
            if one.error is not None:
                self.close()
                raise one.error
        return [(one.tag, one.result) for one in ended if one.result is not None]

    def close(self) -> None:
        """End all walks where they are."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: all(one.has_ended for one in self._walks))
            self._walks.clear()
            self._is_closed = False

    def _settle(self) -> None:
        """Until every walk asks or has ended."""
        self._changed.wait_for(lambda: all(one.asked is not None or one.has_ended for one in self._walks))

    def _answer(self, asking: list[_Walk]) -> Tensor:
        every = [one.asked for one in asking if one.asked is not None]
        x, levels = torch.cat([latents for latents, _ in every]), torch.tensor([level for _, level in every])
        sides: tuple[Conditioning, Conditioning] = (
            stacked([one.sides[0] for one in asking]),
            stacked([one.sides[1] for one in asking]),
        )
        return self._ask(x, levels.to(x.device), sides)

    def _run(self, one: _Walk, walk: Step) -> None:
        def denoise(x: Tensor, sigma: Tensor | float) -> Tensor:
            with self._changed:
                one.asked = x, float(sigma if not isinstance(sigma, Tensor) or sigma.ndim == 0 else sigma.max())
                self._changed.notify_all()
                self._changed.wait_for(lambda: one.answer is not None or self._is_closed)
                if one.answer is None:
                    raise Interrupted
                answer, one.answer = one.answer, None
                return answer

        try:
            with torch.inference_mode():
                one.result = walk(denoise)
        except Interrupted:
            pass
        except BaseException as error:  # noqa: BLE001 (handed to whoever ticks)
            one.error = error
        with self._changed:
            one.asked, one.has_ended = None, True
            self._changed.notify_all()
