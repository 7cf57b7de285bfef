"""A real Firefox, driven by Marionette, the protocol that is built into it.

Playwright drives only its own build. A message is `LENGTH:JSON`, a command [0, id, name,
parameters], an answer [1, id, error, result] (firefox-source-docs, "Marionette Protocol").
"""

import contextlib
import itertools
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.waiting import eventually_sync

# A camera and a microphone that need neither a device nor a permission, and no calls home.
PREFERENCES = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "marionette.port": 0,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.server": "data:,",
}


class Firefox:
    """One window; `run` evaluates the body of a function in its page."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 60)
        self._ids = itertools.count(1)
        self._buffer = b""
        self._read()  # who it is
        self._do("WebDriver:NewSession", {})

    def open(self, url: str) -> None:
        self._do("WebDriver:Navigate", {"url": url})

    def run(self, script: str) -> Any:
        """What the script returns, or what the promise it returns comes to."""
        body = (
            "const done = arguments[arguments.length - 1];"
            f"(async () => {{ {script} }})().then(done, (error) => done(String(error)))"
        )
        asked: dict[str, Any] = {"script": body, "args": [], "sandbox": None, "newSandbox": False}
        return self._do("WebDriver:ExecuteAsyncScript", asked)["value"]

    def quit(self) -> None:
        with contextlib.suppress(OSError, AssertionError):
            self._do("Marionette:Quit", {"flags": ["eForceQuit"]})
        self._socket.close()

    def _do(self, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
        message = json.dumps([0, next(self._ids), name, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._read()
        assert error is None, error
        return result if isinstance(result, dict) else {"value": result}

    def _read(self) -> Any:
        while b":" not in self._buffer:
            self._fill()
        length, _, self._buffer = self._buffer.partition(b":")
        while len(self._buffer) < int(length):
            self._fill()
        message, self._buffer = self._buffer[: int(length)], self._buffer[int(length) :]
        return json.loads(message)

    def _fill(self) -> None:
        got = self._socket.recv(1 << 16)
        assert got, "Firefox is gone"
        self._buffer += got


@contextlib.contextmanager
def firefox(profile: Path) -> Iterator[Firefox]:
    """Firefox without a window, with `profile` as its new profile."""
    path = shutil.which("firefox-esr") or shutil.which("firefox")
    assert path is not None, "no Firefox here: apt-get install firefox-esr"
    profile.mkdir(parents=True)
    preferences = (
        f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in PREFERENCES.items()
    )
    (profile / "user.js").write_text("".join(preferences))
    command = [path, "--headless", "--marionette", "--no-remote", "--profile", str(profile)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = profile / "MarionetteActivePort"
        eventually_sync(lambda: port.exists() and port.read_text().strip())
        driver = Firefox(int(port.read_text()))
        try:
            yield driver
        finally:
            driver.quit()
    finally:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
