"""The dear way to a style: a network that learns one painting's strokes from photos and VGG16.

    data (photos) → **train** → net, perceptual_loss (vgg), run → an ONNX file of layout rgb255

Torch is imported in this package only, and only when something here is called.
"""
