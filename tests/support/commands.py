"""The type of the `streamer` fixture."""

from collections.abc import Callable

Command = Callable[..., tuple[int, str, str]]
