// Asks the server, at most once for what did not change.

const LARGEST = 60;
const known = new Map(); // path → {tag, data}
let key = null; // what shows that prompts may be seen: kept in this page's memory only

export const setKey = (value) => { key = value || null; known.clear(); };
export const hasKey = () => key !== null;

/** The JSON behind a path of v1/. Throws an Error with `status` and the server's sentence. */
export async function ask(path) {
  const held = known.get(path), headers = {};
  if (held && held.tag) headers["If-None-Match"] = held.tag;
  if (key) headers.Authorization = "Bearer " + key;
  const answer = await fetch("v1/" + path, { headers, cache: "no-store", credentials: "omit" });
  if (answer.status === 304 && held) return held.data;
  let body = null;
  try { body = await answer.json(); } catch { /* a proxy's page, perhaps */ }
  if (!answer.ok || body === null) {
    const problem = new Error((body && body.error && body.error.message) || "the server answers with status " + answer.status);
    problem.status = answer.status;
    throw problem;
  }
  known.delete(path);
  known.set(path, { tag: answer.headers.get("etag"), data: body });
  if (known.size > LARGEST) known.delete(known.keys().next().value);
  return body;
}
