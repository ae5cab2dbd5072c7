"""pydantic-ai: an agent over chat, and one over Responses."""

from typing import Any

from openai import AsyncOpenAI
from pydantic_ai import Agent, Embedder, ModelHTTPError
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from telling import API_KEY, BASE_URL, EMBEDDING_MODEL, FIRST, MODEL, SECOND, SUNNY, TELL, TEXTS, WEATHER, tell

provider = OpenAIProvider(openai_client=AsyncOpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0))


def told(door: str, task: str, messages: list[ModelMessage]) -> None:
    """Tell of the answers among messages."""
    for answer in messages:
        if isinstance(answer, ModelResponse):
            saw: dict[str, Any] = {"text": answer.text}
            for part in answer.parts:
                if isinstance(part, ToolCallPart):
                    saw |= {"tool": part.tool_name, "arguments": part.args_as_dict()}
            tell(door, task, **saw, tokens=[answer.usage.input_tokens, answer.usage.output_tokens])


def talk(door: str, model: Any, wrong: Any) -> None:
    """Talk through an agent."""
    agent = Agent(model)

    first = agent.run_sync(FIRST)
    told(door, "conversation", first.new_messages())
    second = agent.run_sync(SECOND, message_history=first.all_messages())
    told(door, "conversation", second.new_messages())

    stream = agent.run_stream_sync(TELL)
    said = "".join(stream.stream_text(delta=True))
    told(door, "stream", stream.new_messages())
    assert stream.get_output() == said

    knowing = Agent(model)

    @knowing.tool_plain
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return f"{SUNNY} in {city}"

    told(door, "tool", knowing.run_sync(WEATHER).new_messages())

    try:
        Agent(wrong).run_sync(FIRST)
    except ModelHTTPError as error:
        tell(door, "error", error=type(error).__name__, status=error.status_code, code=error.body["code"])

    embedder = Embedder(OpenAIEmbeddingModel(EMBEDDING_MODEL, provider=provider))
    made = embedder.embed_documents_sync(TEXTS)
    tell(door, "embedding", vectors=[list(one) for one in made.embeddings], tokens=[made.usage.input_tokens, 0])


talk("chat", OpenAIChatModel(MODEL, provider=provider), OpenAIChatModel("no-such-model", provider=provider))
talk(
    "responses",
    OpenAIResponsesModel(MODEL, provider=provider),
    OpenAIResponsesModel("no-such-model", provider=provider),
)
