// What is said aloud: only what somebody who cannot see the page would want to be interrupted for.

const place = document.getElementById("said");

export function announce(text) {
  place.textContent = "";
  // A change of an emptied region is noticed by every screen reader, the same words twice, too.
  setTimeout(() => { place.textContent = text; }, 60);
}
