"""A WHIP publisher or WHEP viewer of GStreamer: webrtcbin, with libnice and its DTLS.

    /usr/bin/python3 tests/support/gst_client.py publish|watch URL CODEC

Runs on the system's Python, which has Debian's bindings; needs nothing of this project. Prints a
line of JSON a second: the state of the connection and the frames received.
"""

# mypy: ignore-errors

import json
import sys
import urllib.error
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

ENCODERS = {
    "VP8": "vp8enc deadline=1 keyframe-max-dist=60 ! rtpvp8pay ! "
    "application/x-rtp,media=video,encoding-name=VP8,payload=96",
    "H264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=60 ! "
    "video/x-h264,profile=high ! rtph264pay config-interval=-1 ! "
    "application/x-rtp,media=video,encoding-name=H264,payload=96",
    "VP9": "vp9enc deadline=1 cpu-used=8 keyframe-max-dist=60 ! rtpvp9pay ! "
    "application/x-rtp,media=video,encoding-name=VP9,payload=96",
}
SOURCE = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=180,framerate=25/1"


def answer_to(url, sdp):
    request = urllib.request.Request(url, sdp.encode(), {"Content-Type": "application/sdp"})
    with urllib.request.urlopen(request) as response:
        return response.read().decode()


class Client:
    def __init__(self, way, url, codec):
        self.url, self.frames, self.offered = url, 0, False
        if way == "publish":
            media = f"{SOURCE} ! videoconvert ! {ENCODERS[codec]} ! rtc."
            self.pipeline = Gst.parse_launch(f"webrtcbin name=rtc bundle-policy=max-bundle {media}")
        else:
            self.pipeline = Gst.Pipeline()
            self.pipeline.add(Gst.ElementFactory.make("webrtcbin", "rtc"))
        self.rtc = self.pipeline.get_by_name("rtc")
        if way == "publish":
            transceiver = self.rtc.emit("get-transceiver", 0)
            transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
        else:
            caps = Gst.Caps.from_string(
                f"application/x-rtp,media=video,encoding-name={codec},payload=96,clock-rate=90000"
            )
            self.rtc.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, caps)
        self.rtc.connect("pad-added", self.on_pad)
        self.rtc.connect("notify::ice-gathering-state", self.on_gathered)
        self.rtc.connect("on-negotiation-needed", self.on_negotiation)
        self.pipeline.set_state(Gst.State.PLAYING)

    def on_negotiation(self, rtc):
        rtc.emit("create-offer", None, Gst.Promise.new_with_change_func(self.on_offer))

    def on_offer(self, promise):
        promise.wait()
        reply = promise.get_reply()
        offer = reply.get_value("offer")
        text = offer.sdp.as_text()
        _, message = GstSdp.SDPMessage.new_from_text(text)
        own = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.OFFER, message)
        self.rtc.emit("set-local-description", own, Gst.Promise.new())

    def on_gathered(self, rtc, _):
        state = rtc.get_property("ice-gathering-state")
        if state == GstWebRTC.WebRTCICEGatheringState.COMPLETE and not self.offered:
            self.offered = True
            GLib.idle_add(self.exchange)

    def exchange(self):
        local = self.rtc.get_property("local-description")
        try:
            text = answer_to(self.url, local.sdp.as_text())
        except urllib.error.HTTPError as error:
            print(json.dumps({"refused": error.read().decode()}), flush=True)
            return
        _, message = GstSdp.SDPMessage.new_from_text(text)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self.rtc.emit("set-remote-description", answer, Gst.Promise.new())

    def on_pad(self, _, pad):
        if pad.direction != Gst.PadDirection.SRC:
            return
        sink = Gst.parse_bin_from_description(
            "rtpvp8depay ! vp8dec ! fakesink name=end signal-handoffs=true sync=false", True
        )
        sink.get_by_name("end").connect("handoff", self.on_frame)
        self.pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    def on_frame(self, *_):
        self.frames += 1

    def report(self):
        state = self.rtc.get_property("connection-state").value_nick
        print(json.dumps({"state": state, "frames": self.frames}), flush=True)
        return True


if __name__ == "__main__":
    Gst.init(None)
    client = Client(sys.argv[1], sys.argv[2], sys.argv[3])
    GLib.timeout_add_seconds(1, client.report)
    GLib.MainLoop().run()
