"""WebRTC by aiortc, which no other package imports."""
