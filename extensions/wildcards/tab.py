"""The Wildcards tab: its files, and a place to try a prompt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from webui.contract.errors import FieldError

from .files import Shelf
from .grammar import Chooser

SEND = """async (name, text) => {
  const place = (name || '').trim().split('/').map(encodeURIComponent).join('/');
  if (!place) return 'Name the wildcard first.';
  const page = location.href.split(/[?#]/)[0].replace(/\\/?$/, '/');
  const answer = await fetch(new URL('extensions/wildcards/files/' + place, page), %s).catch(() => null);
  if (answer && answer.ok) return %s;
  return (answer && (await answer.json().catch(() => ({}))).detail) || 'Not connected.';
}"""
SAVE = SEND % (
    "{ method: 'PUT', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ text }) }",
    "'Saved. Write it as __' + name.trim() + '__'",
)
DELETE = SEND % ("{ method: 'DELETE' }", "'Deleted.'")
"""Through the routes, which are closed to those who may only look."""


def build_tab(shelf: Callable[[], Shelf]) -> None:
    """Components in the open tab. Gradio is there by now, and would be slow to import before."""
    import gradio as gr

    gr.Markdown(
        "## Wildcards\n\n"
        "`__name__` takes a line of the file of that name, `{red|green}` one of several words, `{2$$a|b|c}` two of them: another "
        "choice for each picture, always the same one for the same seed.",
        latex_delimiters=[],
    )
    with gr.Row():
        with gr.Column():
            name = gr.Dropdown(
                shelf().names(), value=None, label="Wildcard", allow_custom_value=True, info="Choose one, or name a new one"
            )
            text = gr.Textbox(
                label="Choices", lines=12, max_lines=24, info="One a line. # begins a comment, 0.5:: in front makes one rarer."
            )
            with gr.Row():
                save, delete = gr.Button("Save"), gr.Button("Delete")
            said = gr.Textbox(show_label=False, container=False, interactive=False)
        with gr.Column():
            prompt = gr.Textbox("a {small|large} __colour__ __shape__", label="Try a prompt", lines=3)
            seed = gr.Number(0, precision=0, label="Seed of the first picture")
            tried = gr.Textbox(label="What five pictures would be drawn from", lines=6, interactive=False)

    def opened(chosen: str | None) -> str:
        return shelf().text(chosen) if chosen in shelf().names() else ""

    def listed(chosen: str | None) -> tuple[Any, str]:
        names = shelf().names()
        return gr.update(choices=names, value=chosen if chosen in names else None), opened(chosen)

    def chosen_lines(words: str, first: float) -> str:
        try:
            return "\n".join(Chooser(shelf().lines, f"{int(first or 0) + i} positive").resolved(words) for i in range(5))
        except FieldError as error:
            return str(error)

    name.input(opened, name, text, show_progress="hidden")
    for button, script in ((save, SAVE), (delete, DELETE)):
        sent = button.click(None, [name, text], said, js=script, show_progress="hidden")
        sent.then(listed, name, [name, text], show_progress="hidden")
    gr.on([prompt.change, seed.change], chosen_lines, [prompt, seed], tried, show_progress="hidden")
    tried.value = chosen_lines(prompt.value, 0)
