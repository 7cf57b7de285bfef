"""Where files lie: the models that come with streamer, and the user's data directory."""

import os
from pathlib import Path

import platformdirs


def built_in_models() -> Path:
    """The folder of the models that come with streamer: in the wheel, else in the checkout."""
    here = Path(__file__).parent
    packaged = here / "models"
    return packaged if packaged.is_dir() else here.parent / "models"


def data_dir() -> Path:
    """`$STREAMER_DATA_DIR`, else the platform's usual place; it need not exist yet."""
    if chosen := os.environ.get("STREAMER_DATA_DIR"):
        return Path(chosen)
    return platformdirs.user_data_path("streamer", appauthor=False)


def user_models() -> Path:
    """The folder of the models that were pulled or added; it need not exist yet."""
    return data_dir() / "models"
