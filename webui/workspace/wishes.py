"""What a live input asks of which checkpoint, in the words of the queue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from webui.checkpoints.catalog import Entry
from webui.checkpoints.manager import Checkpoints
from webui.contract.errors import FieldError
from webui.contract.live import LiveInput
from webui.contract.parts import Family, Parts
from webui.contract.request import GenerationRequest
from webui.engine import live, plan


@dataclass(frozen=True)
class Wishes:
    """Reads live inputs."""

    checkpoints: Checkpoints
    parts: Parts

    def entry(self, name: str) -> Entry:
        """The checkpoint of that name; for "" the one in use where it was distilled for few steps, else one that was: of its
        kind (small and come with the program, or not) and in memory, if there is such a one; else the one in use.

        Raises:
            CheckpointError: it cannot be read.
            FieldError: it draws from more than words.
        """
        entry = self.checkpoints.find(name)
        if not name and not plan.readable(entry).distilled_from:
            entry = self._turbo(entry) or entry
        family = plan.readable(entry)
        if family.does != "txt2img" or "prompt" not in family.inputs or family.needs:
            raise FieldError(
                "checkpoint", f"{entry.name} ({family.label}) does not draw from words alone. Choose another checkpoint."
            )
        return entry

    def _turbo(self, beside: Entry) -> Entry | None:
        """One that was distilled for few steps, of the kind of another one and in memory if there is such a one."""
        resident = self.checkpoints.resident()
        able = [one for one in self.checkpoints.entries() if not one.error and one.family and one.family.distilled_from]
        order: Callable[[Entry], Any] = lambda one: ((one.knows is None) != (beside.knows is None), one.title not in resident)  # noqa: E731
        return min(able, key=order, default=None)

    def about(self, entry: Entry) -> dict[str, Any]:
        """What a viewer should know of a checkpoint."""
        family = plan.readable(entry)
        return {
            "checkpoint": entry.title,
            "label": family.label,
            "is_turbo": bool(family.distilled_from),
            "steps": live.steps_for(family, 1),
            "base": self._base(family),
            "width": family.native_size,
            "height": family.native_size,
            "repaints": "strength" in family.inputs,
            "note": "" if family.distilled_from else self._slow(entry, family),
        }

    def request(self, wish: LiveInput, entry: Entry, image: str) -> GenerationRequest:
        """What the queue would be asked for the same picture.

        Args:
            image: name of the picture that is repainted; "" for none.
        """
        family = plan.readable(entry)
        steps, strength = live.steps_for(family, wish.steps), 1.0
        if image:
            if "strength" not in family.inputs:
                raise FieldError(
                    "picture", f"{entry.name} repaints no picture. Take the picture away, or choose another checkpoint."
                )
            steps, strength = live.repainting(steps, wish.strength, "Automatic", family.sampler, family, self.parts)
        return GenerationRequest(
            prompt=wish.prompt,
            negative_prompt=wish.negative_prompt,
            checkpoint=entry.title,
            seed=wish.seed,
            steps=steps,
            width=wish.width,
            height=wish.height,
            image=image,
            strength=strength,
            resize="crop" if image else "stretch",
        )

    def complete(self, wish: LiveInput, entry: Entry, name: str, image: Image.Image | None) -> GenerationRequest:
        """The same, with nothing left open. Raises RequestError."""

        def pictures(_: str) -> Image.Image:
            assert image is not None
            return image

        return plan.complete(self.request(wish, entry, name), self.checkpoints, self.parts, pictures)

    def _base(self, family: Family) -> str:
        """Title of a checkpoint that a turbo was distilled from, or of its kind; "" where there is none."""
        entries = (entry for entry in self.checkpoints.entries() if not entry.error and entry.family)
        return next((entry.title for entry in entries if entry.family and entry.family.name == family.distilled_from), "")

    def _slow(self, entry: Entry, family: Family) -> str:
        turbo = self._turbo(entry)
        serves = (
            f"{turbo.name} draws one in a single step."
            if turbo is not None
            else "SD-Turbo or SDXL-Turbo in models/Stable-diffusion would draw one in a single step."
        )
        return f"{entry.name} was not made for few steps: a sketch takes it {live.steps_for(family, 1)}. {serves}"
