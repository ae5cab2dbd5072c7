"""What the Python programs share: where the gate is, what is asked, and how they tell what they saw.

A line of JSON on stdout stands for one call to the gate, in the order of the calls.
"""

import json
import os
import sys
from typing import Any

BASE_URL = os.environ["BASE_URL"]
API_KEY = os.environ["API_KEY"]
MODEL = os.environ["MODEL"]
EMBEDDING_MODEL = os.environ["EMBEDDING_MODEL"]

FIRST = "Name a city in France."
SECOND = "And one in Spain?"
TELL = "Tell me about the sea in 40 words."
WEATHER = "What is the weather in Paris? Use get_weather."
SUNNY = "21 degrees and sunny"
TEXTS = ["The cat sits on the mat.", "A gate has two posts."]


def tell(door: str, task: str, **saw: Any) -> None:
    """Tell what was seen of one call.

    Args:
        door: which of the client's ways in was taken, such as `async`.
        task: `conversation`, `stream`, `tool`, `embedding` or `error`.
        **saw: as far as the client shows it: `text`, `tool` and `arguments`, `vectors`, `tokens` (in, out),
            `request_id`, or of an error `error` (its class), `status` and `code`.
    """
    sys.stdout.write(json.dumps({"door": door, "task": task, **saw}) + "\n")
