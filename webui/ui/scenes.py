"""Small drawings for the example prompts of an empty stage: vectors, because an empty stage holds no picture."""

from __future__ import annotations

from itertools import pairwise


def _scene(sky: str, *shapes: str) -> str:
    return (
        '<svg class="scene" viewBox="0 0 160 96" preserveAspectRatio="xMidYMid slice" aria-hidden="true" focusable="false">'
        f'<rect width="160" height="96" fill="{sky}"/>{"".join(shapes)}</svg>'
    )


def _checkers() -> str:
    """A floor of checkers that runs away to the horizon."""
    cells = []
    for row, (top, low) in enumerate(pairwise([56.0, 60.5, 67.0, 77.0, 96.0])):
        far, near = 26 * (top - 48) / 48, 26 * (low - 48) / 48
        for cell in range(-9, 9):
            if (cell + row) % 2:
                upper, lower = (80 + cell * far, 80 + (cell + 1) * far), (80 + (cell + 1) * near, 80 + cell * near)
                cells.append(f"M{upper[0]:.1f} {top}L{upper[1]:.1f} {top}L{lower[0]:.1f} {low}L{lower[1]:.1f} {low}z")
    return f'<rect y="56" width="160" height="40" fill="#f4f4f2"/><path d="{"".join(cells)}" fill="#44464c"/>'


def _gradient(kind: str, name: str, where: str, *colours: str) -> str:
    """Colours from the first to the last, the middle one at 0.42."""
    stops = "".join(f'<stop offset="{at}" stop-color="{colour}"/>' for at, colour in zip((0, 0.42, 1), colours, strict=True))
    return f'<defs><{kind}Gradient id="{name}" {where}>{stops}</{kind}Gradient></defs>'


SCENES = {
    "sphere": _scene(
        "#dfe5ea",
        _checkers(),
        _gradient("radial", "lw-red", 'cx=".36" cy=".3" r=".78"', "#ff9d92", "#dc3a30", "#7c1512"),
        '<ellipse cx="88" cy="79" rx="30" ry="6" fill="#000" opacity=".3"/>',
        '<circle cx="80" cy="53" r="27" fill="url(#lw-red)"/>',
    ),
    "cube": _scene(
        "#efeeec",
        '<rect y="54" width="160" height="42" fill="#b98a5a"/>',
        '<path d="M0 62h160M0 71h160M0 83h160M28 54L4 96M66 54l-8 42M104 54l14 42M138 54l34 42" stroke="#93683e" fill="none"/>',
        '<path d="M84 82l38-10 14 4-46 13z" fill="#000" opacity=".22"/><path d="M48 36l34-9 34 8-33 11z" fill="#7fa4f2"/>',
        '<path d="M48 36l35 10v37l-35-12z" fill="#3f6ddb"/><path d="M83 46l33-11v34l-33 14z" fill="#2547a0"/>',
    ),
    "cone": _scene(
        "#f2a766",
        '<rect width="160" height="40" fill="#ee9350" opacity=".55"/><rect y="56" width="160" height="40" fill="#dcc08c"/>',
        _gradient("linear", "lw-green", "", "#7ed38f", "#2f9a4c", "#14582a"),
        '<ellipse cx="94" cy="80" rx="36" ry="7" fill="#000" opacity=".22"/>',
        '<path d="M80 20l27 58a27 7 0 0 1-54 0z" fill="url(#lw-green)"/>',
    ),
}
