"""The page's own files: where they lie, and their addresses."""

from __future__ import annotations

import hashlib
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"


def address(name: str) -> str:
    """Named by content, so that a browser keeps a file until it changes."""
    digest = hashlib.sha256((ASSETS / name).read_bytes()).hexdigest()[:12]
    return f"look/{name}?v={digest}"
