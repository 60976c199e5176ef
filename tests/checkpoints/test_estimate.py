"""What a picture will need is told from its family: against what the networks hold, counted on all families at full size."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.checkpoints.counting import peak_of_decoder, peak_of_encoder, peak_of_unet
from tests.checkpoints.sparse import sparse_file
from tests.shared import shared
from webui.checkpoints import estimate
from webui.checkpoints.estimate import Setting
from webui.checkpoints.files import read_header
from webui.checkpoints.identify import identify
from webui.checkpoints.layout import parts_of
from webui.checkpoints.networks import build
from webui.contract.parts import Parts
from webui.workspace.app import App

SIDE = 64
ONE_OF_A_BUILD = (
    "v1-5-pruned-emaonly", "sd-v1-5-inpainting", "v2-1_768-ema-pruned", "512-depth-ema", "x4-upscaler-ema", "sd21-unclip-h",
    "sd_xl_base_1.0", "sd_xl_refiner_1.0", "sd_turbo", "ldm-text-1p4B", "ldm-cin256-v2", "ldm-celebahq", "ldm-lsun_churches",
    "ldm-bsr_sr", "ldm-inpaint-big", "ldm-semantic_synthesis256", "ldm-layout2img-openimages256", "first_stage-kl-f4",
    "first_stage-kl-f16", "first_stage-vq-f8",
)  # fmt: skip
ON_A_CARD = Setting(is_processor=False)


@pytest.mark.parametrize("name", ONE_OF_A_BUILD)
def test_the_estimate_is_never_below_what_is_held_and_close_to_it(name: str, parts: Parts, tmp_path: Path) -> None:
    path = sparse_file(shared(f"reference/full_size_keys/{name}.json.gz"), tmp_path / f"{name}.safetensors")
    identity = identify(path, parts.families)
    family, found = identity.family, parts_of(read_header(path).shapes, identity).parts
    pixels = (SIDE * family.latent_factor) ** 2
    if part := found.get("unet"):
        counted = peak_of_unet(build(part.kind, part.configuration), 2, family.in_channels, SIDE)
        assert 1 <= estimate.network(family, 2, pixels, ON_A_CARD) / counted <= 1.12
    autoencoder = build(found["autoencoder"].kind, found["autoencoder"].configuration)
    counted = peak_of_decoder(autoencoder, family.latent_channels, SIDE)
    told = estimate.decoding(family, pixels, replace(ON_A_CARD, is_last=True))
    assert 1 <= told / counted <= 1.35  # a factor of 16 needs a sixth less
    assert peak_of_encoder(autoencoder, SIDE * family.latent_factor) <= told


@pytest.mark.parametrize("name", ["pocket", "pocket-upscaler"])
def test_the_small_checkpoints_follow_the_same_formula(name: str, app: App) -> None:
    with app.checkpoints.use(name) as model:
        family, unet, autoencoder = model.family, copy.deepcopy(model.unet), copy.deepcopy(model.autoencoder)
    counted = peak_of_unet(unet, 2, family.in_channels, SIDE)
    assert 1 <= estimate.network(family, 2, (SIDE * family.latent_factor) ** 2, ON_A_CARD) / counted <= 1.3
    counted = peak_of_decoder(autoencoder, family.latent_channels, SIDE)
    assert 1 <= estimate.decoding(family, (SIDE * family.latent_factor) ** 2, ON_A_CARD) / counted <= 1.6


def test_on_a_processor_a_batch_costs_its_pictures_and_on_a_card_its_calls_too(parts: Parts) -> None:
    row, pixels = parts.families["sd1"], 512 * 512
    here, card = estimate.expected(torch.device("cpu")), estimate.expected(torch.device("cuda"))
    one, many = (estimate.whole(row, batch, pixels, here) for batch in (1, 8))
    assert many - one == 7 * estimate.KEPT * pixels
    one, many = (estimate.network(row, 2 * batch, pixels, card) for batch in (1, 8))
    assert many == pytest.approx(8 * one, rel=1e-6)


def test_more_of_anything_never_needs_less(parts: Parts) -> None:
    for row in parts.families:
        for setting in (Setting(), Setting(2), Setting(2, is_last=True), ON_A_CARD):
            least = estimate.whole(row, 1, 64 * 64, setting, sides=1)
            assert least <= estimate.whole(row, 1, 64 * 64, setting) <= estimate.whole(row, 2, 64 * 64, setting)
            assert least < estimate.whole(row, 1, 128 * 64, setting, sides=1)
            assert estimate.whole(row, 1, 64 * 64, setting, controls=1) >= estimate.whole(row, 1, 64 * 64, setting)
