"""What `/openapi.json` says of the hot paths, which no framework knows.

Decides how they are described; refuses to know how they are answered. The body's fields are OpenAI's: only those that
the gateway itself reads are named, all others travel on untouched.
"""

from typing import Any

from headgate.core.call import Operation
from headgate.core.error_table import tree
from headgate.dialects.endpoints import ENDPOINTS, Endpoint
from headgate.gate import ask
from headgate.gate.key_wish import KeyWish
from headgate.gate.spool import FORM

_ERROR = {"$ref": "#/components/schemas/Error"}
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
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
    (ask.CACHE, "An answer from the past: `on`, `off`, `refresh`, `ttl=600`."),
    (ask.IDEMPOTENCY, "A name for the call: it is made once, and whoever sends it again gets what came of it."),
    ("x-headgate-trailer", "`1`: a stream ends with a comment that tells its cost."),
)
_TOLD_HEADERS = {
    "x-request-id": "Names this request in the books and in the log.",
    "x-headgate-provider": "Who answered.",
    "x-headgate-model": "The model it was asked for.",
    "x-headgate-attempts": "How many attempts it took.",
    "x-headgate-cache": "`hit`, `miss`, `coalesced` (with another call that asked the same) or `off`.",
    "x-headgate-dropped": "Parameters that the model did not get as they came, because it does not take them.",
    "x-headgate-cost-usd": "What a whole answer cost; missing where the price is not known.",
    "x-headgate-upstream-request-id": "The provider's own request id.",
    "x-headgate-simulated": "`1`: the simulator made the answer up.",
}


_TITLES: dict[Operation, tuple[str, str, dict[str, Any]]] = {
    Operation.CHAT: ("Chat completions", "chat completions", _CHAT),
    Operation.RESPONSES: ("Responses", "Responses API", _RESPONSES),
    Operation.COMPLETIONS: ("Completions (legacy)", "completions", _COMMON),
    Operation.EMBEDDINGS: ("Embeddings", "embeddings", _COMMON),
    Operation.MODERATIONS: ("Moderations", "moderations", _COMMON),
    Operation.IMAGES: ("Image generation", "image generation", _COMMON),
    Operation.IMAGE_EDITS: ("Image edits", "image edits", _COMMON),
    Operation.SPEECH: ("Speech", "speech", _COMMON),
    Operation.TRANSCRIPTIONS: ("Transcriptions", "transcriptions", _COMMON),
    Operation.TRANSLATIONS: ("Translations", "translations", _COMMON),
    Operation.INPUT_TOKENS: ("Token counts", "count of a response's input tokens", _COMMON),
    Operation.STORED: ("Stored responses", "stored responses", {}),
    Operation.FILES: ("Files", "files", {}),
    Operation.UPLOADS: ("Uploads", "uploads", {}),
    Operation.BATCHES: ("Batches", "batches", {}),
}


def hot_paths() -> dict[str, Any]:
    """The paths, as OpenAPI writes them."""
    paths: dict[str, Any] = {
        "/v1" + path: {method.lower(): _described(path, endpoint) for method, endpoint in methods.items()}
        for path, methods in ENDPOINTS.items()
    }
    listing = {
        "tags": ["models"],
        "security": [{"key": []}],
        "responses": {"200": {"description": "In OpenAI's shape."}, "401": _said([401])},
    }
    paths["/v1/models"] = {
        "get": {"summary": "Models", "description": "The names that this key may ask for."} | listing
    }
    paths["/v1/models/{id}"] = {
        "get": {"summary": "Model", "description": "One of them.", "parameters": [_ID]} | listing,
    }
    told = {"200": {"description": "JSON."}, "401": _said([401]), "403": _said([403])}
    paths["/v1/usage"] = {
        "get": {
            "summary": "Usage",
            "description": "What this key has spent, what is left of its budgets, and its limits.",
            "tags": ["models"],
            "security": [{"key": []}],
            "responses": told,
        }
    }
    return paths


def components() -> dict[str, Any]:
    """What the paths refer to."""
    text = {"type": ["string", "null"]}
    error = {"type": "object", "properties": {"message": {"type": "string"}, "type": text, "param": text, "code": text}}
    wish = KeyWish.model_json_schema(ref_template="#/components/schemas/{model}")
    return {
        "schemas": {"Error": {"type": "object", "properties": {"error": error}}, **wish.pop("$defs"), "KeyWish": wish},
        "securitySchemes": {
            "key": {"type": "http", "scheme": "bearer"},
            "admin": {"type": "http", "scheme": "bearer", "description": "`server.admin_key`"},
        },
    }


def _described(path: str, endpoint: Endpoint) -> dict[str, Any]:
    statuses = sorted({error.status for error in tree() if error.status})
    title, what, fields = _TITLES[endpoint.operation]
    shape = {"schema": {"type": "object", "properties": fields, "additionalProperties": True}}
    kinds = [kind for kind, word in (("application/json", "json"), (FORM, "form")) if word in endpoint.takes]
    return {
        "summary": title,
        "description": f"Takes and gives what OpenAI's {what} do. Fields unknown to the gateway travel on untouched.",
        "tags": ["models"],
        "security": [{"key": []}],
        "parameters": [
            *([_ID] if "{id}" in path else []),
            *(
                {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
                for name, text in _ASK_HEADERS
            ),
        ],
        **(
            {}
            if endpoint.takes == "maybe json"
            else {"requestBody": {"required": True, "content": dict.fromkeys(kinds, shape)}}
        ),
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
