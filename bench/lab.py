"""Two network namespaces, a server in one, Chromium in the other, a bad link in between."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Playwright

from bench.link import Conditions
from tests.support.browser import CHROMIUM, fake_camera, write_numbers

# The namespaces, of this process alone, and the address that each has.
HERE, THERE = (f"lab-{os.getpid()}-client", "10.78.0.2"), (f"lab-{os.getpid()}-server", "10.78.0.1")
LAB = "http://lab.test/"  # a page of nothing, for Chromium without our page
PROBE = Path(__file__).with_name("lab.js")
PORT = 9300
WANTED = {  # what our page remembers of its last visit: camera and microphone
    "kind": "camera", "deviceId": "", "facing": "", "height_px": 360, "microphoneId": "",
}  # fmt: skip
READY_S = 90


class Lab:
    """Two namespaces and the link between them."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Lab":
        with contextlib.ExitStack() as stack:
            for name, _ in (HERE, THERE):
                subprocess.run(["ip", "netns", "add", name], check=True)
                stack.callback(subprocess.run, ["ip", "netns", "del", name], check=True)
            command = [sys.executable, "-m", "bench.link", *HERE, *THERE]
            self._link = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(self._link.terminate)
            self._read()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def set(self, up: Conditions, down: Conditions) -> None:
        self._ask({"up": _fields(up), "down": _fields(down)})

    def counts(self) -> dict[str, dict[str, int]]:
        """Packets, bytes and lost ones, of each direction, since the last call."""
        told: dict[str, dict[str, int]] = self._ask({})
        return told

    def _ask(self, command: dict[str, Any]) -> Any:
        assert self._link.stdin is not None
        print(json.dumps(command), file=self._link.stdin, flush=True)
        return self._read()

    def _read(self) -> Any:
        assert self._link.stdout is not None
        return json.loads(self._link.stdout.readline())


def _fields(conditions: Conditions) -> dict[str, float]:
    return {name: getattr(conditions, name) for name in Conditions.__slots__}


def missing() -> str | None:
    """What this machine lacks for the lab; None: nothing."""
    if os.geteuid() != 0:
        return "the lab makes network namespaces, which only root may"
    if not shutil.which("ip"):
        return "the lab needs `ip` (Debian: apt-get install iproute2)"
    if not Path("/dev/net/tun").exists():
        return "the lab needs /dev/net/tun"
    name = f"lab-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True, text=True)
    if made.returncode:
        return f"no network namespace can be made here: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


def inside(namespace: str, *command: str) -> list[str]:
    return ["ip", "netns", "exec", namespace, *command]


@contextlib.contextmanager
def browser_in(playwright: Playwright, namespace: str, folder: Path) -> Iterator[Browser]:
    """Headless Chromium inside a namespace, with a camera of numbered frames."""
    clip = folder / "numbers.y4m"
    if not clip.exists():
        write_numbers(clip)
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if chromium is None:
        raise FileNotFoundError("the lab needs Chromium (Debian: apt-get install chromium)")
    starter = folder / f"chromium-{namespace}"
    starter.write_text(f'#!/bin/sh\nexec ip netns exec {namespace} {chromium} "$@"\n')
    starter.chmod(0o755)
    origins = f"{LAB.rstrip('/')},http://{THERE[1]}:{PORT}"
    browser = playwright.chromium.launch(
        executable_path=starter,
        args=[
            *CHROMIUM,
            *fake_camera(clip),
            f"--unsafely-treat-insecure-origin-as-secure={origins}",
            "--autoplay-policy=no-user-gesture-required",
            "--disable-renderer-backgrounding",
            "--disable-backgrounding-occluded-windows",
        ],
    )
    try:
        yield browser
    finally:
        browser.close()


@contextlib.contextmanager
def page_of(browser: Browser, url: str) -> Iterator[Page]:
    """A page with the probe; at LAB it is empty."""
    context = browser.new_context(bypass_csp=True, permissions=["camera", "microphone"])
    page = context.new_page()
    page.route(
        f"{LAB}**", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html")
    )
    page.add_init_script(PROBE.read_text())
    wanted = json.dumps(json.dumps(WANTED))
    page.add_init_script(f"if (location.port) localStorage.setItem('streamer', {wanted})")
    page.goto(url)
    try:
        yield page
    finally:
        context.close()


@contextlib.contextmanager
def server(*options: str) -> Iterator[str]:
    """`streamer serve` that passes pictures through; the URL with its token."""
    token = secrets.token_urlsafe(16)
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            inside(
                THERE[0], sys.executable, "-m", "streamer", "serve", "--no-browser", "--backend",
                "none", "--host", "0.0.0.0", "--port", str(PORT), "--token", token, *options,
            ),
            stdout=output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            until(lambda: "ready in" in _text(output), READY_S)
            yield f"http://{THERE[1]}:{PORT}/?style=none&token={token}"
        finally:
            process.send_signal(2)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            faults = [line for line in _text(output).splitlines() if line.startswith("x ")]
            print(*faults, sep="\n", end="\n" if faults else "", file=sys.stderr)


def _text(file: Any) -> str:
    file.seek(0)
    return str(file.read())


def until(there: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not there():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.1)


OFFER = """async () => {
  const pc = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
  const wanted = {video: {width: 640, height: 360}, audio: true};
  const stream = await navigator.mediaDevices.getUserMedia(wanted);
  const [, way] = [...stream.getAudioTracks(), ...stream.getVideoTracks()].map(
    (track) => pc.addTransceiver(track, {streams: [stream]}));
  pc.ontrack = ({streams: [back]}) => {
    const player = document.body.appendChild(document.createElement('video'));
    player.srcObject = back;
    player.play(); };
  const known = RTCRtpReceiver.getCapabilities('video').codecs;
  const first = ({mimeType}) => Number(/H264/i.test(mimeType));
  way.setCodecPreferences(known.sort((a, b) => first(b) - first(a)));
  await pc.setLocalDescription();
  await new Promise((done) => { pc.onicegatheringstatechange = () =>
    pc.iceGatheringState === 'complete' && done(); setTimeout(done, 1000); });
  return pc.localDescription.sdp; }"""
ECHO = """async (sdp) => {
  const pc = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
  await pc.setRemoteDescription({type: 'offer', sdp});
  // Chromium passes no sound on that it does not play, so the sound is the echo's own.
  const [sound] = (await navigator.mediaDevices.getUserMedia({audio: true})).getAudioTracks();
  const together = new MediaStream();
  for (const way of pc.getTransceivers()) {
    way.direction = 'sendrecv';
    way.sender.setStreams(together);
    const {track} = way.receiver;
    await way.sender.replaceTrack(track.kind === 'audio' ? sound : track); }
  await pc.setLocalDescription(await pc.createAnswer());
  await new Promise((done) => setTimeout(done, 500));
  return pc.localDescription.sdp; }"""
ACCEPT = "(sdp) => lab.pcs.at(-1).setRemoteDescription({type: 'answer', sdp})"


@contextlib.contextmanager
def raw_aiortc() -> Iterator[Callable[[str], str]]:
    """A bare echo in the server's namespace: from an offer to its answer."""
    command = inside(THERE[0], sys.executable, "-m", "bench.echo")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def answer(offer: str) -> str:
            print(json.dumps(offer), file=stdin, flush=True)
            return str(json.loads(stdout.readline()))

        try:
            yield answer
        finally:
            process.terminate()
