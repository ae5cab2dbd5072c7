"""A FastAPI application with a gate: words, a stream, an object, spending per user.

Run it with `HEADGATE_SIMULATE=1 uvicorn fastapi_app:app`, or with OPENAI_API_KEY (or headgate.yaml here) and without
HEADGATE_SIMULATE. Then:

    curl localhost:8000/generate -H 'x-user: anna' --json '{"prompt": "Name a city in France."}'
    curl -N 'localhost:8000/stories?about=a+fox' -H 'x-user: anna'
    curl localhost:8000/cities/Lyon -H 'x-user: anna'
    curl localhost:8000/spending -H 'x-user: anna'
"""

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Query, Request, Response
from pydantic import BaseModel

from headgate.fastapi import GateDep, generate_router, lifespan, sse_response, while_connected

app = FastAPI(title="Travel desk", lifespan=lifespan)


async def user(x_user: Annotated[str, Header(min_length=1, max_length=64)]) -> str:
    # The application's own login stands here; what it returns is how the books know the user.
    return x_user


User = Annotated[str, Depends(user)]

# POST /generate and POST /generate-stream, as the gateway has them.
app.include_router(generate_router(user=user))


class City(BaseModel):
    name: str
    country: str
    sights: list[str]


@app.get("/stories")
async def story(about: Annotated[str, Query(max_length=200)], gate: GateDep, who: User) -> Response:
    return sse_response(gate.stream(f"Tell a short story about {about}.", user=who, max_tokens=500))


@app.get("/cities/{name}")
async def city(name: str, request: Request, gate: GateDep, who: User) -> City:
    async with while_connected(request):  # who leaves does not pay for the rest
        return await gate.parse(City, f"Describe the city of {name[:100]}.", user=who)


@app.get("/spending")
async def spending(gate: GateDep, who: User) -> dict[str, Any]:
    report = await gate.usage(by="model", where={"user": who})
    models = {part.group["model"]: part.calls for part in report.by}
    return {"calls": report.calls, "cost_usd": str(report.cost_usd), "models": models}
