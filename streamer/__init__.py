"""Stylize live video with a neural style: WebRTC in, a ring of Ray actors, and back in order."""

__version__ = "0.1.0"
