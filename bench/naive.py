"""The gateway a typical guide shows: pydantic in, the OpenAI SDK through, pydantic out. What we are compared with."""

import os
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI
from pydantic import BaseModel

app = FastAPI()
client = AsyncOpenAI(base_url=os.environ["UP"] + "/v1", api_key="sk-up")


class Message(BaseModel):
    """One message."""

    role: str
    content: str


class ChatRequest(BaseModel):
    """What a guide reads of a request."""

    model: str
    messages: list[Message]
    temperature: float | None = 1.0
    max_tokens: int | None = None
    stream: bool = False


@app.post("/v1/chat/completions")
async def chat(request: ChatRequest) -> Any:
    """Forward a request."""
    fields: dict[str, Any] = {
        "model": request.model,
        "messages": [message.model_dump() for message in request.messages],
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
    }
    if request.stream:

        async def events() -> AsyncIterator[str]:
            async for part in await client.chat.completions.create(stream=True, **fields):
                yield f"data: {part.model_dump_json()}\n\n"
            yield "data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")
    return await client.chat.completions.create(**fields)
