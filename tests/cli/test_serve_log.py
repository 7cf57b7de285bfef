"""What `streamer serve --log-format json` writes."""

import json
import logging
import sys

from streamer.cli.serve import JsonLines


def test_each_record_is_one_line_of_json() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.LogRecord(
            "streamer.ring", logging.WARNING, "", 0, "x worker %d failed", (3,), sys.exc_info()
        )
    record.created = 0.0625
    line = JsonLines().format(record)
    assert "\n" not in line
    told = json.loads(line)
    assert told.pop("exception").endswith("ValueError: two\nlines")
    assert told == {
        "time": "1970-01-01T00:00:00.062+00:00",
        "level": "warning",
        "logger": "streamer.ring",
        "message": "worker 3 failed",
    }
