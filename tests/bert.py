"""A vocabulary for BERT that needs no network: the words of the reference prompts, at the numbers that the reference lists."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tokenizers import normalizers, pre_tokenizers

SPLIT = {"tokenization": ["token", "##ization"], "blurry": ["blur", "##ry"]}
"""Words of the public prompts that BERT knows in pieces."""


def write_vocabulary(case: Path, target: Path) -> None:
    """A vocabulary with the words that a case's prompts are made of, each at the number that the case lists for it."""
    values, arrays = json.loads((case / "case.json").read_text()), np.load(case / "arrays.npz")
    words = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1010: ","}
    for check in values["checks"]:
        pairs = [(check["prompt"], check["ids"])] if check["kind"] == "tokens" else []
        for side in ("inputs", "negative_inputs"):
            inputs = check.get(side, {})
            pairs += [(prompt, (inputs["ids"], i)) for i, prompt in enumerate(inputs.get("prompt", []))]
        for prompt, place in pairs:
            ids = arrays[place] if isinstance(place, str) else arrays[place[0]][place[1]]
            plain = normalizers.BertNormalizer(lowercase=True).normalize_str(prompt)
            found = [word for word, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(plain)]
            pieces = [piece for word in found for piece in SPLIT.get(word, [word])]
            numbers = [int(number) for number in np.ravel(ids) if number not in (0, 101, 102)]
            words |= dict(zip(numbers, pieces, strict=True))
    lines = [words.get(number, f"[unused{number}]") for number in range(max(words) + 1)]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(lines), encoding="utf-8")
