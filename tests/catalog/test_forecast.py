"""Covers catalog/forecast.py."""

import random  # noqa: TID251  seeded draws of answers' lengths

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.catalog.forecast import OUTPUT, QUANTILE, Forecast
from headgate.core.body import Body
from headgate.core.call import Call, Operation
from headgate.core.limits import Demand
from headgate.core.upload import Upload
from headgate.core.usage import TokenUsage


def asking(fields=b"", *, words=400, operation=Operation.CHAT, body=None):
    """A call whose body has so many characters and these fields."""
    raw = b'{"messages":[{"role":"user","content":"%s"}]%s}' % (b"x" * words, b"," + fields if fields else b"")
    return Call(
        id="1", operation=operation, model="m", body=Body(raw) if body is None else body, started=0, day="2027-01-15"
    )


def used(tokens_in, tokens_out):
    """A usage."""
    return TokenUsage(prompt_tokens=tokens_in, completion_tokens=tokens_out)


def test_before_anything_is_known():
    """Four bytes a token, and an answer of middling length, unless the request says shorter."""
    found = Forecast().expect(asking())
    assert found == Demand(round(asking().body.size / 4), OUTPUT)
    assert Forecast().expect(asking(b'"max_tokens":20')).output == 20
    assert Forecast().expect(asking(b'"max_completion_tokens":20,"n":3')).output == 60
    assert Forecast().expect(asking(b'"max_output_tokens":9000')).output == OUTPUT


def test_input_follows_what_providers_report():
    """A model whose tokens are twice as short is expected to need twice as many."""
    forecast, call = Forecast(), asking()
    for _ in range(200):
        forecast.learn(call, used(call.body.size // 2, 10))
    assert forecast.expect(call).input == pytest.approx(call.body.size / 2, rel=0.05)
    assert forecast.expect(asking(words=4000)).input == pytest.approx(2000, rel=0.05)


def test_pictures_do_not_spoil_what_is_known_of_text():
    """A megabyte of a picture that costs a thousand tokens teaches nothing about letters."""
    forecast, text = Forecast(), asking()
    picture = asking(b'"image":"data:image/png;base64,%s"' % (b"A" * 1_000_000))
    before = forecast.expect(text).input
    assert forecast.expect(picture).input < 10_000
    for _ in range(100):
        forecast.learn(picture, used(1000, 10))
    assert forecast.expect(text).input == before
    assert forecast.expect(picture).input == pytest.approx(1000, rel=0.05)


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.2])
def test_output_is_a_quantile_of_the_latest_answers(spread):
    """Of answers whose lengths vary tenfold, the promised share is not longer than expected."""
    forecast, call, draw = Forecast(), asking(), random.Random(1)  # noqa: S311  no secret
    below = 0
    for number in range(4000):
        length = max(1, int(300 * draw.lognormvariate(0, spread)))
        below += number >= 1000 and length <= forecast.expect(call).output * 1.1
        forecast.learn(call, used(10, length))
    assert below / 3000 >= QUANTILE - 0.05
    assert spread == 0.0 or below / 3000 <= QUANTILE + 0.1


def test_output_forgets():
    """When answers become ten times as long, a hundred of them are enough to know it."""
    forecast, call = Forecast(), asking()
    for length in [50] * 500 + [500] * 100:
        forecast.learn(call, used(10, length))
    assert 450 <= forecast.expect(call).output <= 600


def test_choices_are_learned_one_by_one():
    """Three choices of fifty tokens teach that a choice has fifty."""
    forecast = Forecast()
    for _ in range(100):
        forecast.learn(asking(b'"n":3'), used(10, 150))
    assert 45 <= forecast.expect(asking()).output <= 60


def test_one_lie_spoils_nothing():
    """A billion tokens claimed for one call would keep the next hundreds waiting for a limit."""
    forecast, call = Forecast(), asking()
    forecast.learn(call, used(10**9, 10**9))
    for _ in range(50):
        forecast.learn(call, used(call.body.size // 4, 300))
    before = forecast.expect(call)
    forecast.learn(call, used(10**9, 10**9))
    after = forecast.expect(call)
    assert before.output <= 1500
    assert after.input <= before.input * 20 + 1000
    assert after.output <= before.output * 1.2


def test_what_has_really_grown_is_followed():
    """A short question that goes on from a long talk at the provider: after a few of them that is known."""
    forecast, call = Forecast(), asking()
    for _ in range(8):
        forecast.learn(call, used(200_000, 50_000))
    assert 100_000 <= forecast.expect(call).input <= 200_000
    assert forecast.expect(call).output >= 30_000


def test_what_has_no_output():
    """Embeddings and moderations have none, and counting tokens costs none at all."""
    forecast = Forecast()
    for operation in (Operation.EMBEDDINGS, Operation.MODERATIONS):
        forecast.learn(asking(operation=operation), used(100, 0))
        assert forecast.expect(asking(operation=operation)).output == 0
    assert forecast.expect(asking()).output == OUTPUT
    assert forecast.expect(asking(operation=Operation.INPUT_TOKENS)) == Demand()


def test_uploads():
    """A file tells its size and no cap."""
    upload = Upload("audio/wav", [b"x" * 100_000])
    assert 0 < Forecast().expect(asking(body=upload, operation=Operation.TRANSCRIPTIONS)).input < 1000


@given(
    st.integers(-(10**18), 10**18),
    st.integers(-(10**18), 10**18),
    st.binary(max_size=60),
)
def test_nothing_that_is_claimed_breaks_it(tokens_in, tokens_out, raw):
    """Whatever a provider reports and a body holds, what is expected is a sane number."""
    forecast, call = Forecast(), asking(body=Body(raw))
    forecast.learn(call, used(tokens_in, tokens_out))
    forecast.learn(asking(), used(tokens_in, tokens_out))
    found = forecast.expect(asking())
    assert 0 <= found.input <= 10**12
    assert 0 < found.output <= 2 * 10**9
    assert forecast.expect(call).input >= 0
