"""A webcam, stylized, in a window; keys 1 to 9 change the style.

python examples/webcam_window.py [SOURCE [FRAMES]]

SOURCE is a camera's number, a URL or a file; with FRAMES, the window closes after so many.
"""

import itertools
import sys
import tkinter

from PIL import Image, ImageTk

import streamer

source, *limit = sys.argv[1:] or ["0"]
styles = [style.name for style in streamer.list_styles()][1:10]
camera = streamer.open_camera(source, styles[0])

window = tkinter.Tk()
window.title("streamer: keys 1 to 9 change the style")
label = tkinter.Label(window)
label.pack()
for key, style in enumerate(styles, 1):
    window.bind(str(key), lambda _, style=style: camera.change(style))
open_ = [True]
window.protocol("WM_DELETE_WINDOW", open_.clear)

shown = 0
for frame in itertools.islice(camera, int(limit[0]) if limit else None):
    photo = ImageTk.PhotoImage(Image.fromarray(frame))
    label.configure(image=photo)
    window.update()
    shown += 1
    if not open_:
        break
print(f"{shown} frames shown")
