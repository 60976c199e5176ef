"""webui verify: every public case passes, and nothing passes by accident."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.shared import shared_names
from webui.checkpoints.files import read_tensors
from webui.checkpoints.identify import identify
from webui.contract.errors import StartError
from webui.contract.parts import Parts
from webui.main import main
from webui.verify.case import CaseError
from webui.verify.checks import error_of
from webui.verify.command import verify, verify_case
from webui.verify.opening import unsaid
from webui.verify.table import Row

SMALL = "autoencoder-kl-f1-a"
DENOISE = {"kind": "denoise", "x": "encode.latents", "t": 0, "output": "encode.latents"}
TOKENS = {"kind": "tokens", "prompt": "", "encoder": 0, "ids": "encode.latents"}


@pytest.fixture
def small(reference_checkpoints: Path, tmp_path: Path) -> Path:
    """A folder with one case to change."""
    target = tmp_path / "cases" / "it"
    shutil.copytree(reference_checkpoints / SMALL, target)
    return target


def rows_of(case: Path, parts: Parts, models: Path | None = None) -> list[Row]:
    return [row for row in verify_case(case, parts, [models] if models else []) if isinstance(row, Row)]


def change(case: Path, how: Callable[[dict[str, Any]], None]) -> None:
    values = json.loads((case / "case.json").read_text())
    how(values)
    (case / "case.json").write_text(json.dumps(values))


@pytest.mark.parametrize("name", shared_names("reference/public", "*"))
def test_every_public_case_passes(name: str, reference_checkpoints: Path, parts: Parts, models: Path) -> None:
    case = reference_checkpoints / name
    rows = rows_of(case, parts, models)
    assert [row.line((0, 0)) for row in rows if not row.is_met] == []
    assert len(rows) >= len(json.loads((case / "case.json").read_text())["checks"])


def test_without_the_vocabulary_only_tokens_fail_and_say_how_to_get_it(reference_checkpoints: Path, parts: Parts) -> None:
    case = next(reference_checkpoints.glob("ldm-text-*"))
    rows = rows_of(case, parts)
    assert {row.what.split()[0] for row in rows if not row.is_met} == {"tokens"}
    assert all("webui fetch bert-vocabulary" in row.problem for row in rows if not row.is_met)


def test_the_file_alone_is_checked_too_where_it_says_enough(small: Path, parts: Parts) -> None:
    assert [row.what for row in rows_of(small, parts)] == ["encode 0", "decode 0", "encode 0, file alone", "decode 0, file alone"]


def test_the_command_prints_a_row_for_each_check_and_ends_with_the_count(
    small: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["verify", str(small.parent), "--data-dir", str(tmp_path / "data")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["case", "what", "largest", "error", "tolerance"]
    assert lines[-1] == "4 of 4 checks pass"
    assert all(line.startswith("it ") and line.endswith("pass") for line in lines[1:-1])


def test_a_folder_that_is_itself_a_case_is_one(small: Path, parts: Parts) -> None:
    assert verify(small, parts) == 0


def test_a_configuration_of_another_name_goes_with_its_checkpoint(small: Path, parts: Parts) -> None:
    (small / "model.yaml").rename(small / "other.yaml")
    change(small, lambda values: values.update(config="other.yaml"))
    assert all(row.is_met for row in rows_of(small, parts))


def test_a_changed_weight_fails(small: Path, parts: Parts) -> None:
    tensors = read_tensors(small / "model.ckpt")
    key = next(key for key in tensors if key.endswith("decoder.conv_out.bias"))
    torch.save({"state_dict": {**tensors, key: tensors[key] + 0.01}}, small / "new")  # the old one is mapped: beside it
    (small / "new").replace(small / "model.ckpt")
    met = {row.what: row.is_met for row in rows_of(small, parts)}
    assert met == {"encode 0": True, "decode 0": False, "encode 0, file alone": True, "decode 0, file alone": False}


def test_a_changed_expectation_fails(small: Path, parts: Parts) -> None:
    arrays = dict(np.load(small / "arrays.npz"))
    arrays["encode.latents"] = arrays["encode.latents"] * 1.001
    np.savez(small / "arrays.npz", **arrays)
    assert [row.is_met for row in rows_of(small, parts)] == [False, True, False, True]


def test_a_tolerance_of_nothing_fails(small: Path, parts: Parts) -> None:
    change(small, lambda values: values.update(tolerance={"encode": 0, "decode": 0}))
    assert not any(row.is_met for row in rows_of(small, parts))


def test_a_finer_tolerance_counts_for_its_own_output(small: Path, parts: Parts) -> None:
    change(small, lambda values: values["tolerance"].update({"encode.latents": 0}))
    assert [row.is_met for row in rows_of(small, parts)] == [False, True, False, True]


@pytest.mark.parametrize(
    "how, words",
    [
        (lambda values: values["checks"][0].update(kind="guess"), "'guess' is not known"),
        (lambda values: values["checks"][0].update(mood="blue"), "'mood' in a check 'encode' is not known"),
        (lambda values: values.update(family="sd9"), "'sd9' is not known"),
        (lambda values: values.update(checkpoint="gone.ckpt"), "gone.ckpt is missing. Build the case first"),
        (lambda values: values.update(config="gone.yaml"), "gone.yaml is missing"),
        (lambda values: values.update(checks=[]), "no checks"),
        (lambda values: values.update(checks=["?"]), "not a case"),
        (lambda values: values.pop("tolerance"), "not a case"),
        (lambda values: values["checks"][0].pop("latents"), "no output"),
        (lambda values: values.update(family="sd1"), "taken for autoencoder"),
        (lambda values: values.update(tolerance={}), "no tolerance for"),
        (lambda values: values["checks"][0].update(image="nowhere"), "no array"),
        (lambda values: values["checks"][0].update(latents="decode.image"), ""),
        (lambda values: values["checks"].append(DENOISE), "alone"),
        (lambda values: values["checks"].append(TOKENS), "no text encoder"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_a_failed_row(small: Path, parts: Parts, how: Callable[..., Any], words: str) -> None:
    change(small, how)
    rows = rows_of(small, parts)
    failed = [row for row in rows if not row.is_met]
    assert failed and any(word in failed[-1].problem for word in words.split("|"))
    assert verify(small.parent, parts) == 1


@pytest.mark.parametrize("file", ["case.json", "arrays.npz", "model.ckpt", "model.yaml"])
@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 but no more"])
def test_a_missing_or_damaged_file_fails(small: Path, parts: Parts, file: str, content: bytes | None) -> None:
    (small / file).unlink()
    if content is not None:
        (small / file).write_bytes(content)
    assert verify(small.parent, parts) == 1


def test_a_good_case_does_not_hide_a_bad_one(
    small: Path, reference_checkpoints: Path, parts: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(reference_checkpoints / SMALL, small.with_name("bad"))
    (small.with_name("bad") / "case.json").write_text("{")
    assert verify(small.parent, parts) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "4 of 5 checks pass"


def test_a_checkpoint_that_does_not_open_fails_all_of_its_checks(
    small: Path, parts: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    (small / "model.ckpt").write_bytes(b"nothing")
    assert verify(small.parent, parts) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 of 4 checks pass"


def test_an_empty_folder_fails(tmp_path: Path, parts: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "unrelated").mkdir()
    assert verify(tmp_path, parts) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "holds no cases" in lines[-2] and lines[-1] == "0 of 0 checks pass"


def test_a_folder_that_is_not_there_is_said_at_once(tmp_path: Path, parts: Parts) -> None:
    with pytest.raises(StartError, match="not a folder"):
        verify(tmp_path / "gone", parts)
    assert main(["verify", str(tmp_path / "gone"), "--data-dir", str(tmp_path)]) == 2


# --- the parts of it ---


def test_the_error_is_in_parts_of_the_largest_expected_number() -> None:
    theirs = torch.tensor([1.0, -4.0])
    assert error_of(theirs, theirs) == 0
    assert error_of(torch.tensor([1.0, -3.0]), theirs) == 0.25
    assert error_of(torch.zeros(2), torch.zeros(2)) == 0
    assert error_of(torch.ones(2), torch.zeros(2)) == 1


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (torch.tensor([math.nan]), torch.tensor([1.0])),
        (torch.tensor([1.0]), torch.tensor([math.nan])),
        (torch.tensor([math.inf]), torch.tensor([math.inf])),
        (torch.ones(1, 2), torch.ones(2)),
        (torch.ones(0), torch.ones(0)),
    ],
)
def test_what_cannot_be_compared_is_infinitely_wrong(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert error_of(ours, theirs) == math.inf


def test_a_row_without_a_number_is_never_met() -> None:
    assert not Row("it", "x").is_met
    assert not Row("it", "x", 0.0).is_met
    assert not Row("it", "x", math.inf, 1.0).is_met
    assert not Row("it", "x", 0.0, 1.0, problem="broken").is_met
    assert Row("it", "x", 0.0, 0.0).is_met


def test_what_the_file_does_say_must_be_the_same_without_the_configuration(small: Path, parts: Parts) -> None:
    from dataclasses import replace

    told = identify(small / "model.ckpt", parts.families)
    alone = replace(told, assumed=frozenset({"heads", "betas"}))
    assert unsaid(told, alone) == []
    assert unsaid(told, replace(alone, family=replace(told.family, beta_end=0.5, heads=3))) == ["betas", "heads"]
    with pytest.raises(CaseError, match="latent_channels"):
        unsaid(told, replace(alone, family=replace(told.family, latent_channels=99)))
    other = replace(told.family, name="another", native_size=1)
    with pytest.raises(CaseError, match="another"):
        unsaid(told, replace(alone, family=other))
    assert unsaid(told, replace(alone, family=other, assumed=frozenset({"family"}))) == ["family"]
