"""A page by Gradio: the browser's camera in, stylized by WebRTC, without streamer's own server.

pip install fastrtc
python examples/gradio_page.py
"""

import gradio
import numpy as np
from fastrtc import Stream, VideoStreamHandler

import streamer

styles = [style.name for style in streamer.list_styles()]
painting = streamer.Stylizer().stream(styles[1])  # one for all who look; they share its style
shown = [styles[1]]


def stylize(bgr: np.ndarray, style: str) -> np.ndarray:
    """fastrtc has frames as OpenCV has them: blue first."""
    if shown != [style]:
        shown[:] = [style]
        painting.change(style)
    return painting.stylize(bgr[..., ::-1])[..., ::-1]


page = Stream(
    VideoStreamHandler(stylize, skip_frames=True),  # else a slow machine falls ever further behind
    modality="video",
    mode="send-receive",
    additional_inputs=[gradio.Dropdown(styles, value=styles[1], label="Style")],
)

if __name__ == "__main__":
    page.ui.launch()
