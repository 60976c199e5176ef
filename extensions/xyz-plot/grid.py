"""Pictures in rows and columns, with what they differ in written beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

MOST_PIXELS = 2**27
"""Of all grids of one plot together: beyond, their pictures are made smaller."""
MOST_SIDE = 16_000
LINES = 8
"""Of one label; more is cut off."""
WHITE, BLACK = "white", "black"


def smaller(pictures: Sequence[Image.Image], cells: int) -> Image.Image:
    """The pictures of one cell as one, as large as there is room for so many cells."""
    whole = pictures[0] if len(pictures) == 1 else tiled(pictures)
    most = MOST_PIXELS / max(cells, 1)
    if whole.width * whole.height > most:
        return _scaled(whole, math.sqrt(most / (whole.width * whole.height)))
    return whole


def tiled(pictures: Sequence[Image.Image]) -> Image.Image:
    """Several pictures in about as many rows as columns."""
    columns = math.ceil(math.sqrt(len(pictures)))
    width, height = max(one.width for one in pictures), max(one.height for one in pictures)
    made = Image.new("RGB", (width * columns, height * math.ceil(len(pictures) / columns)), WHITE)
    for i, picture in enumerate(pictures):
        made.paste(picture, (i % columns * width, i // columns * height))
    return made


@dataclass(frozen=True)
class Sheet:
    """One grid."""

    cells: Sequence[Sequence[Image.Image]]
    """Rows of pictures."""
    columns: Sequence[str] = ()
    """A label for each column; (): none."""
    rows: Sequence[str] = ()
    title: str = ""
    margin: int = 0
    """Pixels between pictures."""

    def drawn(self) -> Image.Image:
        sheet = self._fitting()
        widths = [max(row[i].width for row in sheet.cells) for i in range(len(sheet.cells[0]))]
        heights = [max(one.height for one in row) for row in sheet.cells]
        size = max(11, min(40, (max(widths) + max(heights)) // 22))
        font = ImageFont.load_default(size)
        beside = _column(sheet.rows, font, max(widths)) if any(sheet.rows) else 0
        names = [wrapped(label, font, width - size // 2) for label, width in zip(sheet.columns, widths, strict=False)]
        inner = sum(widths) + sheet.margin * (len(widths) - 1)
        heading = wrapped(sheet.title, font, beside + inner - size) if sheet.title else []
        above = _height(heading, size) + (_height(max(names, key=len), size) if any(sheet.columns) else 0)
        made = Image.new("RGB", (beside + inner, above + sum(heights) + sheet.margin * (len(heights) - 1)), WHITE)
        pen = ImageDraw.Draw(made)
        _write(pen, heading, font, size, (beside + inner / 2, _height(heading, size) / 2))
        y = above
        for j, (row, height) in enumerate(zip(sheet.cells, heights, strict=True)):
            x = beside
            if beside:
                _write(pen, wrapped(sheet.rows[j], font, beside - size), font, size, (beside / 2, y + height / 2))
            for i, (picture, width) in enumerate(zip(row, widths, strict=True)):
                made.paste(picture, (x + (width - picture.width) // 2, y + (height - picture.height) // 2))
                if not j and any(sheet.columns):
                    middle = above - _height(max(names, key=len), size) / 2
                    _write(pen, names[i], font, size, (x + width / 2, middle))
                x += width + sheet.margin
            y += height + sheet.margin
        return made

    def _fitting(self) -> Sheet:
        """The same with smaller pictures, where a side would be too long."""
        wide = sum(max(row[i].width for row in self.cells) + self.margin for i in range(len(self.cells[0])))
        high = sum(max(one.height for one in row) + self.margin for row in self.cells)
        share = MOST_SIDE / max(wide, high)
        if share >= 1:
            return self
        cells = [[_scaled(one, share) for one in row] for row in self.cells]
        return Sheet(cells, self.columns, self.rows, self.title, int(self.margin * share))


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """A text in lines of that width: broken between words, and within one that is too long."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if font.getlength(longer) <= width:
                line = longer
                continue
            lines += [line] if line else []
            while font.getlength(word) > width and len(word) > 1:
                fits = next((n for n in range(len(word) - 1, 1, -1) if font.getlength(word[:n]) <= width), 1)
                lines.append(word[:fits])
                word = word[fits:]
            line = word
        lines.append(line)
    return lines if len(lines) <= LINES else [*lines[: LINES - 1], "..."]


def _column(labels: Sequence[str], font: ImageFont.FreeTypeFont, width: int) -> int:
    """Pixels beside the pictures for the labels of rows: as long as the longest, but not much wider than a picture."""
    longest = max(font.getlength(label) for label in labels)
    return int(min(longest, max(width * 0.75, font.size * 6)) + font.size)


def _height(lines: Sequence[str], size: int) -> int:
    return int(len(lines) * size * 1.25 + size * 0.7) if lines else 0


def _write(
    pen: ImageDraw.ImageDraw, lines: Sequence[str], font: ImageFont.FreeTypeFont, size: int, middle: tuple[float, float]
) -> None:
    top = middle[1] - (len(lines) - 1) / 2 * size * 1.25
    for i, line in enumerate(lines):
        pen.text((middle[0], top + i * size * 1.25), line, BLACK, font, anchor="mm")


def _scaled(picture: Image.Image, share: float) -> Image.Image:
    size = (max(1, int(picture.width * share)), max(1, int(picture.height * share)))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2)
