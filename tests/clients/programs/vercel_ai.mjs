// The Vercel AI SDK: Responses by `@ai-sdk/openai` (its default), chat by the same, and by `@ai-sdk/openai-compatible`.

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embedMany, generateText, isStepCount, streamText, tool } from "ai";
import { z } from "zod";

import { API_KEY, BASE_URL, EMBEDDING_MODEL, FIRST, MODEL, SECOND, SUNNY, TELL, TEXTS, WEATHER, tell } from "./telling.mjs";

const openai = createOpenAI({ baseURL: BASE_URL, apiKey: API_KEY });
const compatible = createOpenAICompatible({ name: "gate", baseURL: BASE_URL, apiKey: API_KEY, includeUsage: true });

function told(door, task, step) {
  const [call] = step.toolCalls;
  tell(door, task, {
    text: step.text,
    ...(call && { tool: call.toolName, arguments: call.input }),
    tokens: [step.usage.inputTokens, step.usage.outputTokens],
    request_id: step.response.headers["x-request-id"],
  });
}

async function talk(door, model, wrong, embedding) {
  const maxRetries = 0;

  const asked = [{ role: "user", content: FIRST }];
  const first = await generateText({ model, messages: asked, maxRetries });
  told(door, "conversation", first);
  const messages = [...asked, ...first.response.messages, { role: "user", content: SECOND }];
  told(door, "conversation", await generateText({ model, messages, maxRetries }));

  const stream = streamText({ model, prompt: TELL, maxRetries });
  let text = "";
  for await (const piece of stream.textStream) text += piece;
  const [step] = await stream.steps;
  told(door, "stream", { ...step, text, toolCalls: [], usage: step.usage, response: step.response });

  const get_weather = tool({
    description: "The weather in a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: async () => SUNNY,
  });
  const settings = { tools: { get_weather }, stopWhen: isStepCount(2), maxRetries };
  const { steps } = await generateText({ model, prompt: WEATHER, ...settings });
  for (const step of steps) told(door, "tool", step);

  try {
    await generateText({ model: wrong, prompt: FIRST, maxRetries });
  } catch (error) {
    if (!APICallError.isInstance(error)) throw error;
    tell(door, "error", {
      error: error.name,
      status: error.statusCode,
      code: JSON.parse(error.responseBody).error.code,
      request_id: error.responseHeaders["x-request-id"],
    });
  }

  const { embeddings, usage, responses } = await embedMany({ model: embedding, values: TEXTS, maxRetries });
  const request_id = responses[0].headers["x-request-id"];
  tell(door, "embedding", { vectors: embeddings, tokens: [usage.tokens, 0], request_id });
}

await talk("responses", openai(MODEL), openai("no-such-model"), openai.embeddingModel(EMBEDDING_MODEL));
await talk("chat", openai.chat(MODEL), openai.chat("no-such-model"), openai.embeddingModel(EMBEDDING_MODEL));
await talk(
  "compatible",
  compatible(MODEL),
  compatible("no-such-model"),
  compatible.embeddingModel(EMBEDDING_MODEL),
);
