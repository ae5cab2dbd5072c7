"""LangChain: `ChatOpenAI` and `OpenAIEmbeddings`."""

from typing import Any

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from openai import NotFoundError
from telling import API_KEY, BASE_URL, EMBEDDING_MODEL, FIRST, MODEL, SECOND, SUNNY, TELL, TEXTS, WEATHER, tell


def talk(door: str, **settings: Any) -> None:
    """Talk through a chat model."""
    chat = ChatOpenAI(model=MODEL, base_url=BASE_URL, api_key=API_KEY, max_retries=0, **settings)

    def told(task: str, message: Any) -> Any:
        saw = {call["name"]: call["args"] for call in message.tool_calls}
        tool, arguments = next(iter(saw.items()), (None, None))
        usage, headers = message.usage_metadata, message.response_metadata["headers"]
        tell(
            door,
            task,
            text=message.text,
            tool=tool,
            arguments=arguments,
            tokens=[usage["input_tokens"], usage["output_tokens"]],
            request_id=headers["x-request-id"],
        )
        return message

    asked = [HumanMessage(FIRST)]
    said = told("conversation", chat.invoke(asked))
    told("conversation", chat.invoke([*asked, said, HumanMessage(SECOND)]))

    whole = None
    for chunk in chat.stream(TELL):
        whole = chunk if whole is None else whole + chunk
    told("stream", whole)

    @tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return f"{SUNNY} in {city}"

    knowing = chat.bind_tools([get_weather])
    asked = [HumanMessage(WEATHER)]
    called = told("tool", knowing.invoke(asked))
    result: ToolMessage = get_weather.invoke(called.tool_calls[0])
    told("tool", knowing.invoke([*asked, called, result]))

    try:
        ChatOpenAI(model="no-such-model", base_url=BASE_URL, api_key=API_KEY, max_retries=0, **settings).invoke(FIRST)
    except NotFoundError as error:
        saw = {"error": type(error).__name__, "status": error.status_code, "code": error.code}
        tell(door, "error", **saw, request_id=error.request_id)


# Unless told not to, LangChain cuts texts by tokens first, for which it fetches a vocabulary from the network.
embeddings = OpenAIEmbeddings(
    model=EMBEDDING_MODEL, base_url=BASE_URL, api_key=API_KEY, max_retries=0, check_embedding_ctx_length=False
)

# Left to itself it takes Responses where a reasoning model is offered tools, and chat elsewhere.
talk("default", include_response_headers=True, stream_usage=True)
tell("default", "embedding", vectors=embeddings.embed_documents(TEXTS))
tell("default", "embedding", vectors=embeddings.embed_documents(TEXTS, encoding_format="float"))
talk("responses", include_response_headers=True, use_responses_api=True)
