// A dispute as a picture: steps go down, windows of 32 tokens across, and every round magnifies the part that is disputed.

import { h } from "../dom.js";
import { plural } from "../format.js";
import { layout, yOf } from "./layout.js";

export function picture(game, width) {
  const at = layout(game, Math.max(220, Math.floor(width)));
  const verdict = verdictOf(game);
  return h("figure", { class: "picture" },
    h("svg", { viewBox: `0 0 ${at.width} ${at.height}`, width: at.width, height: at.height, role: "img", "aria-labelledby": "picture-title picture-text" },
      h("title", { id: "picture-title" }, "How dispute " + game.game_id + " narrowed"), h("desc", { id: "picture-text" }, game.so_far),
      run(game, at, verdict), at.rounds.map((round, place) => column(game, at, round, place, verdict)), windows(game, at, verdict)),
    legend(game, verdict));
}

/** The colour and words of how it stands. */
function verdictOf(game) {
  if (game.outcome === "provider_won") return { kind: "won", mark: "✓", text: game.reason === "proven" ? "proven: the answer stands" : game.reason === "refuted" ? "as claimed: the answer stands" : "the answer stands" };
  if (game.outcome) return { kind: "lost", mark: "✗", text: game.outcome === "response_voided" ? "void by another dispute" : "not proven: the answer is void" };
  return { kind: "waits", mark: game.phase === "proof" ? "?" : "…", text: game.phase === "proof" ? "to be proven now" : "still narrowing" };
}

function run(game, at, verdict) {
  const box = at.run, { steps, windows } = game, parts = [];
  const input = { y: box.y - at.gap - at.strip, kind: game.target === "embedding" ? "chosen" : "agreed" };
  const output = { y: box.y + box.height + at.gap, kind: game.target === "head" ? "chosen" : "unseen" };
  const rect = (kind, x, y, width, height) => h("rect", { class: kind, x: r(x), y: r(y), width: r(width), height: r(height) });
  parts.push(h("text", { class: "head", x: box.x, y: 14 }, at.narrow ? "the run" : `the whole run: ${plural(steps, "step")}`));
  const ends = game.target === "head" ? "agreed" : game.target === "embedding" ? "unseen" : "disputed";
  parts.push(rect(ends + " cell", box.x, box.y, box.width, box.height));
  game.rounds.slice(1).forEach((round, place) => {
    const y = yOf(box, 0, steps, round.start), end = yOf(box, 0, steps, round.end);
    if (place === 0) {
      if (round.start > 0) parts.push(rect("agreed", box.x, box.y, box.width, y - box.y));
      parts.push(rect("unseen", box.x, end, box.width, box.y + box.height - end));
    } else {
      const outer = game.rounds[place], from = yOf(box, 0, steps, outer.start), to = yOf(box, 0, steps, outer.end);
      parts.push(rect("agreed", box.x, from, box.width, y - from), rect("unseen", box.x, end, box.width, to - end));
    }
    parts.push(rect("disputed", box.x, y, box.width, end - y));
  });
  if (box.height / steps >= 4) for (let step = 1; step < steps; step++) parts.push(line("grid", box.x, yOf(box, 0, steps, step), box.x + box.width, yOf(box, 0, steps, step)));
  if (box.width / windows >= 4) for (let one = 1; one < windows; one++) parts.push(line("grid", box.x + (box.width * one) / windows, box.y, box.x + (box.width * one) / windows, box.y + box.height));
  if (game.rounds.length > 1) {
    const first = game.rounds[1], y = yOf(box, 0, steps, first.start);
    parts.push(h("rect", { class: "frame", x: r(box.x), y: r(y), width: r(box.width), height: r(yOf(box, 0, steps, first.end) - y) }));
  }
  parts.push(rect(input.kind + " cell", box.x, input.y, box.width, at.strip), rect(output.kind + " cell", box.x, output.y, box.width, at.strip));
  if (box.width >= 76) {
    const label = (kind, y, words) => h("text", { class: kind === "chosen" ? "on strip-label" : "small strip-label", x: r(box.x + 5), y: r(y + 11) }, words);
    parts.push(label(input.kind, input.y, "input"), label(output.kind, output.y, "next word"));
  }
  const cell = cellOf(game, box, at);
  if (cell) {
    const tall = Math.max(6, cell.height), wide = Math.max(6, cell.width);
    parts.push(rect(verdict.kind, cell.x + (cell.width - wide) / 2, cell.y + (cell.height - tall) / 2, wide, tall));
  }
  parts.push(h("text", { class: "small", x: box.x, y: at.run.y + box.height + at.gap + at.strip + 15 }, at.narrow ? `↓ ${steps} → ${windows}` : `steps ↓   ${plural(windows, "window")} →`));
  return h("g", { key: "run" }, parts);
}

/** What is disputed in the grid of the whole run, once both sides know it: a step or the input, and the one window of it that was proven. */
function cellOf(game, box, at) {
  const across = (window) => (window === null ? { x: box.x, width: box.width } : { x: box.x + (box.width * window) / game.windows, width: box.width / game.windows });
  if (game.target === "head" && game.position !== null) return { ...across(Math.floor(game.position / 32)), y: box.y + box.height + at.gap, height: at.strip };
  if (game.target === "embedding") return { ...across(game.window), y: box.y - at.gap - at.strip, height: at.strip };
  if (game.step === null) return null;
  const y = yOf(box, 0, game.steps, game.step);
  return { ...across(game.window), y, height: yOf(box, 0, game.steps, game.step + 1) - y };
}

function column(game, at, round, place, verdict) {
  const before = place === 0 ? null : at.rounds[place - 1];
  const from = before || at.run, [start, end] = before ? [before.start, before.end] : [0, game.steps];
  const parts = [funnel(from.x + from.width, yOf(from, start, end, round.start), yOf(from, start, end, round.end), round.x, round.y, round.y + round.height)];
  parts.push(h("text", { class: "head", x: r(round.x), y: 14 }, (at.narrow ? "R " : "round ") + round.number));
  if (!at.narrow) parts.push(h("text", { class: "small", x: r(round.x), y: 30 }, `${plural(round.cuts.length - 1, "part")}`));
  for (let part = 0; part + 1 < round.cuts.length; part++) {
    const [low, high] = [round.cuts[part], round.cuts[part + 1]];
    const y = yOf(round, round.start, round.end, low), tall = yOf(round, round.start, round.end, high) - y;
    const isChosen = round.chosen && round.chosen.start === low;
    const kind = isChosen ? "chosen" : round.chosen ? (low < round.chosen.start ? "agreed" : "unseen") : game.target === "head" ? "agreed" : game.target === "embedding" ? "unseen" : "disputed";
    const isLast = isChosen && high - low === 1 && !at.windows;
    // Many parts lie close together, as windows may: without edges, and the chosen one still to be seen.
    const hasEdge = tall >= 4;
    parts.push(h("rect", { key: part, class: (isLast ? verdict.kind : kind) + (hasEdge ? " cell" : ""), x: r(round.x), y: r(y), width: r(round.width), height: r(isChosen ? Math.max(4, tall) : tall), rx: hasEdge ? 2 : 0 }));
    if (tall >= 13 && round.width >= 34) {
      const words = high - low === 1 ? String(low) : `${low}–${high - 1}`;
      parts.push(h("text", { key: "t" + part, class: isChosen ? "on" : "small", x: r(round.x + round.width / 2), y: r(y + tall / 2 + 4), "text-anchor": "middle" }, words));
    }
  }
  if (place === at.rounds.length - 1 && !at.windows) parts.push(note(at, round, game, verdict));
  return h("g", { key: "round" + round.number }, parts);
}

function windows(game, at, verdict) {
  const box = at.windows;
  if (!box) return null;
  const parts = [], wide = box.width / game.windows;
  const last = at.rounds[at.rounds.length - 1];
  if (at.beside) {
    if (game.step !== null && last) parts.push(funnel(last.x + last.width, yOf(last, last.start, last.end, game.step), yOf(last, last.start, last.end, game.step + 1), box.x, box.y, box.y + box.height));
    else parts.push(funnel(at.run.x + at.run.width, at.run.y - at.gap - at.strip, at.run.y - at.gap, box.x, box.y, box.y + box.height));
  }
  const name = game.target === "embedding" ? "the input" : game.step_name || "step " + game.step;
  parts.push(h("text", { class: "head", x: r(box.x), y: r(box.y - 26) }, fit(name, box.width)));
  parts.push(h("text", { class: "small", x: r(box.x), y: r(box.y - 9) }, plural(game.windows, "window") + " of 32 tokens"));
  for (let one = 0; one < game.windows; one++) {
    const kind = one === game.window || (game.window === null && game.outcome) ? verdict.kind : game.window === null ? "disputed" : "unseen";
    parts.push(h("rect", { key: one, class: kind + (wide >= 4 ? " cell" : ""), x: r(box.x + one * wide), y: r(box.y), width: r(one === game.window ? Math.max(4, wide) : wide), height: box.height }));
    if (one === game.window && wide >= 16) parts.push(h("text", { key: "m", class: "mark", x: r(box.x + (one + .5) * wide), y: r(box.y + box.height / 2 + 5), "text-anchor": "middle" }, verdict.mark));
  }
  parts.push(h("text", { class: "small", x: r(box.x), y: r(box.y + box.height + 18) }, fit(game.window === null ? (game.outcome ? verdict.text : "one that both sides see differently is to be proven") : `window ${game.window} of 0–${game.windows - 1}: ${verdict.text}`, box.width)));
  return h("g", { key: "windows" }, parts);
}

/** Under the last column, where nothing is magnified further. */
function note(at, round, game, verdict) {
  const words = game.target === "head" ? `next word after token ${game.position}: ${verdict.text}` : game.step_name ? `${game.step_name}: ${verdict.text}` : verdict.text;
  const room = at.width - 2, from = at.run.x + at.run.width + 8;
  return h("text", { key: "note", class: "small", x: r(at.narrow ? at.run.x : from), y: r(at.height - (at.narrow ? 2 : 8)) }, fit(words, at.narrow ? room : room - from));
}

const funnel = (x, top, bottom, toX, toTop, toBottom) => h("g", {},
  h("polygon", { class: "funnel", points: [[x, top], [toX, toTop], [toX, toBottom], [x, bottom]].map(([a, b]) => r(a) + "," + r(b)).join(" ") }),
  line("funnel-edge", x, top, toX, toTop), line("funnel-edge", x, bottom, toX, toBottom));
const line = (kind, x1, y1, x2, y2) => h("line", { class: kind, x1: r(x1), y1: r(y1), x2: r(x2), y2: r(y2) });
const r = (value) => Math.round(value * 10) / 10;
/** Words cut to a width: about 6.4 pixels a letter. */
const fit = (words, width) => (words.length * 6.4 <= width ? words : words.slice(0, Math.max(4, Math.floor(width / 6.4) - 1)) + "…");

function legend(game, verdict) {
  const entry = (kind, text) => h("span", {}, h("i", { class: kind, "aria-hidden": "true" }), text);
  return h("figcaption", {}, entry("agreed", "both agree"), game.outcome ? null : entry("disputed", "in dispute"), entry("chosen", "first difference"), entry("unseen", "after it: not looked at"), entry(verdict.kind, verdict.text));
}
