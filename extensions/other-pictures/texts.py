"""What all readers share: the texts in a picture, checked values, and an infotext of them."""

import json

from webui.contract import infotext
from webui.workspace.pictures import user_comment

EXIF, USER_COMMENT = 0x8769, 0x9286
LONGEST = 2_000_000
"""Letters of JSON that are looked at."""
SAMPLERS = {
    "euler": "Euler", "euler_ancestral": "Euler a", "euler_a": "Euler a", "heun": "Heun", "dpm_2": "DPM2", "kdpm_2": "DPM2",
    "dpm_2_ancestral": "DPM2 a", "kdpm_2_a": "DPM2 a", "lms": "LMS", "ddim": "DDIM", "plms": "PLMS", "pndm": "PLMS",
    "dpmpp_2s": "DPM++ 2S a", "dpmpp_2s_ancestral": "DPM++ 2S a", "dpmpp_sde": "DPM++ SDE", "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE", "dpmpp_3m_sde": "DPM++ 3M SDE", "uni_pc": "UniPC", "uni_pc_bh2": "UniPC", "unipc": "UniPC",
    "lcm": "LCM", "restart": "Restart",
}  # fmt: skip
SCHEDULES = {
    "karras": "Karras", "exponential": "Exponential", "sgm_uniform": "SGM Uniform", "simple": "Simple", "normal": "Normal",
    "ddim_uniform": "DDIM", "beta": "Beta", "kl_optimal": "KL Optimal", "polyexponential": "Polyexponential", "native": "",
}  # fmt: skip


def parsed(text):
    """A JSON object, or {}."""
    if not isinstance(text, str) or not text.lstrip().startswith("{") or len(text) > LONGEST:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def comment_of(image):
    """The user comment of a picture's EXIF, "" where there is none."""
    data = image.getexif().get_ifd(EXIF).get(USER_COMMENT, b"")
    return user_comment(data) if isinstance(data, bytes) else str(data)


def number(value):
    """A number, or what is written as one, as text; "" for anything else."""
    if isinstance(value, str):
        value = value.strip()
        return value if value.removeprefix("-").replace(".", "", 1).isdecimal() and len(value) < 30 else ""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) > 1e20:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def words(value):
    """A text, or ""."""
    return value.strip() if isinstance(value, str) else ""


def name_of(file):
    """A checkpoint's or LoRA's file as infotext names it: without folder and suffix."""
    name = words(file).replace("\\", "/").rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and suffix.lower() in ("safetensors", "ckpt", "pt", "pth", "bin") else name


def sampler_of(name):
    name = words(name).removeprefix("k_").removesuffix("_gpu")
    return SAMPLERS.get(name, name)


def schedule_of(name):
    name = words(name)
    return SCHEDULES.get(name, name)


def with_loras(prompt, loras):
    """The prompt, behind it the tags of the LoRAs that it does not name itself."""
    tags = (f"<lora:{name}:{weight}>" for name, weight in loras if name and weight)
    return " ".join([prompt, *(tag for tag in tags if tag not in prompt)]).strip()


def written(prompt, negative, fields):
    """An infotext; "" where there is not enough to make a picture of."""
    line = ", ".join(f"{key}: {infotext.quote(value)}" for key, value in fields.items() if value not in ("", None))
    if not prompt and not fields.get("Seed"):
        return ""
    return f"{prompt}\n{f'Negative prompt: {negative}' + chr(10) if negative else ''}{line}".strip()


def size(width, height):
    width, height = number(width), number(height)
    return f"{width}x{height}" if width.isdecimal() and height.isdecimal() else ""
