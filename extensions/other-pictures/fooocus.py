"""Fooocus: JSON where infotext stands elsewhere, in PNG's chunk "parameters" or in the user comment."""

import re

from .texts import comment_of, name_of, number, parsed, sampler_of, schedule_of, size, with_loras, words, written


def read_fooocus(image):
    said = parsed(image.info.get("parameters")) or parsed(comment_of(image))
    if "prompt" not in said or not ("metadata_scheme" in said or "performance" in said or "base_model" in said):
        return ""
    numbers = re.findall(r"\d{1,6}", str(said.get("resolution", ""))[:100])
    loras = said.get("loras") if isinstance(said.get("loras"), list) else []
    named = [(name_of(one[0]), number(one[1])) for one in loras if isinstance(one, list) and len(one) > 1]
    fields = {
        "Steps": number(said.get("steps")),
        "Sampler": sampler_of(said.get("sampler")),
        "Schedule type": schedule_of(said.get("scheduler")),
        "CFG scale": number(said.get("guidance_scale")),
        "Seed": number(said.get("seed")),
        "Size": size(*numbers[:2]) if len(numbers) >= 2 else "",
        "Model hash": words(said.get("base_model_hash")),
        "Model": name_of(said.get("base_model")),
        "Fooocus styles": ", ".join(map(str, said["styles"]))
        if isinstance(said.get("styles"), list)
        else words(said.get("styles")),
        "RNG": "CPU",
        "Version": words(said.get("version")) or "Fooocus",
    }
    return written(with_loras(words(said["prompt"]), named), words(said.get("negative_prompt")), fields)
