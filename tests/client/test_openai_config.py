"""A configuration in Python."""

import asyncio
from decimal import Decimal

import pytest

from headgate import AsyncHeadgate, ConfigError
from headgate.types import BatchConfig, OpenAIConfig, RateLimitConfig, RetryConfig


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)


def test_the_environment_fills_what_is_not_given(monkeypatch, tmp_path):
    """`.env` too; what is given wins over both, and the environment over the file."""
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-file\nOPENAI_MODEL=m-file\nOPENAI_RATE_LIMIT_TPM=1000\n")
    monkeypatch.setenv("OPENAI_MODEL", "m-env")
    monkeypatch.setenv("OPENAI_RATE_LIMIT_RPM", "60")
    monkeypatch.setenv("OPENAI_MAX_RETRIES", "4")
    monkeypatch.setenv("OPENAI_BATCH_CONCURRENCY", "9")
    monkeypatch.setenv("OPENAI_TIMEOUT_SECONDS", "12")
    monkeypatch.setenv("OPENAI_DAILY_BUDGET_USD", "3.50")
    config = OpenAIConfig(rate_limit=RateLimitConfig(requests_per_minute=30))
    assert config.api_key.reveal() == "sk-file"
    assert "sk-file" not in repr(config)
    assert config.model == "m-env"
    assert (config.rate_limit.requests_per_minute, config.rate_limit.tokens_per_minute) == (30, 1000)
    assert (config.retry.max_retries, config.batch.concurrency, config.timeout) == (4, 9, 12)
    assert config.daily_budget_usd == Decimal("3.50")
    assert OpenAIConfig(model="mine").model == "mine"


def test_it_makes_a_gate():
    """The same as a file would say."""
    config = OpenAIConfig(
        api_key="sk-${x}",
        base_url="http://127.0.0.1:9/v1",
        model="gpt-6-luna",
        timeout=7,
        daily_budget_usd="5",
        rate_limit=RateLimitConfig(requests_per_minute=60, spread=True),
        retry=RetryConfig(max_retries=1, budget=0.5),
        batch=BatchConfig(concurrency=3),
    )
    made = AsyncHeadgate(config).config
    provider = made.providers["openai"]
    assert (provider.api_key.reveal(), provider.base_url) == ("sk-${x}", "http://127.0.0.1:9/v1")
    assert (provider.limits.requests_per_minute, provider.limits.window, provider.limits.spread) == (
        60,
        "sliding",
        True,
    )
    assert (provider.timeout.connect, provider.timeout.total, provider.max_retries) == (7, 600, 1)
    assert made.models["default"] == "gpt-6-luna"
    assert made.policies.retry.budget == 0.5
    assert (made.budgets[0].window, made.budgets[0].limit_usd) == ("day", Decimal(5))


def test_many_prompts_are_asked_as_it_says(capsys):
    """So many at once, and progress."""

    async def story():
        config = OpenAIConfig(model="gpt-6-luna", batch=BatchConfig(concurrency=2, progress=True))
        async with AsyncHeadgate(config, simulate=True) as gate:
            return await gate.batch_generate(["One.", "Two.", "Three."])

    assert len(asyncio.run(story())) == 3
    assert capsys.readouterr().err.startswith("3 of 3 calls, $0.0")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: RateLimitConfig(requests_per_minute=0), "`requests_per_minute` (or OPENAI_RATE_LIMIT_RPM)"),
        (lambda: RetryConfig(max_retries=-1), "`max_retries` (or OPENAI_MAX_RETRIES)"),
        (lambda: OpenAIConfig(base_url="nonsense"), "`base_url` (or OPENAI_BASE_URL)"),
        (lambda: OpenAIConfig(nonsense=1), "`nonsense`"),
        (lambda: OpenAIConfig(api_key="sk-secret\nline"), "`api_key`"),
        (lambda: BatchConfig(concurrency=True), "`concurrency`"),
    ],
)
def test_a_wrong_value_is_told_by_name_and_not_shown(make, said):
    """It may be a credential."""
    with pytest.raises(ConfigError) as caught:
        make()
    assert said in caught.value.message
    assert "secret" not in str(caught.value)


def test_without_a_key_nobody_can_be_asked():
    """The cure is told."""
    with pytest.raises(ConfigError, match="No usable provider"):
        AsyncHeadgate(OpenAIConfig(model="m"))
