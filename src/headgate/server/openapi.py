"""What `/openapi.json` says of the hot paths, which no framework knows.

Decides how they are described; refuses to know how they are answered. The body's fields are OpenAI's: only those that
the gateway itself reads are named, all others travel on untouched.
"""

from typing import Any

from headgate.core.errors import tree
from headgate.gate import ask

_ERROR = {"$ref": "#/components/schemas/Error"}
_COMMON: dict[str, dict[str, Any]] = {
    "model": {"type": "string", "description": "A name of `GET /v1/models`; without it the default model answers."},
    "stream": {"type": "boolean", "description": "Answer with server-sent events."},
    "user": {"type": "string", "description": "The end user, for the books."},
}
_CHAT = {
    **_COMMON,
    "messages": {"type": "array", "items": {"type": "object"}, "description": "The conversation."},
}
_RESPONSES = {
    **_COMMON,
    "input": {"anyOf": [{"type": "string"}, {"type": "array"}], "description": "Text, or items."},
}
_ASK_HEADERS = (
    (ask.TAGS, "Tags of the call in the books: `team=a,feature=b`."),
    (ask.DEADLINE, "When the answer is of no use any more: `30s`, `500ms`, `2m`."),
    (ask.PRIORITY, "0 to 9; 9 goes first."),
    ("x-headgate-trailer", "`1`: a stream ends with a comment that tells its cost."),
)
_TOLD_HEADERS = {
    "x-request-id": "Names this request in the books and in the log.",
    "x-headgate-provider": "Who answered.",
    "x-headgate-model": "The model it was asked for.",
    "x-headgate-attempts": "How many attempts it took.",
    "x-headgate-cost-usd": "What a whole answer cost; missing where the price is not known.",
    "x-headgate-upstream-request-id": "The provider's own request id.",
    "x-headgate-simulated": "`1`: the simulator made the answer up.",
}


def hot_paths() -> dict[str, Any]:
    """The paths, as OpenAPI writes them."""
    return {
        "/v1/chat/completions": {
            "post": _post("Chat completions", "Takes and gives what OpenAI's chat completions do.", _CHAT)
        },
        "/v1/responses": {"post": _post("Responses", "Takes and gives what OpenAI's Responses API does.", _RESPONSES)},
        "/v1/models": {
            "get": {
                "summary": "Models",
                "description": "The names that this key may ask for.",
                "tags": ["models"],
                "security": [{"key": []}],
                "responses": {"200": {"description": "A list in OpenAI's shape."}, "401": _said([401])},
            }
        },
    }


def components() -> dict[str, Any]:
    """What the paths refer to."""
    text = {"type": ["string", "null"]}
    error = {"type": "object", "properties": {"message": {"type": "string"}, "type": text, "param": text, "code": text}}
    return {
        "schemas": {"Error": {"type": "object", "properties": {"error": error}}},
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
    }


def _post(summary: str, description: str, fields: dict[str, Any]) -> dict[str, Any]:
    statuses = sorted({error.status for error in tree() if error.status})
    return {
        "summary": summary,
        "description": f"{description} Fields that the gateway does not know travel on untouched.",
        "tags": ["models"],
        "security": [{"key": []}],
        "parameters": [
            {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
            for name, text in _ASK_HEADERS
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"type": "object", "properties": fields, "additionalProperties": True},
                }
            },
        },
        "responses": {
            "200": {
                "description": "The provider's answer.",
                "headers": {
                    name: {"description": text, "schema": {"type": "string"}} for name, text in _TOLD_HEADERS.items()
                },
                "content": {"application/json": {}, "text/event-stream": {}},
            },
            "4XX": {
                "description": "The provider refuses the request; its answer as it came.",
                "content": {"application/json": {"schema": _ERROR}},
            },
            **{str(status): _said([status]) for status in statuses},
        },
    }


def _said(statuses: list[int]) -> dict[str, Any]:
    """An error status, described by the classes that it stands for."""
    meant = [f"`{error.code}`" for error in tree() if error.status in statuses]
    return {
        "description": ", ".join(dict.fromkeys(meant)),
        "content": {"application/json": {"schema": _ERROR}},
    }
