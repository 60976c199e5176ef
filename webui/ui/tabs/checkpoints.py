"""The Checkpoints tab: what there is, what is in memory, and what the user says of each. assets/checkpoints.js fills it from
/api/v1/checkpoints, so that opening the page costs nothing for it.

Names of files, and what other programs wrote beside them, are strangers' text: script brings them in as text alone.
"""

from __future__ import annotations

from html import escape

from webui.ui import icons
from webui.ui.controls import Controls
from webui.ui.header import Header
from webui.ui.markup import button, html
from webui.ui.quiet_gradio import gr
from webui.workspace.app import App

HEAD = f"""
<header class="page-top"><div><h2>Checkpoints</h2><p class="hint" role="status" data-part="count"></p></div>
  {button("Look again", "refresh", "soft", data_do="checkpoints_refresh", data_part="refresh")}</header>
<div data-part="memory"></div>
<div class="filters" data-part="filters">
  <label class="search">{icons.svg("search")}<input type="search" data-part="search" placeholder="Search"
    aria-label="Search names and notes" autocomplete="off" spellcheck="false"></label>
  <select class="pick" data-part="families" aria-label="Family"></select></div>"""
BAR = """
<template data-part="bar"><section class="memory-card">
  <div class="memory-row"><h3 data-part="label"></h3><span class="hint" data-part="words"></span></div>
  <div class="meter" role="img" data-part="meter"></div><ul class="legend" data-part="legend"></ul></section></template>"""
CARD = f"""
<template data-part="card"><li class="card">
  <div class="card-picture"><img data-part="picture" alt="" loading="lazy" decoding="async" hidden></div>
  <div class="card-text">
    <div class="card-title"><button type="button" class="card-name" data-do="checkpoint_open" data-part="name"></button>
      <span class="badge" data-part="family"></span></div>
    <p class="card-about" data-part="about"></p>
    <p class="problem" data-part="problem">{icons.svg("alert")}<span data-part="error"></span></p>
    <div class="card-foot"><span class="state" data-part="state"></span><span class="hint" data-part="facts"></span>
      <span class="spring"></span>
      {button("", "pin", title="Keep in memory", data_do="checkpoint_pin", data_part="pin")}
      {button("", "load", title="Load into memory", data_do="checkpoint_load", data_part="load")}
      {button("", "unload", title="Take out of memory", data_do="checkpoint_unload", data_part="unload")}
      {button("Use", "check", "soft", data_do="checkpoint_use", data_part="use")}</div>
    <p class="card-note" role="status" data-part="note"></p>
  </div></li></template>"""
NONE = """<template data-part="none"><div class="empty"><h2>No checkpoint yet</h2>
<p>Put .safetensors files into models/Stable-diffusion; they appear here by themselves.</p>
<p>Or start with <code>--models-dir DIR</code>, the folder of A1111, Forge or ComfyUI.</p></div></template>
<template data-part="nomatch"><div class="empty"><h2>No checkpoint matches</h2>
<p>Try fewer words, or another family.</p></div></template>"""


def line(name: str, label: str, control: str) -> str:
    return f'<div class="own-line"><label for="checkpoint_own_{name}">{escape(label)}</label>{control}</div>'


def number(name: str, label: str, least: float, most: float, step: str = "1") -> str:
    field = f'<input type="number" id="checkpoint_own_{name}" name="{name}" min="{least}" max="{most}" step="{step}">'
    return line(name, label, field)


def words(name: str, label: str) -> str:
    field = f'<textarea id="checkpoint_own_{name}" name="{name}" rows="2" maxlength="2000" placeholder="nothing"></textarea>'
    return line(name, label, field)


def menu(name: str, label: str) -> str:
    return line(name, label, f'<select class="pick" id="checkpoint_own_{name}" name="{name}"></select>')


FORM = f"""
<form data-part="form" class="own-form" novalidate><fieldset data-part="fields">
  <label for="checkpoint_notes"><h3>Notes</h3></label>
  <textarea id="checkpoint_notes" name="notes" rows="4" maxlength="10000"
    placeholder="What it is good for, where it is from"></textarea>
  <h3>When it is chosen on this page</h3>
  <p class="hint">What is left open is its family's own.</p>
  <div class="own-grid">{menu("sampler", "Sampler")}{menu("schedule", "Schedule")}
  {number("steps", "Steps", 1, 1000)}{number("guidance", "Guidance", 0, 100, "any")}
  {number("width", "Width", 8, 16384)}{number("height", "Height", 8, 16384)}</div>
  {words("prompt", "Added to the prompt")}{words("negative_prompt", "Added to the negative")}
  </fieldset><div class="own-foot"><span class="spring" role="status" data-part="saved"></span>
  {button("Save", "check", "soft", data_do="checkpoint_save", data_part="save")}</div></form>"""
DETAILS = f"""
<dialog class="details" id="checkpoint_details" aria-labelledby="checkpoint_details_name">
  <header><h2 id="checkpoint_details_name" data-part="name"></h2><span class="badge" data-part="family"></span>
    <span class="spring"></span>{button("", "close", title="Close", data_do="checkpoint_close")}</header>
  <div class="details-body"><div class="details-about">
    <div class="card-picture"><img data-part="picture" alt="" hidden></div>
    <p class="problem" data-part="problem">{icons.svg("alert")}<span data-part="error"></span></p>
    <p data-part="about"></p><dl class="facts" data-part="facts"></dl>
    <div data-part="beside"><h3 data-part="file"></h3><p class="beside" data-part="text"></p></div>
  </div>{FORM}</div></dialog>"""


def build(_app: App, _header: Header) -> Controls:
    with gr.Column(elem_classes="page wide", min_width=0):
        html(
            f'{HEAD}{BAR}{CARD}{NONE}<div data-part="list"></div>{DETAILS}',
            elem_id="checkpoints_list",
            js_on_load="LW.checkpoints.mount(element)",
        )
    return {}
