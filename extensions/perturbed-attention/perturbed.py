"""Perturbed-attention guidance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import torch

from webui.contract import Range
from webui.contract.errors import FieldError

from .sides import is_alone

if TYPE_CHECKING:
    from torch import Tensor

    from webui.contract.more_parts import Network
    from webui.contract.parts import Denoise


def perturbed_attention(
    denoise: Denoise,
    network: Network,
    *,
    scale: Annotated[float, Range(0, 10, 0.1), "How far away from what is drawn without looking around; 0 is off"] = 2.0,
) -> Denoise:
    """Away from what the network predicts for the prompt when the self-attention of its middle sees each place by itself:

        guided + scale * (prompt - perturbed)

    It works with guidance 1 too, without a negative prompt. Costs one more row of the network for each picture and call; behind
    another guider two.

    Source: Ahn et al. 2024, "Self-Rectifying Diffusion Sampling with Perturbed-Attention Guidance", arXiv:2403.17377, eq. 11 and
    12 and figure 5: the attention map becomes the identity. Here of clean latents, in which both predictions are linear.
    """
    if scale == 0:
        return denoise
    usual = network.model.unet.attn_processors
    names = [name for name in usual if name.startswith("mid_block.") and name.endswith(".attn1.processor")]
    if not names:
        words = f"{network.model.family.label} has no self-attention in its middle, which Perturbed attention needs. Take it off."
        raise FieldError("guiders", words)
    positive, negative = network.sides
    with_guidance = network.scale not in (0, 1)

    def apart(rows: int) -> dict[str, Any]:
        return {name: LastAlone(usual[name], rows) for name in names}

    def behind_others(x: Tensor, sigma: Tensor | float) -> Tensor:
        guided = denoise(x, sigma)
        prompt, perturbed = network.predict(x, sigma, positive, positive, attention=apart(2))
        return guided + scale * (prompt - perturbed)

    def at_once(x: Tensor, sigma: Tensor | float) -> Tensor:
        if not with_guidance:
            prompt, perturbed = network.predict(x, sigma, positive, positive, attention=apart(2))
            return prompt + scale * (prompt - perturbed)
        prompt, away, perturbed = network.predict(x, sigma, positive, negative, positive, attention=apart(3))
        return torch.lerp(away, prompt, network.scale) + scale * (prompt - perturbed)

    return at_once if is_alone(network, "Perturbed attention") else behind_others


class LastAlone:
    """Self-attention in which the last of `parts` equal parts of the rows attends to nothing but itself."""

    def __init__(self, usual: Any, parts: int) -> None:
        self.usual, self.parts = usual, parts

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *args: Any,
        **more: Any,
    ) -> Tensor:
        first = len(hidden_states) - len(hidden_states) // self.parts
        seen = self.usual(attn, hidden_states[:first], encoder_hidden_states, attention_mask, *args, **more)
        own = attn.to_out[0](attn.to_v(hidden_states[first:]))  # softmax(...) is the identity, so its product with V is V
        return torch.cat([seen, own / attn.rescale_output_factor])
