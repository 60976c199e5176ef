"""The extension ControlNet with every family whose U-Net reads words, over tiny checkpoints and random control networks."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel
from safetensors.torch import save_file

from tests.engine.studio import wish
from webui.contract.errors import FieldError
from webui.contract.parts import Parts
from webui.contract.request import Chosen
from webui.main import find_parts
from webui.workspace.paths import Paths


@pytest.fixture(scope="module")
def with_controlnet(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    parts, extensions = find_parts(Paths(tmp_path_factory.mktemp("data")))
    assert [one.error for one in extensions if one.name == "controlnet"] == [""]
    return parts


@pytest.fixture(scope="module")
def folder(models: Path) -> Path:
    made = models / "ControlNet"
    made.mkdir(exist_ok=True)
    return made


def random_network(unet: Any) -> ControlNetModel:
    generator = torch.Generator().manual_seed(3)
    values = {**unet.config, "in_channels": unet.config["out_channels"], "conditioning_embedding_out_channels": (4, 8, 8, 8)}
    made = ControlNetModel(**{name: values[name] for name in inspect.signature(ControlNetModel).parameters if name in values})
    for name, parameter in made.named_parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * (0.5 if "cond_embedding" in name else 0.05)
    return made.eval().requires_grad_(False)


@pytest.mark.parametrize("case", ["sd1-a", "sd1-inpaint-a", "sd2-v-a", "sd2-depth-a", "sdxl-a", "sdxl-turbo-a", "unclip-l-a"])
def test_it_steers_every_family_with_words(studios: Any, with_controlnet: Parts, folder: Path, case: str) -> None:
    studio = studios(case)
    studio.parts = with_controlnet
    with studio.checkpoints.use(studio.file) as model:
        network = random_network(model.unet)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / f"{case}.safetensors")
    asked = wish(studio.family)

    def steered(**options: Any) -> bytes:
        chosen = Chosen("ControlNet", {"network": case, "picture": "second", **options})
        return studio.bytes(replace(asked, conditioners=(chosen,)))

    plain = studio.bytes(asked)
    assert steered(weight=0) == plain
    assert len({plain, steered(), steered(weight=2.0), steered(guess=True), steered(preprocessor="Canny")}) == 5
    assert steered() == steered()


def test_one_of_sdxl_and_one_of_sd_1_do_not_fit_each_others_checkpoints(
    studios: Any, with_controlnet: Parts, folder: Path
) -> None:
    for case, other in (("sd1-a", "sdxl-a"), ("sdxl-a", "sd1-a")):
        studio = studios(other)
        studio.parts = with_controlnet
        with studio.checkpoints.use(studio.file) as model:
            save_file(dict(random_network(model.unet).state_dict()), folder / f"of-{other}.safetensors")
        wrong = studios(case)
        wrong.parts = with_controlnet
        chosen = Chosen("ControlNet", {"network": f"of-{other}", "picture": "second"})
        with pytest.raises(
            FieldError, match=rf"of-{other}\.safetensors was made for U-Nets of .* Choose a control network that was"
        ):
            wrong.draw(replace(wish(wrong.family), conditioners=(chosen,)))
