"""Requests for pictures, understood."""

import json
from base64 import b64encode
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.simulator.png import draw
from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.read_images import read_edit, read_generation

PNG = draw(bytes(range(32)), 64, 32)
DATA = "data:image/png;base64," + b64encode(PNG).decode()
JSON = "application/json; charset=utf-8"


def new(**fields):
    """The wish of a request with these fields, others as usual."""
    return read_generation(json.dumps({"model": "gpt-image-2", "prompt": "An otter"} | fields).encode())


def edit(**fields):
    """The wish of a request for an edit, in JSON."""
    given_fields = {"model": "gpt-image-2", "prompt": "An otter", "images": [{"image_url": DATA}]} | fields
    return read_edit(json.dumps(given_fields).encode(), JSON)


def refused(ask):
    """Code and parameter of the refusal."""
    with pytest.raises(Problem) as caught:
        ask()
    return caught.value.code, caught.value.param


def test_the_usual():
    """What is `auto` becomes what it is."""
    wish = new()
    assert (wish.model.name, wish.prompt, wish.n, wish.quality) == ("gpt-image-2", "An otter", 1, "medium")
    assert (wish.width, wish.height, wish.transparent) == (1024, 1024, False)
    assert (wish.stream, wish.partial, wish.sources, wish.safety_identifier) == (False, 0, (), None)


def test_who_asks():
    """The identifier of today goes before the one of yesterday."""
    assert new(user="old").safety_identifier == "old"
    assert new(user="old", safety_identifier="new").safety_identifier == "new"
    assert new(safety_identifier="").safety_identifier is None


@pytest.mark.parametrize(
    ("model", "size", "understood"),
    [
        ("gpt-image-2", "1536x864", (1536, 864)),
        ("gpt-image-2.5-flare", "3840x2160", (3840, 2160)),
        ("gpt-image-2", "2160x3840", (2160, 3840)),
        ("gpt-image-2", "256x256", (256, 256)),
        ("fake", "48x16", (48, 16)),
        ("gpt-image-1.5", "1536x1024", (1536, 1024)),
        ("gpt-image-1.5", "auto", (1024, 1024)),
        ("gpt-image-1.5", "1536x864", None),
        ("gpt-image-1-mini", "256x256", None),
        ("gpt-image-2", "1000x1000", None),
        ("gpt-image-2", "64x16", None),
        ("gpt-image-2", "3856x2160", None),
        ("gpt-image-2", "3840x2176", None),
        ("gpt-image-2", "3840x3840", None),
        ("gpt-image-2", "0x0", None),
        ("gpt-image-2", "-16x16", None),
        ("gpt-image-2", "1\uff16x16", None),
        ("gpt-image-2", "99999x16", None),
        ("gpt-image-2", "big", None),
    ],
)
def test_sizes(model, size, understood):
    """Three for older models, nearly any for the newer ones."""
    if understood is None:
        assert refused(lambda: new(model=model, size=size)) == ("invalid_value", "size")
    else:
        wish = new(model=model, size=size)
        assert (wish.width, wish.height) == understood


def test_qualities():
    """The two highest ones are for some models only."""
    assert new(quality="high").quality == "high"
    assert new(model="gpt-image-2.5-sunburst", quality="max").quality == "max"
    assert refused(lambda: new(quality="max")) == ("invalid_value", "quality")
    assert refused(lambda: new(quality="hd")) == ("invalid_value", "quality")


def test_a_stream():
    """With up to three pictures before the last one; of one picture only, because the events do not name it."""
    wish = new(stream=True, partial_images=3)
    assert (wish.stream, wish.partial) == (True, 3)
    assert refused(lambda: new(stream=True, partial_images=4)) == ("integer_above_max_value", "partial_images")
    assert refused(lambda: new(partial_images=1)) == ("invalid_parameter_combination", "partial_images")
    assert refused(lambda: new(stream=True, n=2)) == ("invalid_parameter_combination", "n")


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"model": None}, "missing_required_parameter", "model"),
        ({"model": "gpt-4o"}, "model_not_found", "model"),
        ({"model": "dall-e-3"}, "model_not_found", None),
        ({"prompt": ""}, "empty_string", "prompt"),
        ({"prompt": "x" * 32_001}, "string_above_max_length", "prompt"),
        ({"prompt": 3}, "invalid_type", "prompt"),
        ({"n": 0}, "integer_below_min_value", "n"),
        ({"n": 11}, "integer_above_max_value", "n"),
        ({"response_format": "url"}, "unknown_parameter", "response_format"),
        ({"style": "vivid"}, "unknown_parameter", "style"),
        ({"output_format": "webp"}, "unsupported_value", "output_format"),
        ({"output_format": "bmp"}, "invalid_value", "output_format"),
        ({"output_compression": 50}, "invalid_png_output_compression", "output_compression"),
        ({"background": "blue"}, "invalid_value", "background"),
        ({"moderation": "none"}, "invalid_value", "moderation"),
        ({"stream": "yes"}, "invalid_type", "stream"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refusals(fields, code, param):
    """Each names its field; another format than PNG is refused rather than lied about."""
    assert refused(lambda: new(**fields)) == (code, param)


def test_an_edit_as_a_form(form):
    """Files under either name, in order; numbers and truths are written out."""
    fields = {"model": "gpt-image-2", "prompt": "ä", "n": "2", "stream": "false", "background": "transparent"}
    wish = read_edit(*form(("image[]", "a.png", PNG), ("image[]", "b.webp", b"RIFF0000WEBPVP8 "), **fields))
    assert (wish.prompt, wish.n, wish.stream, wish.transparent) == ("ä", 2, False, True)
    assert list(map(bytes, wish.sources)) == [PNG, b"RIFF0000WEBPVP8 "]
    assert len(read_edit(*form(("image", "a.png", PNG), ("mask", "m.png", PNG), **fields)).sources) == 1


def test_forms_that_are_refused(form):
    """No picture, no file, too many of them, not one that is a picture, a number that is none."""
    fields = {"model": "gpt-image-2", "prompt": "x"}
    picture = ("image", "a.png", PNG)
    refusals = [
        ((), fields, "missing_required_parameter", "image"),
        ((), fields | {"image": "text"}, "invalid_type", "image"),
        ([picture] * 17, fields, "array_above_max_length", "image"),
        ([("image", "a.png", b"GIF89a")], fields, "invalid_image_file", "image"),
        ([picture, ("mask", "m.png", b"")], fields, "invalid_image_file", "mask"),
        ([picture], fields | {"n": "two"}, "invalid_type", "n"),
        ([picture], {"model": "fake"}, "missing_required_parameter", "prompt"),
    ]
    for files, texts, code, param in refusals:
        assert refused(lambda files=files, texts=texts: read_edit(*form(*files, **texts))) == (code, param)


def test_an_edit_as_json():
    """Pictures by their bytes, or by an address that is not looked at."""
    wish = edit(images=[{"image_url": DATA}, {"image_url": "https://example.com/a.png"}, {"file_id": "file-1"}])
    assert wish.sources == (PNG, None, None)
    assert refused(lambda: edit(images=[])) == ("missing_required_parameter", "images")
    assert refused(lambda: edit(images=[{}])) == ("invalid_value", "images[0]")
    assert refused(lambda: edit(images=[{"image_url": 3}])) == ("invalid_type", "images[0].image_url")
    assert refused(lambda: edit(images=[{"file_id": 3}])) == ("invalid_type", "images[0].file_id")
    assert refused(lambda: edit(mask={"image_url": "data:;base64,?"})) == ("invalid_base64", "mask")
    assert refused(lambda: edit(mask={"image_url": "data:;base64,AAAA"})) == ("invalid_image_file", "mask")


def test_another_type_is_refused():
    """Neither a form nor JSON."""
    with pytest.raises(Problem) as caught:
        read_edit(b"{}", "text/plain")
    assert caught.value.status == 415


anything = st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.lists(st.just({"image_url": "x"}))


@given(
    st.dictionaries(
        st.sampled_from(["prompt", "size", "quality", "n", "stream", "partial_images", "images", "mask"]),
        anything,
        max_size=4,
    )
)
def test_nothing_but_a_problem_is_raised(fields):
    """Whatever stands in the fields, the request is understood or refused."""
    with suppress(Problem):
        new(**fields)
    with suppress(Problem):
        edit(**fields)
