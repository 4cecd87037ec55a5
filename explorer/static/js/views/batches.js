import { ask } from "../api.js";
import { h } from "../dom.js";
import { count, plural, span } from "../format.js";
import { account, facts, hash, model, pager, pill, table, term, time } from "../parts.js";
import { events } from "./events.js";
import { responseTable } from "./responses.js";

const until = (batch, now) => (batch.state === "can be disputed" ? "for " + span(batch.challenge_deadline - now) : time(batch.posted_at));

export const batchTable = (batches, now, empty) =>
  table("Batches", ["batch", "responses", "model", "provider", "state", "when"], batches.map((batch) => ({
    key: batch.batch_id,
    cells: [h("a", { href: "#/batches/" + batch.batch_id }, String(batch.batch_id)), count(batch.count), model(batch.model),
      account(batch.provider, "provider"), pill(batch.state), until(batch, now)],
  })), empty);

/** The query of a list, with what narrows it. */
export function narrowed(query) {
  const kept = new URLSearchParams();
  for (const name of ["provider", "model", "account", "open"]) if (query.get(name)) kept.set(name, query.get(name));
  return kept;
}

export const listPath = (what, query) => {
  const kept = narrowed(query);
  if (query.get("before")) kept.set("before", query.get("before"));
  return "explorer/" + what + (String(kept) ? "?" + kept : "");
};
export const here = (what, query) => what + (String(narrowed(query)) ? "?" + narrowed(query) : "");
export const at = (query) => (query.get("before") ? Number(query.get("before")) : null);

export const list = {
  title: () => "Batches",
  load: async ({ query }) => ({ page: await ask(listPath("batches", query)), query }),
  draw: ({ page, query }, { now }) => h("div", {}, h("h1", { tabindex: "-1" }, "Batches"),
    h("p", { class: "lead" }, "A ", term("batch"), " is many responses behind one hash on chain."),
    batchTable(page.batches, now, "No batch was posted yet."),
    pager(here("batches", query), { ...page, at: at(query) }, plural(page.total, "batch", "batches"), page.batches.length)),
};

export const page = {
  title: ({ batch }) => "Batch " + batch.batch_id,
  async load({ parts, query }) {
    const first = Number(query.get("first") || 0);
    return { batch: await ask(`explorer/batches/${parts[0]}?first=${first}`), first };
  },
  draw({ batch, first }, { now }) {
    const size = 25, more = first + batch.responses.length < batch.count;
    const link = (text, place) => h("a", { class: "button", href: `#/batches/${batch.batch_id}?first=${place}` }, text);
    return h("div", {}, h("h1", { tabindex: "-1" }, "Batch " + batch.batch_id, " ", pill(batch.state)),
      facts([
        ["responses", count(batch.count)],
        ["provider", account(batch.provider, "provider")],
        ["model", model(batch.model)],
        ["posted", time(batch.posted_at)],
        ["can be disputed until", h("span", {}, time(batch.challenge_deadline), batch.challenge_deadline > now ? " (" + span(batch.challenge_deadline - now) + " left)" : "")],
        ["root", hash(batch.root, "root")],
        [term("salt"), hash(batch.salt, "salt")],
        ["transaction", hash(batch.transaction, "transaction")],
        [term("gas"), batch.gas ? `${count(batch.gas)}, ${count(Math.round(batch.gas / batch.count))} per response` : null],
      ]),
      h("h2", {}, "Responses"),
      responseTable(batch.responses, now, "None."),
      h("nav", { class: "pager", "aria-label": "Parts of the batch" }, first > 0 ? link("Earlier", Math.max(0, first - size)) : null,
        h("span", { class: "soft" }, `${first} to ${first + batch.responses.length - 1} of ${count(batch.count)}`), more ? link("Later", first + size) : null),
      events(batch.events));
  },
  says: ({ batch }) => "batch is " + batch.state,
};
