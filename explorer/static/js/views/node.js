// What the provider's own node adds to what the chain says: its answers that are not on chain yet.

import { h } from "../dom.js";
import { count, span } from "../format.js";
import { account, pill, table } from "../parts.js";

export function ownNode(own, now) {
  const waiting = own.batches.filter((batch) => batch.batch_id === null);
  const when = (batch) => batch.failure || (batch.state === "open" ? "takes answers" : "is being posted") + ", to be posted within " + span(batch.posting_deadline - now);
  return h("section", { "aria-labelledby": "own-node" },
    h("h2", { id: "own-node" }, "This provider’s node"),
    h("p", {}, "These pages are served by the node of ", account(own.provider.address, "provider"), ", which answers with the model ", h("b", {}, own.model.name), ". It gave ",
      count(own.totals.responses), " answers so far."),
    table("Answers that are not on chain yet", ["batch", "answers", "what happens"],
      waiting.map((batch) => ({ key: batch.salt, cells: [pill(batch.state), count(batch.count), when(batch)] })), "All of its answers are on chain."));
}
