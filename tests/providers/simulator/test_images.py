"""Pictures as jobs."""

import json
from base64 import b64decode

import pytest

from headgate.providers.simulator.images import edit_job, generation_job
from headgate.providers.simulator.png import draw, size_of
from headgate.providers.simulator.write_chat import Identity

NAME = Identity("k" * 48, 1_800_000_000, "fp")
PNG = draw(bytes(range(32)), 64, 32)


def generate(seed=0, **fields):
    """The job of a request."""
    return generation_job(json.dumps({"model": "gpt-image-2", "prompt": "An otter"} | fields).encode(), "", seed)


def whole(job):
    """Its answer's object."""
    return json.loads(job.whole(NAME, job.report(job.usage)))


def events(job):
    """Its events, each with its tokens."""
    script = job.stream(NAME, job.report(job.usage), True)
    found = []
    for step in script.body:
        name, data = step.data.decode().removesuffix("\n\n").split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append((event, step.output))
    assert script.visible == len(found)
    return found


def test_the_answer():
    """Pictures of the size asked for, what they are, and what they took."""
    job = generate(n=2, size="512x768", quality="low", background="transparent", user="u")
    answer = whole(job)
    assert [size_of(b64decode(one["b64_json"])) for one in answer["data"]] == [(512, 768)] * 2
    assert answer["data"][0] != answer["data"][1]
    facts = {name: answer[name] for name in ("created", "background", "output_format", "quality", "size")}
    assert facts == {
        "created": 1_800_000_000,
        "background": "transparent",
        "output_format": "png",
        "quality": "low",
        "size": "512x768",
    }
    assert answer["safety_identifier"] == "u"
    # 16 by 24 blocks, a quarter of a token each, twice.
    assert answer["usage"] == {
        "input_tokens": 2,
        "input_tokens_details": {"text_tokens": 2, "image_tokens": 0},
        "output_tokens": 192,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": 192},
        "total_tokens": 194,
    }
    assert (job.usage.prompt_tokens, job.usage.completion_tokens, job.usage.completion_image_tokens) == (2, 192, 192)


@pytest.mark.parametrize(
    ("quality", "tokens"), [("low", 256), ("medium", 1024), ("auto", 1024), ("high", 4096), ("xhigh", 8192)]
)
def test_what_qualities_take(quality, tokens):
    """Each of them, for a square of 1,024 pixels."""
    assert generate(model="gpt-image-2.5-flare", quality=quality).usage.completion_tokens == tokens


def test_prompt_and_seed_decide():
    """Equal ones draw equal pictures."""
    pictures = [whole(job)["data"] for job in (generate(), generate(), generate(seed=1), generate(prompt="A cat"))]
    assert pictures[0] == pictures[1]
    assert pictures[0] != pictures[2] != pictures[3] != pictures[0]


def test_a_stream():
    """More of the picture each time, and at last the picture of the whole answer, with what it took."""
    found = events(generate(stream=True, partial_images=2))
    assert [event["type"] for event, _ in found] == ["image_generation.partial_image"] * 2 + [
        "image_generation.completed"
    ]
    assert [event.get("partial_image_index") for event, _ in found] == [0, 1, None]
    assert [output for _, output in found] == [100, 100, 1024]
    last = found[-1][0]
    assert last["b64_json"] == whole(generate())["data"][0]["b64_json"]
    assert len({event["b64_json"] for event, _ in found}) == 3
    assert last["usage"]["output_tokens"] == generate(stream=True, partial_images=2).usage.completion_tokens == 1224
    assert "output_tokens_details" not in last["usage"]


def test_an_edit(form):
    """The pictures that are given count, and change what is drawn."""
    fields = {"model": "gpt-image-2", "prompt": "An otter"}
    jobs = [
        edit_job(*form(*[("image", "a.png", picture) for picture in pictures], **fields), 0)
        for pictures in ([PNG], [PNG, PNG], [b"\xff\xd8\xff"], [PNG[:16] + b"\x7f\xff\xff\xff" * 2])
    ]
    # What a picture says of itself is believed up to a point.
    assert [job.usage.prompt_image_tokens for job in jobs] == [2, 4, 1024, 8192]
    assert [job.usage.prompt_tokens for job in jobs[:2]] == [4, 6]
    assert whole(jobs[0])["usage"]["input_tokens_details"] == {"text_tokens": 2, "image_tokens": 2}
    drawn = [whole(job)["data"][0]["b64_json"] for job in (*jobs, generate())]
    assert len(set(drawn)) == 5
    [(event, _)] = events(edit_job(*form(("image", "a.png", PNG), stream="true", **fields), 0))
    assert event["type"] == "image_edit.completed"
    assert event["b64_json"] == drawn[0]
