import { ask } from "../api.js";
import { h } from "../dom.js";
import { clock, count, ether, exact, iso, plural, span, words } from "../format.js";
import { account, facts, hash, model, pager, pill, response, table, term } from "../parts.js";
import { picture } from "../picture/picture.js";
import { at, here, listPath } from "./batches.js";

const DUE = {
  boundaries: "provider must show its boundaries", challenge: "challenger must name the wrong part", proof: "provider must prove",
};

const state = (game, now) => (game.outcome ? pill(game.outcome)
  : h("span", {}, pill("open"), " ", DUE[game.phase] || game.phase, game.deadline > now ? ", " + span(game.deadline - now) + " left" : ", out of time"));

export const gameTable = (games, now, empty) =>
  table("Disputes", ["dispute", "about response", "provider", "challenger", "state"], games.map((game) => ({
    key: game.game_id,
    cells: [h("a", { href: "#/games/" + game.game_id }, "Dispute " + game.game_id), response(game.batch_id, game.index), account(game.provider, "provider"),
      account(game.challenger, "challenger"), state(game, now)],
  })), empty);

export const list = {
  title: () => "Disputes",
  load: async ({ query }) => ({ page: await ask(listPath("games", query)), query }),
  draw: ({ page, query }, { now }) => h("div", {}, h("h1", { tabindex: "-1" }, "Disputes"),
    h("p", { class: "lead" }, "Two sides ran the same model and got different results. By ", term("bisection"), " they find the one place where they first differ, and there a ", term("proof"), " decides."),
    gameTable(page.games, now, "Nobody has disputed an answer yet."),
    pager(here("games", query), { ...page, at: at(query) }, plural(page.total, "dispute"), page.games.length)),
};

export const page = {
  title: (game) => "Dispute " + game.game_id,
  load: ({ parts }) => ask("explorer/games/" + parts[0]),
  draw(game, { now, whole }) {
    return h("div", {}, h("h1", { tabindex: "-1" }, "Dispute " + game.game_id, " ", pill(game.outcome || "open")),
      h("p", { class: "lead" }, game.so_far),
      picture(game, Math.min(1040, document.getElementById("main").clientWidth - 34)),
      narrowing(game),
      h("section", { class: "sides" }, side("provider", game, whole, now), side("challenger", game, whole, now)),
      game.settled ? h("p", { class: "settled" }, game.settled) : null,
      h("h2", {}, "Who moved when"),
      table("Moves", ["when", "who", "says", "took", "clock left", "gas", "transaction"], game.moves.map((move, place) => ({
        key: place + move.transaction,
        cells: [h("time", { datetime: iso(move.at) }, clock(move.at)), h("span", { class: "who " + move.by }, move.by), "“" + move.said + "”", move.took_s ? span(move.took_s) : "–",
          exact(move.clock_left), count(move.gas), hash(move.transaction, "transaction")],
      })), "No move yet."),
      h("h2", {}, "What it is about"),
      facts([
        ["response", response(game.batch_id, game.index)], ["model", model(game.model)], ["tokens run", `${count(game.positions)}, in ${plural(game.windows, "window")}`],
        [term("bond"), ether(game.bond_wei)], ["stake behind the response", ether(whole.parameters.lock_per_response)],
        ["decided by", game.reason ? words(game.reason) : null], ["ended", game.resolved_at ? h("time", { datetime: iso(game.resolved_at) }, clock(game.resolved_at)) : null],
      ]));
  },
  says: (game) => (game.outcome ? "The dispute is over: " + game.so_far : (game.moves.length ? last(game) : "") + " Now it is the " + game.mover + "’s turn."),
};

function last(game) {
  const move = game.moves[game.moves.length - 1];
  return `The ${move.by} says: ${move.said}.`;
}

/** The rounds in words: what the picture shows, for whoever cannot see it. */
function narrowing(game) {
  const lines = [];
  game.rounds.forEach((round, place) => {
    if (round.end - round.start === 1 && place > 0) return;
    const parts = round.cuts.length - 1, size = plural(round.end - round.start, "step");
    if (round.chosen) {
      const named = game.rounds[place + 1].name || `steps ${round.chosen.start} to ${round.chosen.end - 1}`;
      lines.push(`Round ${place + 1}: ${size} were cut into ${plural(parts, "part")}. Right before, wrong after: ${named}.`);
    } else if (game.target === "head" || game.target === "embedding") {
      lines.push(game.target === "head" ? `Round 1: the sides agree about all ${size}; they differ about the word after token ${game.position}.` : "Round 1: the sides differ already about the input, in front of the first step.");
    } else lines.push(`Round ${place + 1}: ${size}${round.posted ? `, cut into ${plural(parts, "part")}; the challenger is to name the first wrong one.` : "; the provider is to show where it stood at the cuts."}`);
  });
  if (game.window !== null) lines.push(`Window ${game.window} of 0 to ${game.windows - 1}: tokens ${32 * game.window} to ${Math.min(game.positions, 32 * game.window + 32) - 1}.`);
  return h("section", { "aria-labelledby": "narrowed" }, h("h2", { id: "narrowed" }, "How it narrowed ", term("bisection", "?")),
    h("ol", { class: "rounds" }, lines.map((line) => h("li", {}, line))));
}

function side(who, game, whole, now) {
  const moves = game.mover === who, whole_s = whole.parameters.clock;
  const used = moves ? Math.max(0, now - game.turn_started_at) : 0;
  const left = Math.max(0, game[who + "_clock"] - used), share = Math.max(0, Math.min(1, left / whole_s));
  return h("div", { class: "side " + who + (moves ? " moves" : "") },
    h("h3", {}, term(who), moves ? " to move" : ""), account(game[who], who),
    h("div", { class: "clock" + (share < 0.25 ? " low" : "") }, h("i", { share })),
    h("p", {}, game.outcome ? exact(left) + " of its clock were left" : moves ? turn(game, left, now) : exact(left) + " on its clock", `; ${count(game.gas[who])} gas so far`));
}

const turn = (game, left, now) => exact(left) + " on its clock; this move " + (game.deadline > now ? "has " + span(game.deadline - now) : "is out of time");

export const audits = {
  title: () => "Audits",
  load: async ({ query }) => ({ page: await ask(listPath("audits", query)), query }),
  draw: ({ page, query }, { now }) => h("div", {}, h("h1", { tabindex: "-1" }, "Audits"),
    h("p", { class: "lead" }, "Nobody can run the answers of a ", term("private"), " again. An auditor names items of one, and each must be proven in time."),
    table("Audits", ["audit", "about response", "provider", "auditor", "proven", "state"], page.audits.map((audit) => ({
      key: audit.audit_id,
      cells: [String(audit.audit_id), response(audit.batch_id, audit.index), account(audit.provider, "provider"), account(audit.auditor, "auditor"), `${audit.proven} of ${audit.items}`,
        audit.outcome ? pill(audit.outcome) : h("span", {}, pill("open"), audit.deadline > now ? " " + span(audit.deadline - now) + " left" : " out of time")],
    })), "Nobody has audited an answer yet."),
    pager(here("audits", query), { ...page, at: at(query) }, plural(page.total, "audit"), page.audits.length)),
};
