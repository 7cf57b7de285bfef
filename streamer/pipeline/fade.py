"""style control → **fade** → pipeline: the style of a frame taken now, during a cross-fade too."""

from streamer.frame import Style


def mix(a: Style, b: Style, share: float) -> Style:
    """The style `share` (0..1) of the way from `a` to `b`."""
    weights: dict[str, float] = {}
    for style, part in ((a, 1.0 - share), (b, share)):
        for name, weight in style.blend:
            weights[name] = weights.get(name, 0.0) + part * weight
    blend = tuple((name, weight) for name, weight in weights.items() if weight > 0)
    strength = (1.0 - share) * a.strength + share * b.strength
    tone = (1.0 - share) * a.tone + share * b.tone
    return Style(blend, strength, b.preserve_color, b.smooth, tone)


class Fade:
    """The current style, and a timed cross-fade to the next one."""

    def __init__(self, style: Style) -> None:
        self.target = style
        self._start = style
        self._began_at = 0.0
        self._length_s = 0.0

    def to(self, style: Style, length_s: float, now: float) -> None:
        """Head for `style`, from whatever shows at `now`, within `length_s` seconds."""
        self._start = self.at(now)
        self.target, self._began_at, self._length_s = style, now, length_s

    def at(self, now: float) -> Style:
        """The style of a frame taken at `now`."""
        elapsed = now - self._began_at
        if elapsed >= self._length_s:
            return self.target
        return mix(self._start, self.target, elapsed / self._length_s)
