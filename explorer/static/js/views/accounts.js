import { ask } from "../api.js";
import { h } from "../dom.js";
import { count, ether, plural } from "../format.js";
import { account, copyButton, facts, hash, pill, table, term, time } from "../parts.js";
import { batchTable } from "./batches.js";
import { gameTable } from "./games.js";

export const list = {
  title: () => "Providers",
  load: () => ask("explorer/accounts"),
  draw: ({ accounts }) => h("div", {}, h("h1", { tabindex: "-1" }, "Providers"),
    h("p", { class: "lead" }, "Who has a ", term("stake"), ", or posted answers."),
    table("Providers", ["provider", "responses", "stake", "locked", "disputes", "answers void"], accounts.map((one) => ({
      key: one.address,
      cells: [h("span", {}, account(one.address, "provider"), one.paused ? pill("paused") : null), count(one.responses), ether(one.stake_wei), ether(one.locked_wei), count(one.games), count(one.lost)],
    })), "Nobody has a stake yet.")),
};

export const page = {
  title: ({ one }) => "Account " + one.address.slice(0, 10),
  async load({ parts }) {
    const address = parts[0];
    const [one, games, batches] = await Promise.all([ask("explorer/accounts/" + address), ask("explorer/games?limit=10&account=" + address), ask("explorer/batches?limit=10&provider=" + address)]);
    return { one, games, batches };
  },
  draw: ({ one, games, batches }, { now }) => h("div", {}, h("h1", { tabindex: "-1" }, "Account ", one.paused ? pill("paused") : null),
    h("p", { class: "hash long" }, h("code", {}, one.address), copyButton(one.address, "address")),
    facts([
      [term("stake"), ether(one.stake_wei)],
      [term("lock", "locked"), ether(one.locked_wei)],
      ["leaving", one.exiting_wei === "0" ? null : ether(one.exiting_wei)],
      [term("credits"), ether(one.credits_wei)],
      ["withdrawn", ether(one.withdrawn_wei)],
      ["operator", one.operator ? account(one.operator, "operator") : null],
      ["as a provider", h("span", {}, h("a", { href: "#/responses?provider=" + one.address }, plural(one.responses, "response")), `; ${plural(one.games, "dispute")}, ${count(one.won)} proven, ${count(one.lost)} lost`)],
      ["as a challenger", plural(one.challenged, "dispute") + " opened"],
    ]),
    one.signers.length ? h("section", {}, h("h2", {}, "Keys that sign receipts"), table("Receipt keys", ["key", "may cost at most", "has cost", "registered"],
      one.signers.map((key) => ({ key: key.signer, cells: [hash(key.signer, "key"), ether(key.allowance_wei), ether(key.slashed_wei), h("span", {}, time(key.registered_at), key.retired_at ? pill("retired") : null)] })), "")) : null,
    h("h2", {}, "Disputes"), gameTable(games.games, now, "None."),
    games.before ? h("p", {}, h("a", { href: "#/games?account=" + one.address }, "All " + count(games.total))) : null,
    h("h2", {}, "Batches"), batchTable(batches.batches, now, "None."),
    batches.before ? h("p", {}, h("a", { href: "#/batches?provider=" + one.address }, "All " + count(batches.total))) : null),
};
