"""Training of fast I420 style networks: a slow teacher is distilled into a small student.

    data (photos, teacher, pairs) → **distill** (net, losses) → export (float, int8) → models/

Torch is imported in this package only, and only when something here is called.
"""
