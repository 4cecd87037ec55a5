import { ask } from "../api.js";
import { h } from "../dom.js";
import { count, plural, span } from "../format.js";
import { account, facts, hash, model, pager, pill, response, table, term, time } from "../parts.js";
import { at, here, listPath } from "./batches.js";
import { events } from "./events.js";
import { gameTable } from "./games.js";
import { textOf, texts } from "./texts.js";

export const responseTable = (responses, now, empty) =>
  table("Responses", ["response", "model", "provider", "state", "disputes", "on chain"], responses.map((one) => ({
    key: one.batch_id + "/" + one.index,
    cells: [response(one.batch_id, one.index), model(one.model), account(one.provider, "provider"), pill(one.state),
      one.games ? count(one.games) : "–", one.shown ? "shown whole" : one.asked ? "asked for" : "its hash"],
  })), empty);

export const list = {
  title: () => "Responses",
  load: async ({ query }) => ({ page: await ask(listPath("responses", query)), query }),
  draw: ({ page, query }, { now }) => h("div", {}, h("h1", { tabindex: "-1" }, "Responses"),
    h("p", { class: "lead" }, "A ", term("answer", "response"), " is named by its batch and its place in it."),
    responseTable(page.responses, now, "No response was posted yet."),
    pager(here("responses", query), { ...page, at: at(query) }, plural(page.total, "response"), page.responses.length)),
};

export const page = {
  title: (data) => `Response ${data.index} of batch ${data.batch_id}`,
  async load({ parts }) {
    const shown = await ask(`explorer/responses/${parts[0]}/${parts[1]}`);
    return { ...shown, text: await textOf(parts[0], parts[1]) };
  },
  draw(data, { now, whole, redraw }) {
    const open = data.challenge_deadline - now, fields = data.fields;
    return h("div", {}, h("h1", { tabindex: "-1" }, `Response ${data.index} of batch ${data.batch_id} `, pill(data.state)),
      h("p", { class: "lead" }, meaning(data, open)),
      facts([
        ["batch", h("a", { href: "#/batches/" + data.batch_id }, String(data.batch_id))],
        ["provider", account(data.provider, "provider")],
        ["model", model(data.model)],
        ["posted", time(data.posted_at)],
        [term("leaf"), data.leaf ? hash(data.leaf, "leaf") : null],
        ["prompt, output", fields ? `${plural(fields.prompt_length, "token")}, ${plural(fields.output_length, "token")}` : null],
        ["hash of the prompt", fields ? hash(fields.prompt_hash, "prompt hash") : null],
        ["hash of the output", fields ? hash(fields.output_hash, "output hash") : null],
        ["token ids", data.shown ? "public: they were shown on chain, because somebody asked" : data.asked ? "asked for; to be shown within " + span(data.show_deadline - now) : "not on chain"],
      ]),
      texts(data.text, whole, redraw),
      h("h2", {}, "Disputes"), gameTable(data.games, now, "Nobody has disputed it."),
      events(data.events));
  },
  says: (data) => "response is " + data.state,
};

function meaning(data, open) {
  switch (data.state) {
    case "void": return "It was found wrong, or not defended: it counts for nothing, and the stake behind it is lost.";
    case "disputed": return "Somebody claims that the model gives something else, and staked a bond on it.";
    case "final": return "Nobody showed that it is wrong while that was possible. It stands.";
    default: return open > 0 ? "It can be disputed for " + span(open) + "." : "It waits to become final.";
  }
}
