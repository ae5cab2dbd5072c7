"""What `parse` asks: from the words of the Python door to a question for an object.

Decides how a model is asked that cannot be held to a schema, or not to all of it; refuses to know what becomes of its
answer (`gate/structured.py`).
"""

from headgate.client import picture
from headgate.client.options import Options, check
from headgate.gate.gate import Gate
from headgate.gate.shapes import T, Wanted, shape
from headgate.gate.structured import Question


async def question(
    gate: Gate,
    into: Wanted[T],
    prompt: str | None,
    options: Options,
    *,
    strict: bool,
    repairs: int,
) -> Question[T]:
    """What is asked; arguments as for `AsyncHeadgate.parse`.

    Raises:
        BadRequestError: it cannot be asked.
    """
    check(options, Options)
    model = options.get("model") or gate.default_model or ""
    images = [await picture.address(image) for image in options.get("images") or ()]
    # Fine-tuned models are not held to bounds.
    wanted = shape(into, hold=strict, bounds=not model.startswith("ft:"))
    rest = {name: value for name, value in options.items() if name != "images"}
    instruct = gate.lacks(model, "json_schema")
    return Question(wanted, prompt, rest, images=images, instruct=instruct, repairs=repairs)
