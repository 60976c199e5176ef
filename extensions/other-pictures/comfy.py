"""ComfyUI: the graph that was run, walked back from the picture to its sampler, and from there to prompts, model and size.

PNG: the text chunk "prompt"; WebP and JPEG: an EXIF text "prompt:{...}", or the user comment. Civitai's own pictures have a graph
too, and beside it what the user asked, as "extraMetadata".
"""

from .texts import comment_of, name_of, number, parsed, sampler_of, schedule_of, size, with_loras, words, written

MOST = 5000
"""Nodes of a graph."""
STEPS = 200
"""Nodes that one walk looks at."""
OUTPUTS = ("SaveImage", "PreviewImage", "Image Save", "SaveImageWebsocket")
ON_THE_WAY = ("conditioning", "conditioning_1", "conditioning_to", "base", "cond", "samples", "latent", "latent_image", "image")


def read_comfy(image):
    graph = graph_of(image)
    if not graph:
        return ""
    asked = parsed(graph.get("extraMetadata", "")) if isinstance(graph.get("extraMetadata"), str) else graph.get("extraMetadata")
    if isinstance(asked, dict) and words(asked.get("prompt")):
        return of_civitai(asked, image)
    nodes = {str(key): node for key, node in graph.items() if isinstance(node, dict) and isinstance(node.get("inputs"), dict)}
    return of_graph(nodes) if 0 < len(nodes) <= MOST else ""


def graph_of(image):
    """The run graph of a picture, {} where it has none."""
    if found := parsed(image.info.get("prompt")):
        return found
    texts = [value for value in image.getexif().values() if isinstance(value, str)]
    for text in texts:
        head, _, rest = text.partition(":")
        if head.strip().lower() == "prompt" and (found := parsed(rest)):
            return found
    return parsed(comment_of(image))


def of_civitai(asked, image):
    fields = {
        "Steps": number(asked.get("steps")), "Sampler": words(asked.get("sampler")), "CFG scale": number(asked.get("cfgScale")),
        "Seed": number(asked.get("seed")), "Size": size(*image.size), "Clip skip": number(asked.get("clipSkip")),
        "Version": "ComfyUI",
    }  # fmt: skip
    return written(words(asked["prompt"]), words(asked.get("negativePrompt")), fields)


def of_graph(nodes):
    """The infotext of the pass that began from an empty picture."""
    sampler = first_sampler(nodes)
    if sampler is None:
        return ""
    told, guider = sampler["inputs"], followed(nodes, sampler, "guider") or sampler
    sides = {"positive": "", "negative": ""}
    for side in sides:
        key = side if side in guider["inputs"] else "conditioning" if side == "positive" else ""
        sides[side] = prompt_of(nodes, guider["inputs"].get(key), side)
    schedule, seed = followed(nodes, sampler, "sigmas") or sampler, followed(nodes, sampler, "noise") or sampler
    chosen = followed(nodes, sampler, "sampler") or sampler
    model, loras = model_of(nodes, guider["inputs"].get("model", told.get("model")))
    canvas = source_of(nodes, sampler)
    fields = {
        "Steps": number(literal(nodes, schedule["inputs"].get("steps", told.get("steps")))),
        "Sampler": sampler_of(literal(nodes, chosen["inputs"].get("sampler_name"))),
        "Schedule type": schedule_of(literal(nodes, schedule["inputs"].get("scheduler"))),
        "CFG scale": number(literal(nodes, guider["inputs"].get("cfg", told.get("cfg")))),
        "Seed": number(literal(nodes, seed["inputs"].get("noise_seed", seed["inputs"].get("seed")))),
        "Size": size(*(literal(nodes, canvas.get(key)) for key in ("width", "height"))),
        "Model": model,
        "Version": "ComfyUI",
    }
    return written(with_loras(sides["positive"], loras), sides["negative"], fields)


def is_link(value):
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int) and isinstance(value[1], int)


def target(nodes, value):
    """The node that a link leads to, or None."""
    return nodes.get(str(value[0])) if is_link(value) else None


def followed(nodes, node, key):
    return target(nodes, node["inputs"].get(key))


def is_sampler(node):
    kind, inputs = words(node.get("class_type")), node["inputs"]
    has_latents = "latent_image" in inputs or "samples" in inputs
    return "Sampler" in kind and has_latents and ("positive" in inputs or "guider" in inputs)


def first_sampler(nodes):
    """From the saved picture back to the nearest sampler, then on to the one that began from an empty picture."""
    ends = [node for node in nodes.values() if words(node.get("class_type")) in OUTPUTS]
    found = next((node for end in ends for node in behind(nodes, end) if is_sampler(node)), None)
    found = found or next((node for node in nodes.values() if is_sampler(node)), None)
    for _ in range(STEPS):
        latents = target(nodes, found["inputs"].get("latent_image", found["inputs"].get("samples"))) if found else None
        before = next((node for node in behind(nodes, latents) if is_sampler(node)), None) if latents else None
        if before is None or before is found:
            break
        found = before
    return found


def behind(nodes, start):
    """A node and all that lead to it, the nearest first."""
    seen, waiting = set(), [start]
    while waiting and len(seen) < STEPS:
        node = waiting.pop(0)
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        waiting += [found for value in node["inputs"].values() if (found := target(nodes, value)) is not None]


def prompt_of(nodes, value, side, seen=()):
    """The words of a conditioning, through whatever changes it on the way. No node is looked at twice, so a circle ends."""
    node, seen = target(nodes, value), seen or set()
    if node is None or id(node) in seen:
        return ""
    seen.add(id(node))
    inputs = node["inputs"]
    if "text_g" in inputs or "text_l" in inputs:
        texts = [words(literal(nodes, inputs.get(key))) for key in ("text_g", "text_l")]
        return "\n".join(dict.fromkeys(filter(None, texts)))
    for key in ("text", "prompt", "string", "t5xxl"):
        if key in inputs and (text := words(literal(nodes, inputs[key]))):
            return text
    if side in inputs:  # control networks: both sides come in and go out
        return prompt_of(nodes, inputs["negative" if "negative" in inputs and value[1] == 1 else side], side, seen)
    if "Zero" in words(node.get("class_type")):
        return ""
    joined = [prompt_of(nodes, inputs[key], side, seen) for key in ("conditioning_1", "conditioning_2") if key in inputs]
    if any(joined):
        return " AND ".join(filter(None, joined))
    return next((text for key in ON_THE_WAY if (text := prompt_of(nodes, inputs.get(key), side, seen))), "")


def literal(nodes, value, seen=()):
    """A value, through nodes that only hold one."""
    node, seen = target(nodes, value), seen or set()
    if node is None or id(node) in seen or len(seen) > STEPS:
        return None if is_link(value) else value
    seen.add(id(node))
    inputs = node["inputs"]
    for key in ("value", "seed", "noise_seed", "int", "float", "number", "text", "string", "string_a", "Text", "prompt"):
        if key in inputs:
            return literal(nodes, inputs[key], seen)
    return next((found for one in inputs.values() if (found := literal(nodes, one, seen)) is not None), None)


def model_of(nodes, value):
    """(name of the checkpoint, [(LoRA, weight)]) on the way to it."""
    loras = []
    for _ in range(STEPS):
        node = target(nodes, value)
        if node is None:
            break
        inputs = node["inputs"]
        if words(inputs.get("lora_name")):
            loras.append((name_of(inputs["lora_name"]), number(literal(nodes, inputs.get("strength_model")))))
        for key in ("ckpt_name", "unet_name", "model_name", "base_ckpt_name"):
            if name := name_of(literal(nodes, inputs.get(key))):
                return name, loras[::-1]
        value = inputs.get("model", inputs.get("model1", inputs.get("base_model")))
    return "", loras[::-1]


def source_of(nodes, sampler):
    """The inputs of the node that says how large the picture is."""
    start = target(nodes, sampler["inputs"].get("latent_image", sampler["inputs"].get("samples")))
    sized = (
        (node for node in behind(nodes, start) if "width" in node["inputs"] and "height" in node["inputs"]) if start else iter(())
    )
    return next(sized, {"inputs": {}})["inputs"]
