import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from webui.engine import pictures


def file(image, kind="PNG", **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def drawn(width=24, height=16):
    """Every pixel another colour."""
    values = np.zeros((height, width, 3), dtype=np.uint8)
    values[..., 0], values[..., 1] = np.arange(width) * 10, np.arange(height)[:, None] * 15
    values[..., 2] = 77
    return Image.fromarray(values)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_all_eight_orientations_are_turned_upright_once(orientation, kind):
    turns = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
             5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
             8: Image.Transpose.ROTATE_270}  # fmt: skip
    upright = Image.new("RGB", (32, 16), "white")
    upright.paste("black", (0, 0, 8, 8))
    stored = upright.transpose(turns[orientation]) if orientation in turns else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"JPEG": {"quality": 100}, "WEBP": {"lossless": True}}.get(kind, {})
    opened = pictures.open_picture(file(stored, kind, exif=exif, **lossless))
    assert opened.size == (32, 16)
    assert np.abs(np.array(opened).astype(int) - np.array(upright)).max() <= 8
    again = Image.open(io.BytesIO(file(opened)))
    assert again.getexif().get(0x0112) is None


def test_a_palette_with_one_transparent_index_keeps_colours_and_alpha():
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    opened = pictures.open_picture(file(image, transparency=1))
    assert opened.mode == "RGBA" and opened.getpixel((0, 0)) == (255, 0, 0, 255) and opened.getpixel((1, 0))[3] == 0


def test_a_palette_with_transparency_in_bytes_keeps_colours_and_soft_alpha():
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    for i in range(3):
        image.putpixel((i, 0), i)
    opened = pictures.open_picture(file(image, transparency=bytes([0, 100, 255])))
    assert [opened.getpixel((i, 0)) for i in range(1, 3)] == [(0, 255, 0, 100), (0, 0, 255, 255)]


@pytest.mark.parametrize("mode, key, alpha", [("RGB", (9, 9, 9), 0), ("L", 9, 0), ("1", 0, 0)])
def test_one_transparent_colour_becomes_alpha(mode, key, alpha):
    image = Image.new(mode, (4, 4), {"RGB": (200, 0, 0), "L": 200, "1": 1}[mode])
    image.putpixel((1, 1), {"RGB": (9, 9, 9), "L": 9, "1": 0}[mode])
    opened = pictures.open_picture(file(image, transparency=key))
    assert opened.mode == "RGBA" and opened.getpixel((1, 1))[3] == alpha and opened.getpixel((0, 0))[3] == 255


def test_grey_with_alpha_keeps_both():
    opened = pictures.open_picture(file(Image.merge("LA", (Image.new("L", (4, 4), 90), Image.new("L", (4, 4), 40)))))
    assert opened.mode == "RGBA" and opened.getpixel((0, 0)) == (90, 90, 90, 40)


def test_sixteen_bits_are_scaled_and_not_clipped():
    values = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    opened = pictures.open_picture(file(Image.fromarray(values)))
    assert [opened.getpixel((i, 0)) for i in range(4)] == [(0, 0, 0), (1, 1, 1), (128, 128, 128), (255, 255, 255)]


def test_floats_and_long_integers_open():
    floats = Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32))
    assert [pictures.open_picture(file(floats, "TIFF")).getpixel((i, 0))[0] for i in range(3)] == [0, 128, 255]
    long = Image.fromarray(np.array([[65535]], dtype=np.int32))
    assert pictures.open_picture(file(long, "TIFF")).getpixel((0, 0))[0] == 255


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_four_printing_inks_open_in_their_colours(kind):
    opened = pictures.open_picture(file(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), kind))
    assert opened.mode == "RGB"
    red, green, blue = opened.getpixel((4, 4))
    assert red > 230 and green < 25 and blue < 25


def test_a_moving_picture_gives_its_first_frame():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    opened = pictures.open_picture(file(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert opened.getpixel((0, 0)) == (255, 0, 0)


def test_an_opaque_picture_keeps_its_bytes_and_loses_its_notes():
    image = drawn()
    data = file(image.convert("RGBA"), icc_profile=_srgb())
    opened = pictures.open_picture(data)
    assert opened.mode == "RGB" and opened.tobytes() == image.tobytes() and opened.info == {}


def _srgb():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_a_profile_that_is_rubbish_is_passed_over():
    assert pictures.open_picture(file(drawn(), icc_profile=b"no profile")).tobytes() == drawn().tobytes()


def huge(width, height):
    """A PNG that says it is huge, without the pixels."""
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(b"")]
    parts = (struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "is empty"),
        (b"hello, I am a text file named .png", "not a picture"),
        (file(drawn(200, 200))[:300], "damaged"),
        (file(drawn(200, 200), "JPEG")[:400], "damaged"),
        (huge(20_000, 10_000), "pixels"),
        (huge(10_000, 9_000), "10000 x 9000 pixels"),
    ],
    ids=["nothing", "text", "half a PNG", "half a JPEG", "200 megapixels", "90 megapixels"],
)
def test_what_cannot_be_opened_is_refused_in_one_sentence_that_names_the_field(data, words):
    with pytest.raises(pictures.PictureError, match=words) as caught:
        pictures.open_picture(data, "init_images")
    assert caught.value.field == "init_images" and str(caught.value).startswith("Init images") and "\n" not in str(caught.value)


def test_a_file_of_too_many_bytes_is_refused():
    with pytest.raises(pictures.PictureError, match="MB"):
        pictures.open_picture(file(drawn()), limits=pictures.Limits(bytes=10))


SOFT = np.tile(np.arange(0, 256, 17, dtype=np.uint8), (4, 1))


def as_mode(mode):
    grey = Image.fromarray(SOFT)
    if mode == "RGBA white on alpha":
        return Image.merge("RGBA", (*[Image.new("L", grey.size, 255)] * 3, grey))
    if mode == "RGBA grey, opaque":
        return Image.merge("RGBA", (grey, grey, grey, Image.new("L", grey.size, 255)))
    if mode == "LA white on alpha":
        return Image.merge("LA", (Image.new("L", grey.size, 255), grey))
    if mode == "P":
        turned = Image.fromarray(255 - SOFT, "P")  # index 0 is white
        turned.putpalette(bytes(255 - i for i in range(256) for _ in range(3)))
        return turned
    if mode == "I;16":
        return Image.fromarray(SOFT.astype(np.uint16) * 257)
    return grey.convert(mode)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA white on alpha", "RGBA grey, opaque", "LA white on alpha", "P", "I;16"])
def test_a_mask_of_any_mode_keeps_its_soft_values(mode):
    assert (np.array(pictures.open_mask(file(as_mode(mode)))) == SOFT).all()


def test_a_mask_of_one_bit_is_black_and_white():
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert list(pictures.open_mask(file(image)).tobytes()) == [0, 255]


def test_transparent_white_and_opaque_black_are_not_masked():
    assert pictures.mask(Image.new("RGBA", (1, 1), (255, 255, 255, 0))).getpixel((0, 0)) == 0
    assert pictures.mask(Image.new("RGBA", (1, 1), (0, 0, 0, 255))).getpixel((0, 0)) == 0


def test_transparency_is_offered_as_a_mask():
    image = drawn().convert("RGBA")
    assert pictures.transparency(image) is None and pictures.transparency(drawn()) is None
    image.putalpha(Image.new("L", image.size, 55))
    assert pictures.transparency(image).getextrema() == (200, 200)


def test_a_mask_of_another_size_is_resized_or_refused():
    given = Image.new("L", (256, 128), 255)
    assert pictures.fitting(given, (512, 257)).size == (512, 257)
    assert pictures.fitting(given, given.size) is given
    with pytest.raises(pictures.PictureError, match="256 x 128 pixels, the image 512 x 512"):
        pictures.fitting(given, (512, 512))
