#!/usr/bin/env bash
# `llm`, the command: models by extra-openai-models.yaml, embeddings by OPENAI_BASE_URL.
# It tells nothing of an answer's headers. jq makes lines of what it tells.
set -euo pipefail

export LLM_USER_PATH=$PWD/llm
mkdir -p "$LLM_USER_PATH"
cat > "$LLM_USER_PATH/extra-openai-models.yaml" << END
- model_id: gate
  model_name: $MODEL
  api_base: $BASE_URL
  api_key_name: gate
  supports_tools: true
- model_id: gate-responses
  model_name: $MODEL
  api_base: $BASE_URL
  api_key_name: gate
  supports_tools: true
  responses: true
  reasoning: true
- model_id: wrong
  model_name: no-such-model
  api_base: $BASE_URL
  api_key_name: gate
END
llm keys set gate --value "$API_KEY"

# What llm has in its log of the last prompt: a line for each call.
logged() {
  llm logs list --json --current | jq -c --arg door "$1" --arg task "$2" '.[-'"$3"':][] | {
    door: $door, task: $task, text: .response, tokens: [.input_tokens, .output_tokens],
    tool: .tool_calls[0].name, arguments: .tool_calls[0].arguments
  }'
}

function='def get_weather(city: str) -> str:
    "The weather in a city."
    return "21 degrees and sunny"
'

talk() {
  llm -m "$2" --no-stream "Name a city in France." > /dev/null
  logged "$1" conversation 1
  llm --continue --no-stream "And one in Spain?" > /dev/null
  logged "$1" conversation 1

  text=$(llm -m "$2" "Tell me about the sea in 40 words.")
  logged "$1" stream 1 | jq -c --arg text "$text" '.text = $text'

  llm -m "$2" --no-stream --functions "$function" "What is the weather in Paris? Use get_weather." > /dev/null
  logged "$1" tool 2
}

talk chat gate
if said=$(llm -m wrong --no-stream "Name a city in France." 2>&1); then exit 1; fi
jq -cn --arg said "$said" '{door: "chat", task: "error", said: $said}'

export OPENAI_BASE_URL=$BASE_URL
export OPENAI_API_KEY=$API_KEY
llm embed -m "$EMBEDDING_MODEL" -c "The cat sits on the mat." |
  jq -c '{door: "chat", task: "embedding", vectors: [.]}'

talk responses gate-responses
