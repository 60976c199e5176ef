"""Pictures as files: PNG, JPEG and WebP with their infotext inside, and the infotext out of anyone's files.

Reading takes the file's own bytes apart and decodes no pixels, so it is quick and safe on whatever is uploaded; what
it finds is capped at LONGEST bytes.
"""

from __future__ import annotations

import io
import struct
import unicodedata
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from PIL.PngImagePlugin import PngInfo

if TYPE_CHECKING:
    from PIL.Image import Image

KEYWORD = "parameters"
LONGEST = 4 * 1024 * 1024
"""Bytes of text that a picture may bring; more is cut off, also inside a compressed chunk."""
_PNG = b"\x89PNG\r\n\x1a\n"
_SEGMENT = 65_533
"""Most bytes in one JPEG segment."""
_EXIF, _USER_COMMENT = 0x8769, 0x9286

# ---------------------------------------------------------------- write


def png_bytes(image: Image, infotext: str) -> bytes:
    """A PNG with the infotext as text chunk `parameters` (iTXt, UTF-8, where it is not ASCII)."""
    info = PngInfo()
    if infotext.isascii():
        info.add_text(KEYWORD, infotext)
    elif infotext:
        info.add_itxt(KEYWORD, infotext)
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=info if infotext else None, compress_level=4)
    return file.getvalue()


def jpeg_bytes(image: Image, infotext: str, quality: int = 90) -> bytes:
    """A JPEG with the infotext in EXIF; a few milliseconds at 512x512. Transparency is put on white."""
    file = io.BytesIO()
    _opaque(image).save(file, "JPEG", quality=quality)
    data = file.getvalue()
    if not infotext:
        return data
    exif = b"Exif\0\0" + exif_bytes(infotext)
    if len(exif) <= _SEGMENT:
        return data[:2] + _segment(0xE1, exif) + data[2:]
    # One segment holds 32,000 letters in UTF-16; a longer text stands in comments, one behind the other, in UTF-8.
    text = infotext.encode("utf-8", "replace")
    step = _SEGMENT - len(KEYWORD) - 1
    head = KEYWORD.encode() + b"\0"
    parts = (_segment(0xFE, head + text[start : start + step]) for start in range(0, len(text), step))
    return data[:2] + b"".join(parts) + data[2:]


def webp_bytes(image: Image, infotext: str, quality: int = 90) -> bytes:
    """A WebP with the infotext in EXIF."""
    file = io.BytesIO()
    image.save(file, "WEBP", quality=quality, exif=exif_bytes(infotext) if infotext else b"")
    return file.getvalue()


def exif_bytes(infotext: str) -> bytes:
    """A TIFF block that holds only UserComment, as UTF-16.

    Everything is big-endian, so that a reader that follows the TIFF's byte order and one that follows what A1111
    writes (always big-endian) read the same.
    """
    comment = b"UNICODE\0" + infotext.encode("utf-16-be", "replace")
    first = struct.pack(">HHHIII", 1, _EXIF, 4, 1, 26, 0)
    second = struct.pack(">HHHIII", 1, _USER_COMMENT, 7, len(comment), 44, 0)
    return b"MM\0*" + struct.pack(">I", 8) + first + second + comment


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _opaque(image: Image) -> Image:
    if image.mode in ("RGB", "L"):
        return image
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    white = layer.copy()
    white.paste((255, 255, 255, 255), (0, 0, *layer.size))
    white.alpha_composite(layer)
    return white.convert("RGB")


# ---------------------------------------------------------------- read


def read_infotext(data: bytes) -> str:
    """The infotext in a file's bytes, "" if there is none (or no picture). Never raises on damaged files."""
    if data.startswith(_PNG):
        return _from_png(data)
    if data.startswith(b"\xff\xd8"):
        return _from_jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _from_webp(data)
    return ""


def _from_png(data: bytes) -> str:
    """The chunk `parameters`, in any of PNG's three forms; the EXIF chunk where there is none."""
    exif = ""
    for kind, content in _png_chunks(data):
        if kind == b"eXIf":
            exif = _from_tiff(content)
            continue
        keyword, _, rest = content.partition(b"\0")
        if keyword != KEYWORD.encode():
            continue
        if kind == b"tEXt":
            return _utf8_or_latin1(rest[:LONGEST])
        if kind == b"zTXt":
            return _utf8_or_latin1(_inflate(rest[1:]))
        compressed, text = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
        return (_inflate(text) if compressed else text[:LONGEST]).decode("utf-8", "replace")
    return exif


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the chunks that can hold text, those behind the pixels too."""
    place = len(_PNG)
    while place + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        if kind in (b"tEXt", b"zTXt", b"iTXt", b"eXIf"):
            yield kind, data[place + 8 : place + 8 + size]
        place += 12 + size


def _inflate(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, LONGEST)
    except zlib.error:
        return b""


def _utf8_or_latin1(data: bytes) -> str:
    """Latin-1 is what PNG says; UTF-8 is what several programs write, and other text is hardly ever valid UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _from_jpeg(data: bytes) -> str:
    comments = b""
    head = KEYWORD.encode() + b"\0"
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker, size = data[place + 1], struct.unpack_from(">H", data, place + 2)[0]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        content = data[place + 4 : place + 2 + size]
        if marker == 0xDA:  # pixels from here on
            break
        if marker == 0xE1 and content.startswith(b"Exif\0\0"):
            text = _from_tiff(content[6:])
            if text:
                return text
        if marker == 0xFE and content.startswith(head):
            comments += content[len(head) :]
        place += 2 + max(size, 2)
    return comments[:LONGEST].decode("utf-8", "replace")


def _from_webp(data: bytes) -> str:
    place = 12
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, place)
        if kind == b"EXIF":
            return _from_tiff(data[place + 8 : place + 8 + size].removeprefix(b"Exif\0\0"))
        place += 8 + size + size % 2
    return ""


def _from_tiff(data: bytes) -> str:
    """UserComment of a TIFF block, which stands in the EXIF directory (with some writers: in the first one)."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return ""
    try:
        first = _directory(data, struct.unpack_from(order + "I", data, 4)[0], order)
        exif = _directory(data, first[_EXIF][1], order) if _EXIF in first else {}
    except struct.error:  # it ends before its directories do
        return ""
    found = exif.get(_USER_COMMENT) or first.get(_USER_COMMENT)
    if found is None:
        return ""
    size, offset = found
    return user_comment(data[offset : offset + min(size, LONGEST)])


def _directory(data: bytes, place: int, order: str) -> dict[int, tuple[int, int]]:
    """(number of values, offset) by tag; at most 1000 entries."""
    count = min(struct.unpack_from(order + "H", data, place)[0], 1000)
    entries = (struct.unpack_from(order + "HHII", data, place + 2 + 12 * i) for i in range(count))
    return {tag: (size, offset) for tag, _, size, offset in entries}


def user_comment(data: bytes) -> str:
    """The text of a UserComment, whatever its marker says.

    Programs write UTF-16 of either byte order, whatever the order of the TIFF around it, and UTF-8, behind the
    marker for Unicode, for ASCII or none. Each is tried, and the one whose letters look most like text is taken.
    """
    for marker in (b"UNICODE\0", b"ASCII\0\0\0", b"JIS\0\0\0\0\0", b"\0" * 8):
        if data.startswith(marker):
            data = data[len(marker) :]
            break
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8"), (b"\xfe\xff", "utf-16-be"), (b"\xff\xfe", "utf-16-le")):
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace").rstrip("\0")
    even = data[:-1] if len(data) % 2 and data.endswith(b"\0") else data
    candidates: list[str] = []
    for encoding, content in (("utf-8", data.rstrip(b"\0")), ("utf-16-be", even), ("utf-16-le", even)):
        try:
            candidates.append(content.decode(encoding).rstrip("\0"))
        except UnicodeDecodeError:
            continue
    return max(candidates, key=_likeness, default=data.decode("latin-1").rstrip("\0"))


def _likeness(text: str) -> float:
    """How much the letters look like a text of one language, at most 1; judged by the first 2000."""
    sample = text[:2000]
    return sum(map(_letter, sample)) / max(1, len(sample))


def _letter(letter: str) -> float:
    code = ord(letter)
    if 32 <= code < 127 or letter in "\n\r\t":
        return 1.0
    if unicodedata.category(letter) in ("Cc", "Cn", "Co", "Cs"):
        return -2.0
    if 0x3000 <= code < 0x3100 or 0x4E00 <= code < 0xA000 or 0xFF00 <= code < 0xFFF0 or 0x1F000 <= code < 0x1FB00:
        return 0.9  # kana, Chinese, full-width letters, emoji
    if code < 0x2000 or 0xAC00 <= code < 0xD7B0:
        return 0.8  # other alphabets, Hangul
    return 0.2
