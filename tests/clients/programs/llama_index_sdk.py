"""LlamaIndex: `OpenAILike` and `OpenAILikeEmbedding`, for which any model name is right."""

from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from openai import NotFoundError
from telling import API_KEY, BASE_URL, EMBEDDING_MODEL, FIRST, MODEL, SECOND, SUNNY, TELL, TEXTS, WEATHER, tell

llm = OpenAILike(
    model=MODEL,
    api_base=BASE_URL,
    api_key=API_KEY,
    is_chat_model=True,
    is_function_calling_model=True,
    max_retries=0,
)


def told(task: str, answer: ChatResponse) -> ChatMessage:
    """Tell of an answer; gives its message."""
    saw: dict[str, Any] = {}
    for call in llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False):
        saw |= {"tool": call.tool_name, "arguments": call.tool_kwargs}
    usage = answer.raw.usage
    if usage is not None:
        saw["tokens"] = [usage.prompt_tokens, usage.completion_tokens]
    tell("chat", task, text=answer.message.content, **saw)
    return answer.message


asked = [ChatMessage(content=FIRST)]
said = told("conversation", llm.chat(asked))
told("conversation", llm.chat([*asked, said, ChatMessage(content=SECOND)]))

*_, last = llm.stream_chat([ChatMessage(content=TELL)])
told("stream", last)


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"{SUNNY} in {city}"


tool = FunctionTool.from_defaults(get_weather)
question = ChatMessage(content=WEATHER)
answer = llm.chat_with_tools([tool], user_msg=question)
called = told("tool", answer)
(call,) = llm.get_tool_calls_from_response(answer)
result = ChatMessage(
    role=MessageRole.TOOL,
    content=tool(**call.tool_kwargs).content,
    additional_kwargs={"tool_call_id": call.tool_id},
)
told("tool", llm.chat_with_tools([tool], chat_history=[question, called, result]))

try:
    OpenAILike(model="no-such-model", api_base=BASE_URL, api_key=API_KEY, is_chat_model=True, max_retries=0).chat(asked)
except NotFoundError as error:
    saw = {"error": type(error).__name__, "status": error.status_code, "code": error.code}
    tell("chat", "error", **saw, request_id=error.request_id)

embedding = OpenAILikeEmbedding(model_name=EMBEDDING_MODEL, api_base=BASE_URL, api_key=API_KEY, max_retries=0)
tell("chat", "embedding", vectors=embedding.get_text_embedding_batch(TEXTS))
