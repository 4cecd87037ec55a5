// Seconds of llama.cpp for a prompt and for tokens behind it, as one line of JSON: node llama_cpp.mjs MODULES GGUF THREADS SHORT LONG TOKENS
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, gguf, threads, short, long, tokens] = process.argv.slice(2);
const entry = join(modules, "node-llama-cpp", "dist", "index.js");
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(entry).href);
const llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: Number(threads) });
const model = await llama.loadModel({ modelPath: gguf, gpuLayers: 0 });
const context = await model.createContext({ contextSize: Number(long) + 2 * Number(tokens) + 32, batchSize: 512, threads: Number(threads) });
const sequence = context.getSequence();
const ids = (count, seed) => Array.from({ length: count }, (_, i) => 1 + ((seed + 37 * i) % 199));

async function decode(prompt) {
  await sequence.clearHistory();
  const moments = [];
  for await (const _ of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    moments.push(performance.now());
    if (moments.length > Number(tokens)) break;
  }
  const steps = moments.slice(1).map((moment, i) => moment - moments[i]).sort((a, b) => a - b);
  return steps[steps.length >> 1] / 1000;
}

await decode(ids(Number(short), 1)); // warm
const result = { decode_s: await decode(ids(Number(short), 2)), decode_long_s: await decode(ids(Number(long), 3)) };
await sequence.clearHistory();
const started = performance.now();
await sequence.evaluateWithoutGeneratingNewTokens(ids(Number(long), 4));
result.prefill_s = (performance.now() - started) / 1000;
console.log(JSON.stringify(result));
process.exit(0);
