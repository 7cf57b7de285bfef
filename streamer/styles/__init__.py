"""Styles and the models that hold them."""
