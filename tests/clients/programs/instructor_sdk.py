"""Instructor: answers as objects, by way of a tool that must be called; vectors by the client that it wraps."""

from typing import Any

import instructor
from instructor.core.exceptions import InstructorRetryException
from openai import NotFoundError, OpenAI
from pydantic import BaseModel
from telling import API_KEY, BASE_URL, EMBEDDING_MODEL, FIRST, MODEL, SECOND, SUNNY, TELL, TEXTS, WEATHER, tell

openai = OpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0)
client = instructor.from_openai(openai)


class City(BaseModel):
    """A city."""

    name: str
    country: str


def told(task: str, made: BaseModel, chat: Any) -> None:
    """Tell of an object and the answer that it was made of."""
    tokens = [chat.usage.prompt_tokens, chat.usage.completion_tokens]
    tell(
        "chat", task, tool=type(made).__name__, arguments=made.model_dump(), tokens=tokens, request_id=chat._request_id
    )


asked: list[Any] = [{"role": "user", "content": FIRST}]
city, chat = client.create_with_completion(model=MODEL, messages=asked, response_model=City)
told("conversation", city, chat)
asked += [{"role": "assistant", "content": city.model_dump_json()}, {"role": "user", "content": SECOND}]
told("conversation", *client.create_with_completion(model=MODEL, messages=asked, response_model=City))

question: list[Any] = [{"role": "user", "content": TELL}]
*_, last = client.create_partial(model=MODEL, messages=question, response_model=City)
# A class of which parts are to come is offered to the model under this name.
tell("chat", "stream", tool=f"Partial{type(last).__name__}", arguments=last.model_dump())


class Weather(BaseModel):
    """What to ask the weather service: `get_weather`."""

    city: str


question = [{"role": "user", "content": WEATHER}]
wanted, chat = client.create_with_completion(model=MODEL, messages=question, response_model=Weather)
told("tool", wanted, chat)
called = {"content": None, **chat.choices[0].message.model_dump(exclude_none=True)}
question += [called, {"role": "tool", "tool_call_id": called["tool_calls"][0]["id"], "content": SUNNY}]
chat = client.create(model=MODEL, messages=question, response_model=None)
tokens = [chat.usage.prompt_tokens, chat.usage.completion_tokens]
tell("chat", "tool", text=chat.choices[0].message.content, tokens=tokens, request_id=chat._request_id)

try:
    client.create(model="no-such-model", messages=asked, response_model=City)
except InstructorRetryException as error:
    cause = error.__cause__
    assert isinstance(cause, NotFoundError)
    saw = {"error": type(error).__name__, "status": cause.status_code, "code": cause.code}
    tell("chat", "error", **saw, request_id=cause.request_id)

made = openai.embeddings.create(model=EMBEDDING_MODEL, input=TEXTS)
tell("chat", "embedding", vectors=[one.embedding for one in made.data], tokens=[made.usage.prompt_tokens, 0])
