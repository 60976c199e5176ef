"""InvokeAI: "invokeai_metadata" (3.0 and later), "sd-metadata" (2.x), and "Dream", the command line of its beginnings."""

import re
import shlex

from .texts import name_of, number, parsed, sampler_of, size, with_loras, words, written


def read_invoke(image):
    told = image.info
    if said := parsed(told.get("invokeai_metadata")):
        return of_metadata(said)
    if said := parsed(told.get("sd-metadata")):
        return of_sd_metadata(said)
    return of_dream(told["Dream"]) if isinstance(told.get("Dream"), str) else ""


def of_metadata(said):
    scheduler = words(said.get("scheduler"))
    skipped = said.get("clip_skip")
    fields = {
        "Steps": number(said.get("steps")),
        **sampling(scheduler),
        "CFG scale": number(said.get("cfg_scale")),
        "Seed": number(said.get("seed")),
        "Size": size(said.get("width"), said.get("height")),
        "Model": model_name(said.get("model")),
        "Clip skip": str(skipped + 1) if isinstance(skipped, int) and 0 < skipped < 12 else "",  # theirs counts from 0
        "RNG": "CPU" if said.get("rand_device") == "cpu" else "",
        "Version": f"InvokeAI {words(said.get('app_version'))}".strip(),
    }
    loras = said.get("loras") if isinstance(said.get("loras"), list) else []
    named = [(model_name(one.get("model", one.get("lora"))), number(one.get("weight"))) for one in loras if isinstance(one, dict)]
    return written(with_loras(words(said.get("positive_prompt")), named), words(said.get("negative_prompt")), fields)


def model_name(model):
    """A model is named by text, or by an object of one of several versions."""
    if isinstance(model, dict):
        model = model.get("name", model.get("model_name", model.get("key")))
    return name_of(model)


def sampling(name):
    """Theirs says the schedule at the end of the sampler's name: dpmpp_2m_k."""
    plain, is_karras = (name[:-2], True) if name.endswith("_k") else (name, False)
    return {"Sampler": sampler_of(plain), "Schedule type": "Karras" if is_karras else ""}


def of_sd_metadata(said):
    image = said.get("image")
    if not isinstance(image, dict):
        return ""
    prompt = image.get("prompt")
    if isinstance(prompt, list):
        prompt = " ".join(words(one.get("prompt")) for one in prompt if isinstance(one, dict))
    positive, negative = parted(words(prompt))
    fields = {
        "Steps": number(image.get("steps")),
        "Sampler": sampler_of(image.get("sampler")),
        "CFG scale": number(image.get("cfg_scale")),
        "Seed": number(image.get("seed")),
        "Size": size(image.get("width"), image.get("height")),
        "Model hash": words(said.get("model_hash"))[:10],
        "Model": name_of(said.get("model_weights")),
        "Version": words(said.get("app_version")) and f"InvokeAI {words(said['app_version'])}",
    }
    return written(positive, negative, fields)


def of_dream(line):
    """'"a prompt" -s 50 -S 123 -W 512 -H 512 -C 7.5 -A k_lms'"""
    try:
        parts = shlex.split(line[:20_000])
    except ValueError:
        return ""
    prompt = " ".join(parts[: next((place for place, part in enumerate(parts) if re.match(r"-[A-Za-z]", part)), len(parts))])
    values, letter = {}, ""
    for part in parts:
        if found := re.fullmatch(r"-([sSWHCA])(.*)", part):
            letter, rest = found[1], found[2]
            values[letter] = rest
        elif letter and not values[letter]:
            values[letter] = part
    positive, negative = parted(prompt)
    fields = {
        "Steps": number(values.get("s")), "Sampler": sampler_of(values.get("A")), "CFG scale": number(values.get("C")),
        "Seed": number(values.get("S")), "Size": size(values.get("W"), values.get("H")), "Version": "InvokeAI",
    }  # fmt: skip
    return written(positive, negative, fields) if "S" in values else ""


def parted(prompt):
    """Up to 2.x, what stood in square brackets was the negative prompt."""
    negative = ", ".join(part.strip() for part in re.findall(r"\[([^\[\]]*)\]", prompt))
    return " ".join(re.sub(r"\[[^\[\]]*\]", " ", prompt).split()), negative
