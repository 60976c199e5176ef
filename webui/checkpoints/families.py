"""The families that are built in: rows of data. Where a family differs, it differs here.

Numbers are those of the releases' own configurations. Steps, guidance and sampler are what a user gets who asks for
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from webui.contract import hookimpl
from webui.contract.parts import Encoder, Family

WORDS = ("prompt", "negative_prompt")
IMAGE = ("image", "strength")
BERT = Encoder("text", "bert", "cond_stage_model.transformer.")
CLIP_L = Encoder("text", "clip", "cond_stage_model.transformer.")
# SD 2 takes the last layer but one, through the final norm
CLIP_H = Encoder("text", "openclip", "cond_stage_model.model.", layer=-2)
# a widely used linear fit of the latents to colours, in [-1, 1] for latents as the network sees them
SD_COLOURS = ((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473))

# ---------------------------------------------------------------- Stable Diffusion 1

SD1 = Family(
    name="sd1",
    label="SD 1",
    prediction="eps",
    conditioners=("text",),
    native_size=512,
    steps=20,
    guidance=7.0,
    sampler="DPM++ 2M",
    encoders=(CLIP_L,),
    heads=8,
    inputs=(*WORDS, *IMAGE),
    preview=SD_COLOURS,
    about="Stable Diffusion 1.1 to 1.5 and what was made from them",
)
POCKET = replace(
    SD1,
    name="pocket",
    label="Pocket",
    native_size=128,
    steps=30,
    guidance=2.4,
    sampler="Euler a",  # its fresh noise mends outlines on the way; docs/pocket.md compares
    schedule="Karras",
    context_width=96,
    network_width=48,
    decoder_width=16,
    preview=None,
    about="The small checkpoint that comes with the program",
)
POCKET_COLUMNS = ("native_size", "steps", "guidance", "sampler", "schedule", "context_width", "network_width", "decoder_width")
POCKET_SIZES = {column: getattr(POCKET, column) for column in POCKET_COLUMNS} | {"preview": None}
SD1_INPAINT = replace(
    SD1,
    name="sd1-inpaint",
    label="SD 1 inpainting",
    conditioners=("text", "inpaint"),
    in_channels=9,
    inputs=(*WORDS, *IMAGE, "mask"),
    needs=("image",),
    does="inpaint",
    about="Stable Diffusion 1.5 inpainting: sees the picture around the mask",
)
POCKET_INPAINT = replace(
    SD1_INPAINT,
    **POCKET_SIZES,
    name="pocket-inpaint",
    label="Pocket inpainting",
    about="The small checkpoint that comes with the program, for painting into a picture",
)

# ---------------------------------------------------------------- Stable Diffusion 2

SD2 = replace(
    SD1,
    name="sd2",
    label="SD 2",
    encoders=(CLIP_H,),
    context_width=1024,
    heads=None,
    head_width=64,
    about="Stable Diffusion 2.0 and 2.1 base, 512 pixels",
)
SD2_V = replace(
    SD2,
    name="sd2-v",
    label="SD 2 (v)",
    prediction="v",
    native_size=768,
    hints=("768", "-v-", "_v_", "v-ema"),
    about="Stable Diffusion 2.0 and 2.1 for 768 pixels, which predicts v",
)
SD2_INPAINT = replace(
    SD2,
    name="sd2-inpaint",
    label="SD 2 inpainting",
    conditioners=SD1_INPAINT.conditioners,
    in_channels=9,
    inputs=SD1_INPAINT.inputs,
    needs=SD1_INPAINT.needs,
    does="inpaint",
    about="Stable Diffusion 2 inpainting",
)
SD2_DEPTH = replace(
    SD2,
    name="sd2-depth",
    label="SD 2 depth",
    conditioners=("text", "depth"),
    in_channels=5,
    inputs=(*WORDS, *IMAGE, "depth"),
    needs=("depth|image",),
    does="depth",
    about="Stable Diffusion 2 depth: keeps the shapes of a picture, or of a depth map",
)
POCKET_DEPTH = replace(
    SD2_DEPTH,
    **POCKET_SIZES,
    name="pocket-depth",
    label="Pocket depth",
    encoders=POCKET.encoders,
    heads=POCKET.heads,
    head_width=None,
    about="The small checkpoint that comes with the program, for pictures that keep the shapes of a picture or of a depth map",
)
SD_X4 = replace(
    SD2,
    name="sd-x4",
    label="SD x4 upscaler",
    prediction="v",
    conditioners=("text", "noised-low-res"),
    native_size=512,
    steps=30,
    guidance=9.0,
    in_channels=7,
    latent_factor=4,
    latent_scale=0.08333,
    vector="index",
    heads=8,
    head_width=None,
    noise_levels=350,
    noise_level=20,
    input_schedule="linear:0.0001:0.02",
    network_width=256,
    beta_start=0.0001,
    beta_end=0.02,
    inputs=(*WORDS, "image", "noise_level"),
    needs=("image",),
    enlarges=4,
    does="upscale",
    preview=None,
    configuration={"disable_self_attentions": (True, True, True, False)},
    network_tensors=15.4,
    about="Stable Diffusion x4 upscaler: enlarges a picture, guided by words",
)
POCKET_X4 = replace(
    SD_X4,
    name="pocket-x4",
    label="Pocket x4 upscaler",
    encoders=POCKET.encoders,
    native_size=256,
    steps=1,
    guidance=1.0,
    sampler="Euler",
    noise_level=0,
    context_width=96,
    network_width=48,
    decoder_width=16,
    decoder_tensors=7.55,
    configuration={},
    about="The small upscaler that comes with the program: enlarges a picture four times",
)
UNCLIP_H = replace(
    SD2_V,
    name="unclip-h",
    label="SD unCLIP H",
    conditioners=("text", "image-embedding"),
    encoders=(CLIP_H, Encoder("image", "openclip-image", "embedder.model.")),
    vector="projection",
    guidance=10.0,
    noise_levels=1000,
    input_schedule="cosine",
    inputs=(*WORDS, "image", "second_image", "mix", "noise_level"),
    hints=(),
    does="img2img",
    about="Stable unCLIP: varies a picture, or mixes two, guided by words",
)
UNCLIP_L = replace(
    UNCLIP_H,
    name="unclip-l",
    label="SD unCLIP L",
    encoders=(CLIP_H, Encoder("image", "clip-image", "embedder.model.")),
)

# ---------------------------------------------------------------- SDXL

BUCKETS = tuple(
    (64 * width, 64 * height)
    for width, height in (
        (8, 32), (8, 31), (8, 30), (8, 29), (9, 28), (9, 27), (9, 26), (10, 25), (10, 24), (11, 23), (11, 22), (11, 21),
        (12, 21), (12, 20), (13, 19), (13, 18), (14, 18), (14, 17), (15, 17), (15, 16), (16, 16), (16, 15), (17, 15),
        (17, 14), (18, 14), (18, 13), (19, 13), (20, 12), (21, 12), (22, 11), (23, 11), (24, 10), (25, 10), (26, 9),
        (27, 9), (28, 9), (29, 8), (30, 8), (31, 8), (32, 8),
    )
)  # fmt: skip
"""(width, height) that SDXL was trained on (Podell et al. 2023, arXiv:2307.01952, appendix I)."""
SIZES = ("original_width", "original_height", "crop_left", "crop_top", "target_width", "target_height")
SDXL = replace(
    SD2,
    name="sdxl",
    label="SDXL",
    conditioners=("text", "sizes"),
    native_size=1024,
    steps=30,
    guidance=6.0,
    encoders=(
        Encoder("text", "clip", "conditioner.embedders.0.transformer.", layer=-2, has_norm=False),
        Encoder("text_2", "openclip", "conditioner.embedders.1.model.", layer=-2, has_norm=False, is_pooled=True),
    ),
    latent_scale=0.13025,
    vector="projection",
    size_numbers=("original_size", "crop", "target_size"),
    rounds_sigma=True,
    zeros_empty_negative=True,
    context_width=2048,
    inputs=(*WORDS, *IMAGE, "second_prompt", "second_negative_prompt", "refiner", "refiner_switch", *SIZES),
    sizes=BUCKETS,
    preview=None,
    network_tensors=15.9,
    about="Stable Diffusion XL base",
)
SDXL_INPAINT = replace(
    SDXL,
    name="sdxl-inpaint",
    label="SDXL inpainting",
    conditioners=("text", "sizes", "inpaint"),
    in_channels=9,
    inputs=(*WORDS, *IMAGE, "mask", "second_prompt", "second_negative_prompt", *SIZES),
    needs=("image",),
    does="inpaint",
    about="Stable Diffusion XL inpainting",
)
SDXL_REFINER = replace(
    SDXL,
    name="sdxl-refiner",
    label="SDXL refiner",
    encoders=(Encoder("text", "openclip", "conditioner.embedders.0.model.", layer=-2, has_norm=False, is_pooled=True),),
    size_numbers=("original_size", "crop", "aesthetic_score"),
    zeros_empty_negative=False,
    context_width=1280,
    network_width=384,
    inputs=(*WORDS, *IMAGE, "aesthetic_score", "negative_aesthetic_score", *SIZES[:4]),
    does="refine",
    about="Stable Diffusion XL refiner: takes over for the last steps, or repaints a picture",
)
TURBO = {"steps": 1, "guidance": 0.0, "sampler": "Euler a", "schedule": "SD Turbo", "native_size": 512, "sizes": ()}
SDXL_TURBO = replace(
    SDXL,
    **TURBO,  # type: ignore[arg-type]
    distilled_from="sdxl",
    name="sdxl-turbo",
    label="SDXL Turbo",
    inputs=(*WORDS, *IMAGE, "second_prompt", "second_negative_prompt", *SIZES),
    hints=("turbo",),
    about="SDXL Turbo: one to four steps, without guidance",
)
SD_TURBO = replace(
    SD2,
    **TURBO,  # type: ignore[arg-type]
    distilled_from="sd2",
    name="sd-turbo",
    label="SD Turbo",
    encoders=(replace(CLIP_H, prefix="conditioner.embedders.0.model."),),
    rounds_sigma=True,
    hints=("turbo",),
    about="SD Turbo: one to four steps, without guidance",
)
POCKET_TURBO = replace(
    POCKET,
    **(TURBO | {"native_size": 128, "schedule": "Turbo"}),  # type: ignore[arg-type]
    distilled_from="pocket",
    name="pocket-turbo",
    label="Pocket Turbo",
    hints=("turbo",),
    about="The small checkpoint that comes with the program, distilled: one to four steps, without guidance",
)

# ---------------------------------------------------------------- Latent Diffusion, 2022

LDM_TEXT = replace(
    SD1,
    name="ldm-text",
    label="LDM text",
    native_size=256,
    steps=50,
    guidance=5.0,
    sampler="DDIM",
    encoders=(BERT,),
    context_width=1280,
    preview=None,
    about="Latent Diffusion text-to-image, 1.4 billion parameters",
)
LDM_CLASS = replace(
    LDM_TEXT,
    name="ldm-class",
    label="LDM class",
    conditioners=("class",),
    guidance=3.0,
    encoders=(Encoder("class", "class", "cond_stage_model."),),
    autoencoder="vq",
    in_channels=3,
    latent_channels=3,
    latent_factor=4,
    latent_scale=1.0,
    heads=1,
    context_width=512,
    network_width=192,
    beta_start=0.0015,
    beta_end=0.0195,
    inputs=("class_label", *IMAGE),
    network_tensors=15.6,
    about="Latent Diffusion for the thousand classes of ImageNet",
)
LDM_UNCOND = replace(
    LDM_CLASS,
    name="ldm-uncond",
    label="LDM unconditional",
    conditioners=(),
    guidance=1.0,
    encoders=(),
    network="plain",
    heads=None,
    head_width=32,
    context_width=0,
    network_width=224,
    inputs=IMAGE,
    network_tensors=14.1,
    about="Latent Diffusion without conditioning: faces, bedrooms, churches",
)
LDM_SR = replace(
    LDM_UNCOND,
    name="ldm-sr",
    label="LDM super-resolution",
    conditioners=("low-res",),
    in_channels=6,
    network_width=160,
    beta_end=0.0155,
    inputs=("image",),
    needs=("image",),
    enlarges=4,
    does="upscale",
    about="Latent Diffusion super-resolution: enlarges a picture four times",
)
LDM_INPAINT = replace(
    LDM_UNCOND,
    name="ldm-inpaint",
    label="LDM inpainting",
    conditioners=("ldm-inpaint",),
    in_channels=7,
    native_size=512,
    heads=8,
    head_width=None,
    network_width=256,
    beta_end=0.0205,
    inputs=("image", "mask"),
    needs=("image",),
    does="inpaint",
    about="Latent Diffusion inpainting: removes what is masked, without words",
)
LDM_SEMANTIC = replace(
    LDM_UNCOND,
    name="ldm-semantic",
    label="LDM semantic",
    conditioners=("map",),
    encoders=(Encoder("map", "rescale", "cond_stage_model."),),
    in_channels=6,
    heads=8,
    head_width=None,
    network_width=128,
    beta_end=0.0205,
    inputs=("map",),
    needs=("map",),
    network_tensors=22.1,
    about="Latent Diffusion semantic synthesis: paints a map of labels",
)
LDM_LAYOUT = replace(
    LDM_CLASS,
    name="ldm-layout",
    label="LDM layout",
    conditioners=("boxes",),
    guidance=1.0,
    encoders=(Encoder("boxes", "bert", "cond_stage_model.transformer."),),
    heads=None,
    head_width=32,
    network_width=128,
    beta_end=0.0205,
    inputs=("boxes", *IMAGE),
    network_tensors=15.6,
    about="Latent Diffusion layout-to-image: things in their boxes",
)
AUTOENCODER = replace(
    SD1,
    name="autoencoder",
    label="Autoencoder",
    conditioners=(),
    encoders=(),
    network="none",
    latent_scale=1.0,
    inputs=(),
    does="",
    preview=None,
    about="An autoencoder alone: it turns pictures into latents and back, and draws nothing",
)
FAMILIES = (
    SD1, POCKET, SD1_INPAINT, POCKET_INPAINT, SD2, SD2_V, SD2_INPAINT, SD2_DEPTH, POCKET_DEPTH, SD_X4, POCKET_X4,
    UNCLIP_H, UNCLIP_L, SD_TURBO, POCKET_TURBO, SDXL, SDXL_INPAINT, SDXL_REFINER, SDXL_TURBO,
    LDM_TEXT, LDM_CLASS, LDM_UNCOND, LDM_SR, LDM_INPAINT, LDM_SEMANTIC, LDM_LAYOUT, AUTOENCODER,
)  # fmt: skip


@hookimpl
def register_families(register: Callable[[Family], None]) -> None:
    for row in FAMILIES:
        register(row)
