"""Pictures through real encoders and decoders: sizes, bitrates, damage."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.avframe import to_frame, to_image
from streamer.frame import VIDEO_TIME_BASE, Frame, Image, Size, i420_size
from streamer.webrtc.codecs import WORKED_PIXELS, Codec, Decoder, Encoder, to_bt601
from streamer.webrtc.congestion import Bitrate
from streamer.webrtc.jitter_buffer import EncodedFrame
from tests.support.clips import number_frame, read_number

CODECS: tuple[Codec, ...] = get_args(Codec)
STEP = 3000
NOISE = np.random.default_rng(7)


def noisy(n: int, width: int, height: int) -> Frame:
    """What a codec finds hard, as brush strokes are."""
    data = NOISE.integers(60, 200, i420_size(width // 8, height // 8), dtype=np.uint8)
    small = to_frame(Image(width // 8, height // 8, data))
    return Frame(to_image(small.reformat(width, height)), n * STEP, VIDEO_TIME_BASE, 0.0)


def snow(n: int, width: int, height: int) -> Frame:
    """What no codec makes any smaller."""
    data = NOISE.integers(0, 256, i420_size(width, height), dtype=np.uint8)
    return Frame(Image(width, height, data), n * STEP, VIDEO_TIME_BASE, 0.0)


def encoded(packet: "av.Packet[av.VideoStream]") -> EncodedFrame:
    return EncodedFrame(bytes(packet), packet.pts or 0, 12.5, packet.is_keyframe)


@settings(max_examples=40)
@given(st.integers(1, 70), st.integers(1, 70))
def test_planes_of_any_size_there_and_back(width: int, height: int) -> None:
    data = NOISE.integers(0, 256, i420_size(width, height), dtype=np.uint8)
    assert (to_image(to_frame(Image(width, height, data))).data == data).all()


@pytest.mark.parametrize("form", ["rgb24", "nv12", "yuv444p", "yuvj420p", "yuv420p10le"])
def test_other_pixel_formats_are_converted(form: str) -> None:
    picture = to_frame(number_frame(77, 322, 182)).reformat(format=form)
    image = to_image(picture)
    assert (image.width, image.height) == (322, 182)
    assert read_number(image.planes[0]) == 77


def test_an_odd_picture_is_made_even_by_repeating_its_edge() -> None:
    image = number_frame(3, 65, 33)
    even = to_image(to_frame(image, 66, 34))
    assert (even.width, even.height) == (66, 34)
    luma = even.planes[0]
    assert (luma[:33, :65] == image.planes[0]).all()
    assert (luma[:, 65] == luma[:, 64]).all() and (luma[33] == luma[32]).all()


@pytest.mark.parametrize("codec", CODECS)
def test_sizes_change_in_mid_stream(codec: Codec) -> None:
    encoder, decoder = Encoder(codec, Bitrate()), Decoder(codec, 1 << 22)
    sizes = [(320, 180), (320, 180), (180, 320), (640, 360), (321, 181), (96, 64)]
    for n, (width, height) in enumerate(sizes):
        [packet] = encoder.encode(
            Frame(number_frame(n, width, height), n * STEP, VIDEO_TIME_BASE, 0.0), 2_500_000, False
        )
        [frame] = decoder.decode(encoded(packet))
        grown = codec == "H264"  # which has no odd sizes
        assert frame.image.width == width + (width & 1 if grown else 0)
        assert frame.image.height == height + (height & 1 if grown else 0)
        assert (frame.pts, frame.captured_at) == (n * STEP, 12.5)
        assert read_number(frame.image.planes[0]) == n
    assert encoder.keyframes == 5


def rates(
    encoder: Encoder,
    targets: dict[int, int],
    frames: int,
    picture: Callable[[int, int, int], Frame] = noisy,
) -> list[float]:
    """Bits per second of each half second, with the target changing at the frames named."""
    sizes, target = [], 0
    for n in range(frames):
        target = targets.get(n, target)
        sizes.append(
            sum(packet.size for packet in encoder.encode(picture(n, 320, 192), target, False))
        )
    return [sum(sizes[i : i + 15]) * 8 * 2.0 for i in range(0, frames, 15)]


def test_h264_follows_the_bitrate_without_a_keyframe() -> None:
    encoder = Encoder("H264", Bitrate())
    measured = rates(encoder, {0: 2_500_000, 60: 800_000, 120: 4_000_000}, 180)
    assert encoder.keyframes == 1
    assert 1_500_000 < measured[3] < 3_500_000
    assert measured[4] < 1_200_000 and max(measured[5:8]) < 950_000  # within half a second
    assert measured[11] > 2_500_000


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("fps", [10, 60])
def test_the_bitrate_holds_at_any_frame_rate(codec: Codec, fps: int) -> None:
    encoder, size = Encoder(codec, Bitrate()), 0
    for n in range(10 * fps):
        frame = replace(snow(n, 320, 192), pts=n * 90_000 // fps)
        packets = encoder.encode(frame, 2_000_000, False)
        size += sum(packet.size for packet in packets) if n >= 4 * fps else 0
    assert 1_500_000 < size * 8 / 6 < 2_500_000


def test_vp8_begins_anew_for_large_changes_only() -> None:
    encoder = Encoder("VP8", Bitrate())
    rates(encoder, {n: 2_000_000 + (n % 2) * 300_000 for n in range(90)}, 90)
    assert encoder.keyframes == 1
    encoder = Encoder("VP8", Bitrate())
    measured = rates(encoder, {0: 2_500_000, 45: 700_000}, 120)
    assert encoder.keyframes == 2
    assert measured[-1] < 0.6 * measured[2]


def test_a_wild_estimate_causes_no_storm_of_keyframes() -> None:
    encoder = Encoder("VP8", Bitrate())
    rates(encoder, {n: 8_000_000 if n % 2 else 300_000 for n in range(150)}, 150)
    assert encoder.keyframes <= 5  # in five seconds


@pytest.mark.parametrize("codec", CODECS)
def test_a_keyframe_is_made_when_asked_for(codec: Codec) -> None:
    encoder = Encoder(codec, Bitrate())
    keys = [encoder.encode(noisy(n, 320, 192), 2_500_000, n == 5)[0].is_keyframe for n in range(10)]
    assert [n for n, key in enumerate(keys) if key] == [0, 5]


@pytest.mark.parametrize("codec", CODECS)
def test_time_that_does_not_grow_is_not_encoded(codec: Codec) -> None:
    encoder = Encoder(codec, Bitrate())
    pts = [10, 10, 5, 11]
    made = [
        len(encoder.encode(Frame(number_frame(0, 64, 64), p, VIDEO_TIME_BASE, 0.0), 10**6, False))
        for p in pts
    ]
    assert made == [1, 0, 0, 1]


@pytest.mark.parametrize("codec", CODECS)
def test_a_picture_too_large_is_refused_before_it_is_decoded(codec: Codec) -> None:
    [packet] = Encoder(codec, Bitrate()).encode(
        Frame(number_frame(0, 1280, 720), 0, VIDEO_TIME_BASE, 0.0), 2_500_000, False
    )
    with pytest.raises(av.FFmpegError):
        Decoder(codec, 640 * 480).decode(encoded(packet))
    assert Decoder(codec, 1280 * 720).decode(encoded(packet))


@pytest.mark.parametrize("codec", CODECS)
def test_a_decoder_lives_through_damage(codec: Codec) -> None:
    encoder, decoder = Encoder(codec, Bitrate()), Decoder(codec, 1 << 22)
    readable = 0
    for n in range(40):
        frame = Frame(number_frame(n, 320, 180), n * STEP, VIDEO_TIME_BASE, 0.0)
        [packet] = encoder.encode(frame, 2_500_000, n % 10 == 0)
        data = bytearray(bytes(packet))
        if n % 10 in (3, 4):
            spoilt = NOISE.integers(0, len(data), len(data) // 3)
            for at in spoilt:
                data[at] ^= 0xA5
        try:
            out = decoder.decode(EncodedFrame(bytes(data), n * STEP, 0.0, False))
        except av.FFmpegError:
            continue
        readable += sum(read_number(f.image.planes[0]) == n for f in out)
    assert readable >= 12  # the first three after each of the four keyframes


@pytest.mark.parametrize("codec", CODECS)
def test_garbage_raises_nothing_but_ffmpegs_errors(codec: Codec) -> None:
    decoder = Decoder(codec, 1 << 22)
    for n in range(200):
        data = NOISE.integers(0, 256, int(NOISE.integers(0, 300)), dtype=np.uint8).tobytes()
        with contextlib.suppress(av.FFmpegError):
            decoder.decode(EncodedFrame(b"\0\0\0\x01\x67" * (n % 2) + data, n, 0.0, False))
    assert len(decoder._arrived) <= 65


def test_numbers_survive_a_codec_and_a_resize() -> None:
    encoder, decoder = Encoder("VP8", Bitrate()), Decoder("VP8", 1 << 22)
    numbers = [0, 1, 2, 255, 256, 32_767, 40_000, 65_535]
    for i, n in enumerate(numbers):
        [packet] = encoder.encode(
            Frame(number_frame(n, 320, 180), i, VIDEO_TIME_BASE, 0.0), 300_000, False
        )
        [frame] = decoder.decode(encoded(packet))
        small = to_image(to_frame(frame.image).reformat(width=130, height=74))
        assert read_number(small.planes[0]) == n
    assert read_number(np.full((180, 320), 128, np.uint8)) is None


PRIMARIES = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 30)]
BT709, BT601 = (0.2126, 0.0722), (0.299, 0.114)  # the weights of red and blue


def yuv(rgb: tuple[int, int, int], weights: tuple[float, float], is_full: bool) -> list[int]:
    """ITU-T H.273, equations for matrix coefficients and ranges."""
    (red, blue), (r, g, b) = weights, (value / 255 for value in rgb)
    luma = red * r + (1 - red - blue) * g + blue * b
    chroma = ((b - luma) / (2 - 2 * blue), (r - luma) / (2 - 2 * red))
    if is_full:
        return [min(round(255 * luma), 255), *(min(round(128 + 255 * c), 255) for c in chroma)]
    return [round(16 + 219 * luma), *(round(128 + 224 * c) for c in chroma)]


def flat(values: list[int], size: int = 64) -> av.VideoFrame:
    planes = [np.full(size * size // (1 if i == 0 else 4), v) for i, v in enumerate(values)]
    return to_frame(Image(size, size, np.concatenate(planes).astype(np.uint8)))


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize(("weights", "matrix"), [(BT709, 1), (BT601, 6), (BT601, 2)])
@pytest.mark.parametrize("rgb", PRIMARIES)
def test_colours_of_any_range_and_matrix_become_bt_601(
    rgb: tuple[int, int, int], weights: tuple[float, float], matrix: int, is_full: bool
) -> None:
    frame = flat(yuv(rgb, weights, is_full))
    frame.colorspace, frame.color_range = matrix, 2 if is_full else 1
    planes = to_bt601(frame).planes
    for plane, value in zip(planes, yuv(rgb, BT601, is_full=False), strict=True):
        assert abs(int(plane[20, 20]) - value) <= 1


def test_h264_says_in_its_parameter_set_what_its_colours_are() -> None:
    frame = Frame(number_frame(0, 320, 180), 0, VIDEO_TIME_BASE, 0.0)
    [packet] = Encoder("H264", Bitrate()).encode(frame, 2_500_000, False)
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.decode(packet)
    assert (decoder.colorspace, decoder.color_range) == (6, 1)


def test_a_4k_picture_is_scaled_down_on_arrival_and_keeps_its_shape() -> None:
    encoder, decoder = Encoder("H264", Bitrate()), Decoder("H264", 4096 * 2304)
    sent = Frame(number_frame(77, 3840, 2160), 0, VIDEO_TIME_BASE, 0.0)
    frames = [
        frame
        for packet in encoder.encode(sent, 8_000_000, True)
        for frame in decoder.decode(EncodedFrame(bytes(packet), 0, 0.0, True))
    ]
    assert frames and frames[0].image.width * frames[0].image.height <= WORKED_PIXELS
    assert abs(frames[0].image.width / frames[0].image.height - 16 / 9) < 0.01
    assert read_number(frames[0].image.planes[0]) == 77


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_a_poor_bitrate_gets_fewer_pixels_and_a_better_one_all_of_them_again(codec: Codec) -> None:
    encoder, decoder = Encoder(codec, Bitrate()), Decoder(codec, 1 << 24)
    heights: list[int] = []
    for n in range(360):
        bps = 150_000 if n < 180 else 1_000_000
        frame = Frame(number_frame(n, 640, 360), n * 3000, VIDEO_TIME_BASE, 0.0)
        for packet in encoder.encode(frame, bps, False):
            got = decoder.decode(EncodedFrame(bytes(packet), n * 3000, 0.0, False))
            heights += [one.image.height for one in got]
    assert list(dict.fromkeys(heights)) == [360, 180]
    assert heights[0] == heights[-1] == 360
    assert 85 <= heights.count(180) <= 180


@pytest.mark.parametrize(
    ("size", "sent"),
    [((1280, 720), (640, 360)), ((720, 1280), (360, 640)), ((320, 640), (320, 640))],
)
def test_an_upright_picture_has_as_many_lines_as_one_that_lies(size: Size, sent: Size) -> None:
    encoder, decoder = Encoder("H264", Bitrate(), lines_max=360), Decoder("H264", 1 << 22)
    [packet] = encoder.encode(snow(0, *size), 2_500_000, keyframe=True)
    assert decoder.decode(encoded(packet))[0].image.size == sent


def test_a_bitrate_that_is_poor_for_a_moment_costs_no_pixels() -> None:
    encoder = Encoder("H264", Bitrate())
    for n in range(240):
        bps = 100_000 if 120 <= n < 140 else 800_000
        encoder.encode(Frame(number_frame(n, 640, 360), n * 3000, VIDEO_TIME_BASE, 0.0), bps, False)
    assert encoder.keyframes == 1


def test_h264_begins_anew_for_a_rate_above_the_usual_and_far_below_again() -> None:
    encoder = Encoder("H264", Bitrate())
    targets = {0: 2_500_000, 15: 14_000_000, 150: 6_000_000, 240: 2_000_000}
    measured = rates(encoder, targets, 300, snow)
    assert encoder.keyframes == 3
    assert max(measured[1:6]) < 9_000_000
    assert min(measured[8:10]) > 10_000_000
    assert measured[-1] < 2_500_000


def test_vp8_leaves_frames_out_rather_than_send_more_than_the_path_takes() -> None:
    measured = rates(Encoder("VP8", Bitrate()), {0: 600_000}, 180, snow)
    assert max(measured[4:]) < 1_000_000
