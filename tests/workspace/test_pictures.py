import io
import struct
import zlib

import pytest
from PIL import Image

from webui.workspace.pictures import LONGEST, exif_bytes, jpeg_bytes, png_bytes, read_infotext, user_comment, webp_bytes

TEXTS = [
    "a red sphere\nNegative prompt: blur\nSteps: 20, Sampler: Euler a, Seed: 1, Version: latent-webui 0.1.0",
    "猫と犬 🐈🐕 naïve\nSteps: 20, Sampler: Euler a, Seed: 1",
    "кошка, γάτα, 고양이\nSteps: 20, Sampler: Euler a, Seed: 1",
    "mojibake on purpose: Ã© and Â£\nSteps: 20, Sampler: Euler a, Seed: 1",
    "long " + "word, " * 16_000 + "\nSteps: 20, Sampler: Euler a, Seed: 1",
]
IMAGE = Image.linear_gradient("L").resize((24, 16)).convert("RGB")


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(*chunks: bytes) -> bytes:
    data = png_bytes(IMAGE, "")
    return data[:33] + b"".join(chunks) + data[33:]


def webp_with(exif: bytes) -> bytes:
    file = io.BytesIO()
    IMAGE.save(file, "WEBP", exif=exif)
    return file.getvalue()


def tiff(comment: bytes, order: str) -> bytes:
    """As other programs write it: a camera's tag first, then the EXIF directory."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    first = struct.pack(order + "IHHHI4sHHIII", 8, 2, 0x0131, 2, 4, b"abc\0", 0x8769, 4, 1, 38, 0)
    return head + first + struct.pack(order + "HHHIII", 1, 0x9286, 7, len(comment), 56, 0) + comment


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("write", [png_bytes, jpeg_bytes, webp_bytes])
def test_what_is_written_into_a_picture_is_read_out_of_it(write, text):
    data = write(IMAGE, text)
    assert read_infotext(data) == text
    assert opened(data).size == IMAGE.size


def test_png_text_is_where_everyone_looks():
    assert opened(png_bytes(IMAGE, TEXTS[0])).info["parameters"] == TEXTS[0]
    assert opened(png_bytes(IMAGE, TEXTS[1])).info["parameters"] == TEXTS[1]
    assert opened(png_bytes(IMAGE, TEXTS[0])).convert("RGB").tobytes() == IMAGE.tobytes()


@pytest.mark.parametrize("write", [jpeg_bytes, webp_bytes])
def test_exif_is_where_everyone_looks(write):
    comment = opened(write(IMAGE, TEXTS[1])).getexif().get_ifd(0x8769)[0x9286]
    assert comment == b"UNICODE\0" + TEXTS[1].encode("utf-16-be")


@pytest.mark.parametrize("write", [png_bytes, jpeg_bytes, webp_bytes])
def test_without_infotext_nothing_is_written(write):
    data = write(IMAGE, "")
    assert read_infotext(data) == "" and b"parameters" not in data and b"Exif" not in data


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1", "CMYK"])
def test_every_mode_can_be_a_jpeg(mode):
    assert opened(jpeg_bytes(IMAGE.convert(mode), "x")).size == IMAGE.size


def test_transparency_is_white_in_a_jpeg():
    assert min(opened(jpeg_bytes(Image.new("RGBA", (8, 8), (0, 0, 0, 0)), "")).convert("RGB").getpixel((4, 4))) > 250


@pytest.mark.parametrize("text", TEXTS[:4])
@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le", "utf-8"])
@pytest.mark.parametrize("marker", [b"UNICODE\0", b"ASCII\0\0\0", b"\0" * 8, b""])
@pytest.mark.parametrize("order", ["<", ">"])
def test_comments_of_other_programs_are_read_in_any_byte_order(text, encoding, marker, order):
    block = tiff(marker + text.encode(encoding), order)
    jpeg = jpeg_bytes(IMAGE, "")
    jpeg = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 8) + b"Exif\0\0" + block + jpeg[2:]
    assert read_infotext(jpeg) == text
    assert read_infotext(webp_with(block)) == text


@pytest.mark.parametrize("mark, encoding", [(b"\xfe\xff", "utf-16-be"), (b"\xff\xfe", "utf-16-le"), (b"\xef\xbb\xbf", "utf-8")])
def test_a_byte_order_mark_decides(mark, encoding):
    assert user_comment(b"UNICODE\0" + mark + "猫犬".encode(encoding)) == "猫犬"


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le", "utf-8"])
@pytest.mark.parametrize("text", ["美丽的风景,山水画", "a cat", "🐈 🐕", "кошка и собака"])
def test_a_prompt_without_fields_is_read_in_any_byte_order(text, encoding):
    assert user_comment(b"UNICODE\0" + text.encode(encoding)) == text


@pytest.mark.parametrize("text", TEXTS[:4])
def test_all_three_kinds_of_png_text_are_read(text):
    utf8 = text.encode()
    assert read_infotext(png_with(chunk(b"iTXt", b"parameters\0\0\0\0\0" + utf8))) == text
    assert read_infotext(png_with(chunk(b"iTXt", b"parameters\0\1\0en\0Parameter\0" + zlib.compress(utf8)))) == text
    assert read_infotext(png_with(chunk(b"zTXt", b"parameters\0\0" + zlib.compress(utf8)))) == text
    assert read_infotext(png_with(chunk(b"tEXt", b"Software\0other"), chunk(b"tEXt", b"parameters\0" + utf8))) == text


def test_latin_text_of_an_old_png_is_read():
    assert read_infotext(png_with(chunk(b"tEXt", b"parameters\0caf\xe9"))) == "café"


def test_text_behind_the_pixels_and_in_an_exif_chunk_is_read():
    data = png_bytes(IMAGE, "")
    assert read_infotext(data[:-12] + chunk(b"tEXt", b"parameters\0late") + data[-12:]) == "late"
    assert read_infotext(png_with(chunk(b"eXIf", exif_bytes(TEXTS[1])))) == TEXTS[1]


def test_a_bomb_of_text_is_cut_off():
    bomb = chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"a" * (LONGEST + 100_000)))
    assert len(read_infotext(png_with(bomb))) == LONGEST


@pytest.mark.parametrize("write", [png_bytes, jpeg_bytes, webp_bytes])
def test_a_damaged_file_is_no_error(write):
    data = write(IMAGE, TEXTS[1])
    for end in range(len(data)):
        assert isinstance(read_infotext(data[:end]), str)
    for place in range(0, len(data), 3):
        assert isinstance(read_infotext(data[:place] + b"\xff" + data[place + 1 :]), str)


def test_what_is_no_picture_has_no_text():
    assert read_infotext(b"") == read_infotext(b"hello") == read_infotext(b"GIF89a") == ""
