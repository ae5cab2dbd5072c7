// The official OpenAI client for Node: chat and Responses.

import OpenAI from "openai";

import { API_KEY, BASE_URL, EMBEDDING_MODEL, FIRST, MODEL, SECOND, SUNNY, TELL, TEXTS, WEATHER, tell } from "./telling.mjs";

const client = new OpenAI({ baseURL: BASE_URL, apiKey: API_KEY, maxRetries: 0 });

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const weather = { name: "get_weather", description: "The weather in a city.", parameters };

function tellChat(task, chat) {
  const [{ message }] = chat.choices;
  const [call] = message.tool_calls ?? [];
  tell("chat", task, {
    text: message.content,
    ...(call && { tool: call.function.name, arguments: JSON.parse(call.function.arguments) }),
    tokens: [chat.usage.prompt_tokens, chat.usage.completion_tokens],
    request_id: chat._request_id,
  });
  return message;
}

function tellError(door, error) {
  if (!(error instanceof OpenAI.NotFoundError)) throw error;
  tell(door, "error", {
    error: error.constructor.name,
    status: error.status,
    code: error.code,
    request_id: error.requestID,
  });
}

async function talkChat() {
  const asked = [{ role: "user", content: FIRST }];
  const said = tellChat("conversation", await client.chat.completions.create({ model: MODEL, messages: asked }));
  const messages = [...asked, said, { role: "user", content: SECOND }];
  tellChat("conversation", await client.chat.completions.create({ model: MODEL, messages }));

  const { data: stream, request_id } = await client.chat.completions
    .create({
      model: MODEL,
      messages: [{ role: "user", content: TELL }],
      stream: true,
      stream_options: { include_usage: true },
    })
    .withResponse();
  let text = "";
  let usage;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  tell("chat", "stream", { text, tokens: [usage.prompt_tokens, usage.completion_tokens], request_id });

  const tools = [{ type: "function", function: weather }];
  const question = [{ role: "user", content: WEATHER }];
  const called = tellChat("tool", await client.chat.completions.create({ model: MODEL, messages: question, tools }));
  const result = { role: "tool", tool_call_id: called.tool_calls[0].id, content: SUNNY };
  const told = [...question, called, result];
  tellChat("tool", await client.chat.completions.create({ model: MODEL, messages: told, tools }));

  await client.chat.completions
    .create({ model: "no-such-model", messages: asked })
    .catch((error) => tellError("chat", error));

  for (const format of [{}, { encoding_format: "float" }]) {
    const made = await client.embeddings.create({ model: EMBEDDING_MODEL, input: TEXTS, ...format });
    tell("chat", "embedding", {
      vectors: made.data.map((one) => one.embedding),
      tokens: [made.usage.prompt_tokens, 0],
    });
  }
}

function tellResponse(task, response, request_id = response._request_id) {
  const call = response.output.find((item) => item.type === "function_call");
  tell("responses", task, {
    text: response.output_text,
    ...(call && { tool: call.name, arguments: JSON.parse(call.arguments) }),
    tokens: [response.usage.input_tokens, response.usage.output_tokens],
    request_id,
  });
  return call;
}

async function talkResponses() {
  const first = await client.responses.create({ model: MODEL, input: FIRST });
  tellResponse("conversation", first);
  const next = { model: MODEL, input: SECOND, previous_response_id: first.id };
  tellResponse("conversation", await client.responses.create(next));

  const { data: stream, request_id } = await client.responses
    .create({ model: MODEL, input: TELL, stream: true })
    .withResponse();
  let text = "";
  let usage;
  for await (const event of stream) {
    if (event.type === "response.output_text.delta") text += event.delta;
    if (event.type === "response.completed") usage = event.response.usage;
  }
  tell("responses", "stream", { text, tokens: [usage.input_tokens, usage.output_tokens], request_id });

  const tools = [{ type: "function", strict: false, ...weather }];
  const called = await client.responses.create({ model: MODEL, input: WEATHER, tools });
  const { call_id } = tellResponse("tool", called);
  const input = [{ type: "function_call_output", call_id, output: SUNNY }];
  const done = { model: MODEL, input, tools, previous_response_id: called.id };
  tellResponse("tool", await client.responses.create(done));

  await client.responses
    .create({ model: "no-such-model", input: FIRST })
    .catch((error) => tellError("responses", error));
}

await talkChat();
await talkResponses();
