// Numbers, times and amounts as people read them.

const DIGITS = new Intl.NumberFormat("en");
export const count = (value) => DIGITS.format(Number(value));
export const plural = (value, word, many = word + "s") => count(value) + " " + (Number(value) === 1 ? word : many);

/** Seconds as the largest unit that fits. */
export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 100) return s + " s";
  if (s < 6000) return Math.round(s / 60) + " min";
  if (s < 172800) return (s / 3600).toFixed(1).replace(/\.0$/, "") + " h";
  return Math.round(s / 86400) + " days";
}

/** Seconds of a clock: minutes and seconds where there are less than two hours. */
export function exact(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s >= 7200) return span(s);
  return s < 60 ? s + " s" : Math.floor(s / 60) + ":" + String(s % 60).padStart(2, "0") + " min";
}

const WHEN = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
export const when = (s) => (s ? WHEN.format(new Date(s * 1000)) : "not known");
export const clock = (s) => (s ? CLOCK.format(new Date(s * 1000)) : "–");
export const iso = (s) => new Date(s * 1000).toISOString();

export function ether(wei) {
  const value = BigInt(wei), whole = value / 10n ** 18n, rest = value % 10n ** 18n;
  if (value !== 0n && value < 10n ** 14n) return value < 10n ** 9n ? count(value) + " wei" : Number(value / 10n ** 6n) / 1000 + " gwei";
  const decimals = (rest + 10n ** 18n).toString().slice(1, 5).replace(/0+$/, "");
  return DIGITS.format(whole) + (decimals ? "." + decimals : "") + " ETH";
}

export const short = (hex) => (hex && hex.length > 16 ? hex.slice(0, 8) + "…" + hex.slice(-4) : hex || "–");
export const words = (name) => String(name).replaceAll("_", " ");
/** "ResponseVoided" as "response voided". */
export const spaced = (name) => String(name).replace(/(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase();
