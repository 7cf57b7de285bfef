"""One picture in a style and in a blend, from a file and from an array.

python examples/picture.py photo.jpg out.jpg
"""

import sys

import numpy as np
from PIL import Image

import streamer

source, target = sys.argv[1:]
streamer.stylize(source, "mosaic").save(target)

pixels = np.asarray(Image.open(source).convert("RGB"))
look = streamer.Look({"mosaic": 0.6, "ember": 0.4}, strength=0.8, brush="bold")
blend = streamer.stylize(pixels, look)
print(f"wrote {target}; the blend differs from the photo by {np.mean(blend != pixels):.0%}")
