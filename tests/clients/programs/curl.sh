#!/usr/bin/env bash
# curl and jq.
set -euo pipefail

# Ask an address with a body; the answer's headers go into a file.
post() {
  curl --silent --show-error --fail-with-body "$BASE_URL/$1" \
    --header "Authorization: Bearer $API_KEY" \
    --header "Content-Type: application/json" \
    --dump-header head.txt \
    --data "$2"
}

# A line for a whole chat answer on stdin, which must be here before its headers are looked at.
told() {
  answer=$(cat)
  id=$(sed -n 's/\r$//; s/^x-request-id: //p' head.txt)
  jq -c --arg task "$1" --arg id "$id" '.choices[0].message as {$content, $tool_calls} | {
    door: "chat", task: $task, text: $content, tokens: [.usage.prompt_tokens, .usage.completion_tokens],
    request_id: $id
  } + if $tool_calls then $tool_calls[0].function | {tool: .name, arguments: .arguments | fromjson} else {} end' <<< "$answer"
}

first='{"role": "user", "content": "Name a city in France."}'
post chat/completions "{\"model\": \"$MODEL\", \"messages\": [$first]}" > answer.json
told conversation < answer.json
said=$(jq '.choices[0].message' answer.json)
second='{"role": "user", "content": "And one in Spain?"}'
post chat/completions "{\"model\": \"$MODEL\", \"messages\": [$first, $said, $second]}" | told conversation

tell='{"role": "user", "content": "Tell me about the sea in 40 words."}'
options='"stream": true, "stream_options": {"include_usage": true}'
events=$(post chat/completions "{\"model\": \"$MODEL\", \"messages\": [$tell], $options}")
tail -n 1 <<< "$events" | grep --quiet --line-regexp 'data: \[DONE\]'
sed -n 's/^data: {/{/p' <<< "$events" |
  jq -cs '{choices: [{message: {content: map(.choices[]?.delta.content // "") | add}}], usage: last.usage}' | told stream

weather='{"role": "user", "content": "What is the weather in Paris? Use get_weather."}'
schema='{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}'
tools="[{\"type\": \"function\", \"function\": {\"name\": \"get_weather\", \"parameters\": $schema}}]"
post chat/completions "{\"model\": \"$MODEL\", \"messages\": [$weather], \"tools\": $tools}" > answer.json
told tool < answer.json
called=$(jq '.choices[0].message' answer.json)
result="{\"role\": \"tool\", \"tool_call_id\": $(jq '.tool_calls[0].id' <<< "$called"), \"content\": \"21 degrees and sunny\"}"
post chat/completions "{\"model\": \"$MODEL\", \"messages\": [$weather, $called, $result], \"tools\": $tools}" | told tool

# With --fail-with-body an error has its body, and curl ends with 22.
if post chat/completions "{\"model\": \"no-such-model\", \"messages\": [$first]}" > answer.json; then exit 1; else code=$?; fi
status=$(head -n 1 head.txt | cut -d ' ' -f 2)
jq -c --argjson error "$code" --argjson status "$status" \
  '{door: "chat", task: "error", error: $error, status: $status, code: .error.code}' answer.json

for format in float base64; do
  body="{\"model\": \"$EMBEDDING_MODEL\", \"input\": \"The cat sits on the mat.\", \"encoding_format\": \"$format\"}"
  post embeddings "$body" |
    jq -c '{door: "chat", task: "embedding", vectors: [.data[].embedding], tokens: [.usage.prompt_tokens, 0]}'
done
