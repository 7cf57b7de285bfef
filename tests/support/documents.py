"""Commands in Markdown, with what the document says about running them.

Commands are the lines of an indented or fenced block that begin with a program of PROGRAMS. A
comment right above the block, `<!-- not run here: why -->`, says that they cannot be run in a test.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from typer.main import get_command

from streamer.cli.main import _COMMANDS, _commands

ROOT = Path(__file__).parents[2]
PROGRAMS = (
    "streamer", ".venv/bin/streamer", "make", "curl", "cat", "ray", "docker", "nix", "pip",
    "python", "npm", "export", "turnserver", "apt-get", "ffmpeg", "gst-launch-1.0",
)  # fmt: skip
NOT_RUN = {  # of the examples in help texts
    "--gpus": "needs GPUs",
    "streamer camera": "needs a virtual camera; tests/e2e/test_camera.py emulates one",
    "styles pull": "needs the network; tests/library/test_pull.py has a mirror",
    "--thorough": "takes a night; tests/training has the short of it",
    "streamer node": "needs several machines; tests/e2e/test_machines.py has two",
    "streamer status": "needs a server of this host; tests/cli/test_status.py has one",
    "revoke ID": "needs a token's id; tests/server/test_tokens.py has one",
}
_NOT_RUN = re.compile(r"<!-- not run here: (.+?) -->")


@dataclass(frozen=True, slots=True)
class Command:
    """One line of shell; `why_not` is empty when it is to be run."""

    document: str
    text: str
    why_not: str


def documents() -> list[Path]:
    """Everything that is written for people, but for what belongs to a part of the project."""
    return [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))]


def commands(document: Path) -> Iterator[Command]:
    """Every command of a document, in order."""
    name = document.relative_to(ROOT).as_posix()
    for why_not, lines in _blocks(document.read_text(encoding="utf-8")):
        for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
            told = re.split(r"\s+# ", line)[0]
            for text in re.split(r"\s{3,}", told.strip()):
                if text.split(" ")[0] in PROGRAMS:
                    yield Command(name, text, why_not)


def help_examples() -> Iterator[Command]:
    """The commands in every `streamer ... --help`."""
    for name, *_ in _COMMANDS:
        group = get_command(_commands([name]))
        found = group.commands[name]  # type: ignore[attr-defined]
        below = getattr(found, "commands", {})
        for command in below.values() or (found,):
            document = " ".join(["streamer", name, *([command.name] if below else ()), "--help"])
            for line in (command.help or "").splitlines():
                text = re.sub(r"^[A-Z_]+=\S+ ", "", line.strip())
                if re.match(r"(cat \S+ \| )?streamer ", text):
                    reasons = (why for part, why in NOT_RUN.items() if part in text)
                    yield Command(document, text, next(reasons, ""))


def _blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each block of code, with the reason in the comment right above it."""
    block: list[str] = []
    above, fenced = "", False
    for line in [*text.splitlines(), "end"]:
        fence = line.startswith("```")
        if (fenced and not fence) or (not fenced and line.startswith("    ")):
            block.append(line)
        elif line.strip() and not (fence and not fenced):
            if block:
                yield above, block
                block, above = [], ""
            found = _NOT_RUN.fullmatch(line.strip())
            above = found[1] if found else ""
        fenced ^= fence
