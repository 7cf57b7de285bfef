"""Cameras in, a virtual camera out."""
