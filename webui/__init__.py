"""Latent WebUI: a web page for latent diffusion on your own machine."""

__version__ = "0.1.0"
