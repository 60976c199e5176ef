"""Tiny decoders for previews: found by what they decode, in the releases' names and in diffusers'."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import save_file

from webui.checkpoints.families import LDM_CLASS, POCKET, SD1, SDXL, SDXL_INPAINT
from webui.checkpoints.tiny import TinySource, load_tiny
from webui.training.networks import make_tiny

LATENTS = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))


def as_released(network: AutoencoderTiny) -> dict[str, torch.Tensor]:
    """The decoder's tensors in TAESD's own names: its layers are numbered from a clamp on."""
    out = {}
    for name, tensor in network.decoder.state_dict().items():
        number, _, rest = name.removeprefix("layers.").partition(".")
        out[f"{int(number) + 1}.{rest}"] = tensor.contiguous()
    return out


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return make_tiny().eval()


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "VAE-approx").mkdir()
    return tmp_path


def test_a_folder_decodes_as_diffusers_does(network, tmp_path):
    network.save_pretrained(tmp_path / "pocket-tiny")
    source = TinySource(POCKET, [tmp_path / "nothing", tmp_path])
    decoder = source()
    assert decoder is not None and decoder.is_quick
    with torch.no_grad():
        torch.testing.assert_close(decoder(LATENTS), network.decode(LATENTS).sample, atol=1e-5, rtol=0)  # another layout


@pytest.mark.parametrize(("family", "name"), [(SD1, "taesd"), (SDXL, "taesdxl"), (SDXL_INPAINT, "taesdxl")])
def test_a_file_in_the_releases_names_is_found_by_the_family(family, name, models):
    torch.manual_seed(0)
    released = AutoencoderTiny().eval()
    save_file(as_released(released), models / "VAE-approx" / f"{name}_decoder.safetensors")
    decoder = TinySource(family, [models])()
    assert decoder is not None and not decoder.is_quick, "a processor looks at the latents' colours instead"
    with torch.no_grad():
        assert torch.allclose(decoder(LATENTS), released.decode(LATENTS).sample)


def test_others_and_broken_ones_leave_the_preview_to_the_colours(models, caplog):
    assert TinySource(SD1, [models])() is None, "none is there"
    place = models / "VAE-approx" / "taesd_decoder.safetensors"
    save_file({"1.weight": torch.zeros(3, 4, 3, 3)}, place)
    assert TinySource(SD1, [models])() is None
    assert "taesd_decoder.safetensors cannot be used for previews" in caplog.text
    assert TinySource(LDM_CLASS, [models]).find() is None, "other latents"
    assert TinySource(replace(SD1, latent_scale=0.5), [models]).find() is None
    with pytest.raises(Exception, match=r"taesd_decoder\.safetensors"):
        load_tiny(place)
