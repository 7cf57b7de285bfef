"""What can go wrong, as one tree.

StreamerError            shown by the command line as one line, exit code 1
├── UsageError           the user asked for something that cannot be: exit code 2
│   └── UnknownStyleError    a style nobody has; its text names those that exist
├── MediaError           a file, photo or stream that cannot be read or written
│   └── TooLargeError        a photo of more pixels than are allowed
├── ModelError           a weights file that is missing, damaged or not of a known layout
├── UnavailableError     what this installation cannot do: a package is missing, say
├── RingError            no worker could be started, or the ring is closed
├── StylizeError         an image that no worker can stylize
├── NotLiveError         a stream that nobody publishes, or that has no picture yet
└── ServerFullError      as many peers are connected as were allowed
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches

# Control characters, breaks of lines, and what turns the direction of the text that follows.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class StreamerError(Exception):
    """Base of everything streamer raises on purpose; its text is fit to be shown to a user."""

    def __reduce__(self) -> tuple[object, ...]:
        """With text and attributes, whatever the class is made of: errors travel, too."""
        return _again, (type(self), str(self), self.__dict__)


def _again(kind: type[StreamerError], text: str, attributes: dict[str, object]) -> StreamerError:
    error = kind.__new__(kind, text)
    error.__dict__ |= attributes
    return error


class UsageError(StreamerError):
    """A request that cannot be carried out as it was put."""


class UnknownStyleError(UsageError):
    """A style name that no loaded model has."""

    def __init__(self, name: str, known: Iterable[str], to_pull: Iterable[str] = ()) -> None:
        wanted = name.strip().casefold().replace(" ", "-")
        names, more = list(known), list(to_pull)
        close = get_close_matches(wanted, names, 2) or get_close_matches(wanted, more, 1)
        rest = f"did you mean {' or '.join(close)}?" if close else f"there are: {', '.join(names)}"
        said = f"unknown style {name!r}; {rest}"
        if wanted in more:
            close, said = [wanted], f"the style {name!r} is not here:"
        gets = f" `streamer styles pull {close[0]}` gets it" if set(close) & set(more) else ""
        super().__init__(said + gets)
        self.name = name


class MediaError(StreamerError):
    """A picture, file or stream that cannot be read or written."""


class TooLargeError(MediaError):
    """A picture of more pixels than are allowed, refused before it is decoded."""


class ModelError(StreamerError):
    """A weights file that is missing, damaged or of an unknown layout."""


class UnavailableError(StreamerError):
    """Something that this installation cannot do as it is; the text says what it takes."""


class RingError(StreamerError):
    """The ring could not start its workers, or is closed."""


class StylizeError(StreamerError):
    """An image that no worker can stylize; another attempt would not help."""


class ServerFullError(StreamerError):
    """As many peers are connected as were allowed; one of them has to leave first."""


class NotLiveError(StreamerError):
    """A stream that nobody publishes at the moment, or that has no picture yet."""

    def __init__(self, name: str) -> None:
        super().__init__(f"nobody publishes {name!r} at the moment; try again in a few seconds")


def to_install(extra: str) -> str:
    """How to get an optional part. From the source: streamer is on no package index yet."""
    return f"in streamer's folder: pip install '.[{extra}]'"


def told(error: BaseException) -> str:
    """What a client may hear of a failure: what was raised on purpose, or that there was one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) if isinstance(error, StreamerError) else "internal error; see the server log"


def printable(text: str) -> str:
    """As one line that a terminal shows and does not obey: file names hold any character."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def first_line(error: BaseException) -> str:
    """What an error says, for a message of one line; its type when it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]
