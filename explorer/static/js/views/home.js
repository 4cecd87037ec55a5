import { h } from "../dom.js";
import { count, ether, plural } from "../format.js";
import { term, tile } from "../parts.js";
import { batchTable } from "./batches.js";
import { gameTable } from "./games.js";
import { ownNode } from "./node.js";
import { ask } from "../api.js";

export const page = {
  title: () => "Overview",
  async load() {
    const whole = await ask("explorer");
    return { whole, own: whole.served_by && whole.served_by.provider ? await ask("settlement") : null };
  },
  draw({ whole, own }, context) {
    const totals = whole.totals;
    return h("div", {},
      h("h1", { tabindex: "-1" }, "What was answered, disputed and settled"),
      h("p", { class: "lead" }, "Providers answer at full speed and post one hash per ", term("batch"), ". Anybody who runs an answer again and gets another one can dispute it: the dispute narrows to one ",
        term("step"), " for one ", term("window"), " of 32 tokens, and that must be ", term("proof", "proven"), ", or the answer is ", term("void"), "."),
      h("section", { class: "tiles", "aria-label": "Totals" },
        tile("responses", count(totals.responses), "responses"), tile("batches", count(totals.batches), "batches"),
        tile("open disputes", count(totals.open_games), "games"), tile("answers that were proven", count(totals.provider_won)),
        tile("answers found wrong", count(totals.challenger_won)), tile("stakes", ether(totals.stake_wei), "accounts"), tile("models", count(totals.models), "models"),
        tile("burned for ever", ether(totals.burned_wei))),
      own ? ownNode(own, context.now) : null,
      h("section", { "aria-labelledby": "newest-disputes" }, h("h2", { id: "newest-disputes" }, "Newest disputes"),
        gameTable(whole.games, context.now, "Nobody has disputed an answer yet.")),
      h("section", { "aria-labelledby": "newest-batches" }, h("h2", { id: "newest-batches" }, "Newest batches"),
        batchTable(whole.batches, context.now, "No batch was posted yet.")));
  },
  says: ({ whole }) => plural(whole.totals.games, "dispute") + ", " + plural(whole.totals.open_games, "open one"),
};
