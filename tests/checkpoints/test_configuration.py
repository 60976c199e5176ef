"""The releases' own YAML beside a checkpoint: it wins over the guess, and what contradicts the file is said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.shared import shared
from webui.checkpoints.identify import identify
from webui.contract.errors import CheckpointReadError
from webui.contract.parts import Family, Parts

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def changed(reference_checkpoints: Path, parts: Parts, tmp_path: Path) -> Callable[[str, Change], Family]:
    """(case, change of "model.params") -> the family with the changed YAML."""

    def identified(case: str, change: Change) -> Family:
        shared(f"reference/public/{case}")
        found = next(path for path in (reference_checkpoints / case).glob("model.*") if path.suffix != ".yaml")
        (tmp_path / found.name).symlink_to(found)
        values = yaml.safe_load((reference_checkpoints / case / "model.yaml").read_text())
        change(values["model"]["params"])
        (tmp_path / "model.yaml").write_text(yaml.safe_dump(values))
        return identify(tmp_path / found.name, parts.families).family

    return identified


def test_what_it_says_of_heads_schedule_and_scale_counts(changed: Callable[[str, Change], Family]) -> None:
    def change(params: dict[str, Any]) -> None:
        params |= {"linear_start": 0.001, "linear_end": 0.02, "scale_factor": 0.5, "parameterization": "v"}
        params["unet_config"]["params"] |= {"num_heads": 2}

    row = changed("sd1-a", change)
    assert (row.beta_start, row.beta_end, row.latent_scale, row.prediction, row.heads) == (0.001, 0.02, 0.5, "v", 2)


def test_the_noise_of_an_input_picture_is_read_from_it(changed: Callable[[str, Change], Family]) -> None:
    def change(params: dict[str, Any]) -> None:
        noise = params["low_scale_config"]["params"]
        noise |= {"max_noise_level": 200, "noise_schedule_config": {"linear_start": 0.0002, "linear_end": 0.01}}

    row = changed("sd-x4-a", change)
    assert (row.noise_levels, row.input_schedule) == (200, "linear:0.0002:0.01")


def test_the_layer_of_a_text_encoder_is_read_from_it(changed: Callable[[str, Change], Family]) -> None:
    def change(params: dict[str, Any]) -> None:
        models = params["conditioner_config"]["params"]["emb_models"]
        models[0]["params"]["layer_idx"] = 1
        models[1]["params"]["layer"] = "last"

    first, second = changed("sdxl-a", change).encoders
    assert (first.layer, first.has_norm) == (-3, False)
    assert (second.layer, second.has_norm, second.is_pooled) == (-1, False, True)


@pytest.mark.parametrize(
    "case, part, field, value, said",
    [
        ("sd1-a", "unet_config", "in_channels", 9, "says 9 input channels, but the file has 4"),
        ("sd1-a", "unet_config", "context_dim", 1024, "says 1024 numbers in a word's vector, but the file has"),
        ("sdxl-a", "network_config", "model_channels", 320, "says 320 channels on the first level, but the file has 32"),
    ],
)
def test_what_contradicts_the_file_is_said_with_the_way_out(
    changed: Callable[[str, Change], Family], case: str, part: str, field: str, value: int, said: str
) -> None:
    with pytest.raises(CheckpointReadError, match=rf"model\.yaml beside model\.\w+ {said}.*Mend it or take it away"):
        changed(case, lambda params: params[part]["params"].update({field: value}))


def test_a_configuration_of_an_autoencoder_does_not_fit_a_checkpoint(
    reference_checkpoints: Path, parts: Parts, tmp_path: Path
) -> None:
    (tmp_path / "x.ckpt").symlink_to(reference_checkpoints / "sd1-a" / "model.ckpt")
    shutil.copy(reference_checkpoints / "autoencoder-kl-f8-a" / "model.yaml", tmp_path / "x.yaml")
    with pytest.raises(CheckpointReadError, match="describes an autoencoder alone, but the file holds a U-Net"):
        identify(tmp_path / "x.ckpt", parts.families)


@pytest.mark.parametrize("name, is_read", [("model.ckpt", True), ("last.ckpt", True), ("other.ckpt", False)])
def test_the_first_releases_folders_name_it_config(
    name: str, is_read: bool, reference_checkpoints: Path, parts: Parts, tmp_path: Path
) -> None:
    (tmp_path / name).symlink_to(reference_checkpoints / "ldm-text-a" / "model.ckpt")
    shutil.copy(reference_checkpoints / "ldm-text-a" / "model.yaml", tmp_path / "config.yaml")
    identity = identify(tmp_path / name, parts.families)
    assert (identity.family.heads == 4) == is_read
    assert ("heads" in identity.assumed) == (not is_read)


def test_a_measured_scale_in_the_file_wins_over_the_one_it_was_measured_from(changed: Callable[[str, Change], Family]) -> None:
    assert changed("ldm-uncond-kl-a", lambda params: params.update(scale_factor=1.0)).latent_scale == 0.5
