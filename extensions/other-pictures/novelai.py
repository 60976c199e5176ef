"""NovelAI: the prompt in "Description", the rest as JSON in "Comment"."""

from .texts import number, parsed, sampler_of, schedule_of, size, words, written


def read_novelai(image):
    if image.info.get("Software") != "NovelAI":
        return ""
    said = parsed(image.info.get("Comment"))
    prompt = words(image.info.get("Description")) or words(said.get("prompt"))
    fields = {
        "Steps": number(said.get("steps")),
        "Sampler": sampler_of(said.get("sampler")),
        "Schedule type": schedule_of(said.get("noise_schedule")),
        "CFG scale": number(said.get("scale")),
        "Seed": number(said.get("seed")),
        "Size": size(said.get("width", image.width), said.get("height", image.height)),
        "Version": words(image.info.get("Source")) or "NovelAI",
    }
    return written(prompt, words(said.get("uc")), fields)
