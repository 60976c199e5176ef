"""Installing on the Extensions tab: a line for where from, what it asks for with a yes and a no, what came of it. Filled by
assets/installing.js from /api/v1/extensions/changes; words of an extension come in as text alone.
"""

from __future__ import annotations

from webui.ui.markup import button

SCRIPT = "installing.js"
STYLE = "installing.css"

PANEL = f"""
<div class="install">
  <div class="install-line" data-part="line">
    <input type="text" data-part="source" aria-label="Install an extension from" maxlength="2000" spellcheck="false"
      autocomplete="off" autocapitalize="none" placeholder="Git address, zip, folder or package">
    {button("Install …", "save", "soft", data_do="installfrom", data_part="begin")}</div>
  <p class="hint" data-part="locked" hidden></p>
  <p class="hint bad" role="alert" data-part="refusal" hidden></p>
  <div class="install-change" role="status" data-part="change"></div>
  <ol class="jobs install-waiting" data-part="waiting" aria-label="Changed since the program was started" hidden></ol>
</div>
<template data-part="asking"><div class="install-card" tabindex="-1">
  <p class="extension-name"><strong data-part="name"></strong> <span class="hint" data-part="version"></span></p>
  <p data-part="description"></p>
  <dl class="facts" data-part="facts"></dl>
  <p class="hint">An extension is a program: it can do whatever you can do on this machine. Nothing of it has run yet.</p>
  <p class="extension-note" data-part="changed" hidden>Its folder was changed since it came; as it is now, it is kept for
    rolling back.</p>
  <div class="install-tools">{button("Install", "check", "primary", data_do="installyes", data_part="yes")}
    {button("Cancel", "close", "soft", data_do="installno")}</div></div></template>
<template data-part="working"><div class="install-card working">
  <p data-part="doing"></p>{button("Cancel", "close", "soft", data_do="installno")}</div></template>
<template data-part="ended"><div class="install-card ended">
  <p data-part="outcome"></p>{button("", "close", title="Close", data_do="installclose")}</div></template>
<template data-part="entry"><li class="job extension"><div class="extension-text">
  <p class="extension-name"><strong data-part="name"></strong> <span class="hint" data-part="version"></span></p>
  <p class="extension-note" data-part="entrynote"></p><div class="install-tools" data-part="tools"></div></div></li></template>
<template data-part="tools">{button("Update", "reuse", data_do="extensionupdate")}
  {button("Roll back", "undo", data_do="extensionback", data_part="back")}
  {button("Remove", "close", data_do="extensionaway", data_part="away")}</template>
<template data-part="sure"><span class="install-sure" data-part="words"></span>
  {button("", "check", "soft", title="Yes", data_do="extensionsure", data_part="sure")}
  {button("Keep it", "close", data_do="extensionkeep", data_part="keep")}</template>"""
"""The templates named tools and entry are used in the list of extensions, too."""
