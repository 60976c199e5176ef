"""Pictures that come in as text: data URIs and bare base64, kept by the workspace and replaced by their names."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from webui.contract.errors import FieldError
from webui.contract.parts import Parts
from webui.contract.request import PICTURES
from webui.workspace.inputs import Inputs
from webui.workspace.option_pictures import with_kept

_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_NAME = re.compile(r"[0-9a-f]{64}")


def picture_bytes(text: str | None, field: str) -> bytes:
    """The file in a field: bare base64 or a data URI, with or without line breaks.

    Raises:
        FieldError: it is none.
    """
    if not text:
        raise FieldError(field, f"The field {field!r} is empty. Send a PNG, JPEG or WebP in base64.")
    head, comma, rest = text.partition(",")
    code = rest if comma and head.startswith("data:") else text
    try:
        data = base64.b64decode("".join(code.split()), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data.startswith(_STARTS):
        raise FieldError(field, f"The field {field!r} is not a picture. Send a PNG, JPEG or WebP in base64.")
    return data


def kept(text: str | None, field: str, inputs: Inputs) -> str:
    """A picture in a field, kept; its name. One that is a name already stays.

    Raises:
        FieldError: it cannot be read, or is too large.
    """
    return text if text and _NAME.fullmatch(text) else inputs.put(picture_bytes(text, field), field)


def with_names(values: Mapping[str, Any], inputs: Inputs, parts: Parts | None = None) -> dict[str, Any]:
    """The fields of a request, its pictures kept and named. One that is a name already stays.

    Args:
        parts: whose options may name pictures too; None: no part is asked for.

    Raises:
        FieldError: a picture cannot be read, or is too large.
    """
    pictures = {field: kept(value, field, inputs) for field in PICTURES if isinstance(value := values.get(field), str) and value}
    whole = {**values, **pictures}
    return whole if parts is None else with_kept(whole, parts, lambda text, field: kept(text, field, inputs))
