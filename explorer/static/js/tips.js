// The meaning of a word beside it: on hover, on focus, gone with Escape, and not gone while the pointer is on it (WCAG 1.4.13).

import { GLOSSARY } from "./glossary.js";

const tip = document.getElementById("tip");
let shown = null, leaving = 0;

const termOf = (target) => (target instanceof Element ? target.closest("[data-term]") : null);

function show(element) {
  const entry = GLOSSARY[element.dataset.term];
  if (!entry) return;
  clearTimeout(leaving);
  hide();
  shown = element;
  tip.textContent = entry[1];
  tip.hidden = false;
  element.setAttribute("aria-describedby", "tip");
  place(element);
}

function place(element) {
  const box = element.getBoundingClientRect(), size = tip.getBoundingClientRect();
  const left = Math.max(8, Math.min(box.left, document.documentElement.clientWidth - size.width - 8));
  const below = box.bottom + 6, fits = below + size.height < window.innerHeight;
  tip.style.left = left + "px";
  tip.style.top = (fits ? below : Math.max(4, box.top - size.height - 6)) + "px";
}

function hide() {
  if (shown) shown.removeAttribute("aria-describedby");
  shown = null;
  tip.hidden = true;
}

const later = () => { clearTimeout(leaving); leaving = setTimeout(hide, 150); };

export function start() {
  document.addEventListener("mouseover", (event) => { const term = termOf(event.target); if (term && term !== shown) show(term); });
  document.addEventListener("mouseout", (event) => { if (termOf(event.target)) later(); });
  document.addEventListener("focusin", (event) => { const term = termOf(event.target); if (term) show(term); else if (shown) later(); });
  document.addEventListener("focusout", (event) => { if (termOf(event.target)) later(); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  // Focus scrolls: what is focused keeps its words, at its new place.
  document.addEventListener("scroll", () => { if (shown && shown === document.activeElement) place(shown); else hide(); }, { passive: true });
  tip.addEventListener("mouseenter", () => clearTimeout(leaving));
  tip.addEventListener("mouseleave", later);
}
