import { h } from "../dom.js";
import { spaced } from "../format.js";
import { hash, table, time } from "../parts.js";

export const events = (all) => (all.length === 0 ? null
  : h("section", {}, h("h2", {}, "On chain"), table("Events", ["event", "when", "block", "transaction"], all.map((event, place) => ({
    key: event.transaction + place,
    cells: [spaced(event.name), time(event.at), String(event.block), hash(event.transaction, "transaction")],
  })), "")));
