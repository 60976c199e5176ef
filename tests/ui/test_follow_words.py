"""Words that a checkpoint adds to the prompts come and go with it, and what the user wrote stays."""

from __future__ import annotations

import pytest

from webui.ui.fields import follow_words


@pytest.mark.parametrize(
    "shown, before, now, after",
    [
        ("", "", "masterpiece", "masterpiece"),
        ("a fox", "", "masterpiece", "a fox, masterpiece"),
        ("a fox, masterpiece", "masterpiece", "masterpiece", None),  # the page was reloaded
        ("a fox, masterpiece", "", "masterpiece", None),  # the user has written it already
        ("a fox, masterpiece", "masterpiece", "photo of", "a fox, photo of"),
        ("a fox, masterpiece", "masterpiece", "", "a fox"),
        ("masterpiece", "masterpiece", "", ""),
        ("masterpiece, a fox", "masterpiece", "", None),  # rewritten: it is the user's now
        ("masterpiece, a fox", "masterpiece", "photo", "masterpiece, a fox, photo"),
        ("  ", "", "photo", "photo"),
    ],
)
def test_the_end_of_a_prompt_follows_the_checkpoint(shown: str, before: str, now: str, after: str | None) -> None:
    def said(words: str) -> dict[str, str]:
        return {"prompt": words} if words else {}

    moved = follow_words(said(before), said(now), {"prompt": shown, "negative_prompt": "kept"})
    assert moved == ({} if after is None else {"prompt": after})
