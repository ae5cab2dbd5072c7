"""The usage that an answer reports."""

from headgate.core.usage import TokenUsage
from headgate.providers.simulator.reported import chat_usage, reported, responses_usage
from headgate.providers.simulator.settings import Fault

USAGE = TokenUsage(prompt_tokens=7, completion_tokens=5, cached_tokens=3, cache_write_tokens=2, reasoning_tokens=1)


def test_both_dialects_say_the_same():
    """Under their own names."""
    chat, responses = chat_usage(USAGE), responses_usage(USAGE)
    assert (chat["prompt_tokens"], chat["completion_tokens"], chat["total_tokens"]) == (7, 5, 12)
    assert (responses["input_tokens"], responses["output_tokens"], responses["total_tokens"]) == (7, 5, 12)
    assert chat["prompt_tokens_details"]["cached_tokens"] == responses["input_tokens_details"]["cached_tokens"] == 3
    assert chat["prompt_tokens_details"]["cache_write_tokens"] == 2
    assert chat["completion_tokens_details"]["reasoning_tokens"] == 1


def test_faults_spoil_it():
    """None at all, or wrong in one of five ways; other faults leave it alone."""
    truth = chat_usage(USAGE)
    assert reported(truth, None, 0) is truth
    assert reported(truth, Fault(kind="cut"), 0) is truth
    assert reported(truth, Fault(kind="no_usage"), 0) is None
    wrong = [reported(truth, Fault(kind="wrong_usage"), number) or {} for number in range(5)]
    assert "completion_tokens" not in wrong[0]
    assert wrong[1]["prompt_tokens"] == -1
    assert wrong[2]["completion_tokens"] == 10**15
    assert wrong[3]["prompt_tokens"] == "7"
    assert wrong[4] == {}
    assert (reported(responses_usage(USAGE), Fault(kind="wrong_usage"), 1) or {})["input_tokens"] == -1
