// Where everything of the picture is, in pixels: the whole run, a column per round, the windows of the last step.

const HEAD = 24, STRIP = 14, GAP = 5;

/** game: a story as v1/explorer/games gives it. width: what there is. */
export function layout(game, width) {
  const narrow = width < 560;
  const rounds = game.rounds.filter((round) => round.end - round.start > 1);
  const isStep = game.step !== null, hasWindows = (isStep || game.target === "embedding") && game.windows > 1;
  const beside = hasWindows && !narrow;
  const height = narrow ? 230 : 300, top = HEAD + STRIP + GAP, funnel = narrow ? 18 : 46;
  const columns = rounds.length;
  const left = width - 2;
  // Shares of the width: the run's grid twice a column's, the windows twice and a half.
  const parts = 2 + columns + (beside ? 2.5 : 0);
  const unit = (left - funnel * (columns + (beside ? 1 : 0))) / parts;
  const run = { x: 1, y: top, width: 2 * unit, height };
  const shown = rounds.map((round, place) => ({
    ...round, number: place + 1, x: run.x + run.width + funnel * (place + 1) + unit * place, y: top, width: unit, height,
  }));
  const wide = beside ? 2.5 * unit : left;
  const tall = 46;
  const windows = hasWindows ? {
    x: beside ? left - wide + 1 : 1, y: beside ? top + height / 2 - tall / 2 : top + height + STRIP + GAP + 62, width: wide, height: tall,
  } : null;
  const bottom = windows && !beside ? windows.y + tall + 30 : top + height + GAP + STRIP + 24;
  return { narrow, beside, run, rounds: shown, windows, width, height: bottom, strip: STRIP, gap: GAP, head: HEAD };
}

/** y of a step's upper edge in a box that holds steps start .. end. */
export const yOf = (box, start, end, step) => box.y + (box.height * (step - start)) / (end - start);
