// What the Node programs share: where the gate is, what is asked, and how they tell what they saw.
// A line of JSON on stdout stands for one call to the gate, in the order of the calls.

export const { BASE_URL, API_KEY, MODEL, EMBEDDING_MODEL } = process.env;

export const FIRST = "Name a city in France.";
export const SECOND = "And one in Spain?";
export const TELL = "Tell me about the sea in 40 words.";
export const WEATHER = "What is the weather in Paris? Use get_weather.";
export const SUNNY = "21 degrees and sunny";
export const TEXTS = ["The cat sits on the mat.", "A gate has two posts."];

export function tell(door, task, saw) {
  console.log(JSON.stringify({ door, task, ...saw }));
}
