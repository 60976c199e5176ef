"""Readers of pictures that other programs made: what they say of themselves, as an infotext.

Only what has a place here is taken over. What a picture says is a stranger's: each reader checks what it finds, looks at no
node of a graph twice, and answers "" where it does not know the picture.
"""

from webui.contract import hookimpl

from .comfy import read_comfy
from .fooocus import read_fooocus
from .invoke import read_invoke
from .novelai import read_novelai


@hookimpl
def register_metadata_readers(register):
    register("ComfyUI", read_comfy)
    register("InvokeAI", read_invoke)
    register("Fooocus", read_fooocus)
    register("NovelAI", read_novelai)
