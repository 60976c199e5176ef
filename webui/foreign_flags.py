"""Flags that users of other web UIs type and that have no meaning here: accepted with a word, or without one."""

from __future__ import annotations

from collections.abc import Mapping

SILENT = ""
MEMORY = "memory is managed by itself"
ARITHMETIC = "the arithmetic is chosen by measuring"
ATTENTION = "the quickest attention is chosen by itself"
DATA = "it has its place in the data folder, see --data-dir"
SAFETY = "it would open a door that stays shut here"
DEAD = "it has no meaning any more"
ACCEPTED: Mapping[str, tuple[str, bool]] = {
    flag.rstrip("="): (reason, flag.endswith("="))
    for reason, flags in {
        SILENT: (
            "--api --skip-install --skip-torch-cuda-test --skip-python-version-check --skip-version-check "
            "--skip-prepare-environment"
        ),
        MEMORY: "--lowram --always-batch-cond-uncond --medvram-opt --always-gpu --always-high-vram --always-normal-vram",
        ARITHMETIC: "--no-half --no-half-vae --precision= --upcast-sampling --opt-channelslast --all-in-fp16 --all-in-fp32",
        ATTENTION: (
            "--xformers --force-enable-xformers --opt-sdp-attention --opt-sdp-no-mem-attention --opt-split-attention "
            "--opt-split-attention-v1 --opt-split-attention-invokeai --opt-sub-quad-attention --disable-opt-split-attention "
            "--sub-quad-q-chunk-size= --sub-quad-kv-chunk-size= --sub-quad-chunk-threshold= --opt-scaled-attention"
        ),
        DATA: (
            "--styles-file= --ui-config-file= --ui-settings-file= --localizations-dir= --gfpgan-models-path= "
            "--codeformer-models-path="
        ),
        SAFETY: (
            "--allow-code --disable-safe-unpickle --enable-insecure-extension-access --disable-tls-verify --gradio-allowed-path="
        ),
        "a file of that name beside the checkpoint does it": "--config=",
        "the autoencoder is chosen in the page": "--vae-path=",
        "a tunnel is opened with --share": "--ngrok= --ngrok-region= --ngrok-options=",
        "a picture that is not finite is found and said": "--disable-nan-check",
        "nothing is downloaded unasked": "--no-download-sd-model --do-not-download-clip",
        "extensions are switched off one by one in the page": "--disable-extra-extensions",
        "settings can be changed by whoever is logged in": (
            "--freeze-settings --freeze-settings-in-sections= --freeze-specific-settings="
        ),
        "paths are never shown in the page": "--hide-ui-dir-config",
        "the program is ended where it was started": "--api-server-stop --test-server",
        "nothing of this is written": "--dump-sysinfo --api-log --no-prompt-history",
        DEAD: (
            "--deepdanbooru --gradio-queue --no-gradio-queue --gradio-debug --gradio-img2img-tool= --gradio-inpaint-tool= "
            "--enable-console-prompts --disable-console-progressbars --unload-gfpgan --show-negative-prompt --administrator "
            "--lyco-dir= --update-all-extensions --update-check --use-ipex --pin-shared-memory --cuda-malloc --cuda-stream "
            "--reinstall-xformers --reinstall-torch"
        ),
    }.items()
    for flag in flags.split()
}
"""Flags of the convention without a meaning here: name to (why, whether a value follows)."""
