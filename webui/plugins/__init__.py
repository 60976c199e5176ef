"""Finds extensions, asks every plugin separately, fills the registries.

extension   what an extension says of itself (extension.toml)
offers      what comes in through the hooks, and what is wrong with it
containing  what an extension must not change, and how long it may take
loading     all of them, one by one
checking    one of them, for its author: all that is wrong with it
making      a new one that works
command     webui extensions

installing       puts extensions in their place, updates them, takes them back and away
install_command  the same, typed
sources          where from, read from what was typed
fetching         git and downloads; unpacking: zips and folders; packages: wheels and pip
requirements     which packages, against what is there
lock             extensions.lock: what is installed
"""

from __future__ import annotations

import pluggy

from webui.contract.own import Own
from webui.contract.parts import Parts
from webui.plugins.extension import Extension
from webui.plugins.loading import find_extensions, load_extensions
from webui.plugins.offers import manager, offers_of, take_in

__all__ = ["Extension", "fill", "find_extensions", "load_extensions", "manager"]


def fill(parts: Parts, plugins: pluggy.PluginManager, name: str, own: Own) -> None:
    """Ask the plugin of that name, a built-in one, for its parts.

    Raises:
        PluginError: it raised, or took a name that is taken. Nothing of it stays.
    """
    take_in(parts, offers_of(plugins.get_plugin(name), name, own), name)
