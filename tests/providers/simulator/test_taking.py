"""What models take and refuse; `tests/gate/test_parameters.py` holds it against the catalog."""

import pytest

from headgate.providers.simulator.models import MODELS
from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.taking import check_cache, check_cap, check_sampling, check_verbosity, effort_of


def problem(what, *args):
    """What a check says."""
    with pytest.raises(Problem) as caught:
        what(*args)
    return caught.value


def test_efforts():
    """The default, what the model takes, and what it does not."""
    assert effort_of(MODELS["gpt-6-luna"], None, "p") == "medium"
    assert effort_of(MODELS["gpt-5.4"], None, "p") == "none"
    assert effort_of(MODELS["gpt-6-sol"], "max", "p") == "max"
    assert effort_of(MODELS["fake"], "high", "p") == "none"
    assert problem(effort_of, MODELS["gpt-6-astra"], "none", "p").code == "unsupported_value"
    assert problem(effort_of, MODELS["gpt-6-astra"], "minimal", "p").code == "unsupported_value"
    assert problem(effort_of, MODELS["gpt-4o"], "low", "p").code == "unsupported_parameter"


def test_sampling():
    """A model that reasons takes no sampling; one that does not takes it within bounds."""
    luna, plain = MODELS["gpt-6-luna"], MODELS["gpt-4o"]
    check_sampling(plain, "none", {"temperature": 0.7, "top_p": 0.1, "stop": "x", "logprobs": True})
    check_sampling(luna, "none", {"temperature": 0.7, "logprobs": True})
    check_sampling(luna, "medium", {"temperature": 1, "top_p": 1.0, "stop": None, "presence_penalty": 0})
    assert problem(check_sampling, luna, "medium", {"temperature": 0.7}).code == "unsupported_value"
    assert problem(check_sampling, luna, "medium", {"top_logprobs": 2}).param == "top_logprobs"
    assert problem(check_sampling, luna, "none", {"stop": ["x"]}).code == "unsupported_parameter"
    check_sampling(luna, "none", {"stop": [], "logit_bias": {}, "modalities": ["text"]})
    assert problem(check_sampling, luna, "none", {"modalities": ["text", "audio"]}).param == "modalities"
    assert problem(check_sampling, plain, "none", {"temperature": 2.1}).code == "decimal_out_of_range"
    assert problem(check_sampling, plain, "none", {"top_p": -1}).param == "top_p"


def test_caps():
    """From the least that the API takes to the most that the model writes; both numbers are named."""
    plain = MODELS["gpt-4o"]
    check_cap(plain, "p", None, 16)
    check_cap(plain, "p", 16, 16)
    assert problem(check_cap, plain, "p", 15, 16).code == "integer_below_min_value"
    assert problem(check_cap, plain, "p", 16_385, 16).message == (
        "p is too large: 16385. This model supports at most 16384 completion tokens, whereas you provided 16385."
    )
    check_cap(MODELS["fake"], "p", 10**9, 16)


def test_caches():
    """Only newer models take options for them."""
    plain = MODELS["gpt-4o"]
    check_cache(MODELS["gpt-6-luna"], {"ttl": "12h"})
    check_cache(plain, None)
    assert problem(check_cache, plain, {}).param == "prompt_cache_options"


def test_verbosity():
    """One of three words."""
    check_verbosity("p", "low")
    check_verbosity("p", None)
    assert problem(check_verbosity, "p", "loud").code == "invalid_value"
