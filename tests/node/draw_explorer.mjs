// Runs the explorer's script over a snapshot with the few parts of a browser that it uses, and prints the page's text.
// usage: node draw_explorer.mjs explorer.html snapshot.json
import { readFileSync } from "node:fs";

const [page, snapshot] = process.argv.slice(2).map((path) => readFileSync(path, "utf8"));
const script = page.match(/<script>([\s\S]*)<\/script>/)[1];

class Node {
  constructor(tag) { this.tag = tag; this.children = []; this.style = {}; this.attributes = {}; }
  append(child) { this.children.push(child); }
  replaceChildren(...children) { this.children = children; }
  setAttribute(name, value) { this.attributes[name] = value; }
  addEventListener() {}
  set textContent(text) { this.children = [text]; }
  get text() { return this.children.map((c) => (typeof c === "object" ? c.text : String(c))).join(" "); }
  bars() { return this.children.flatMap((c) => typeof c === "object" ? (c.tag === "i" ? [c.style] : c.bars()) : []); }
}
const parts = {};
for (const [, id] of page.matchAll(/id="(\w+)"/g)) parts[id] = new Node(id);
globalThis.document = { getElementById: (id) => parts[id], createElement: (tag) => new Node(tag), hidden: false };
globalThis.fetch = async () => ({ status: 200, headers: { get: () => '"tag"' }, json: async () => JSON.parse(snapshot) });
globalThis.setTimeout = () => 0;
(0, eval)(script);
await new Promise((resolve) => setImmediate(() => setImmediate(() => setImmediate(resolve))));
const text = Object.fromEntries(Object.entries(parts).map(([id, node]) => [id, node.text]));
console.log(JSON.stringify({ ...text, bars: parts.games.bars() }));
