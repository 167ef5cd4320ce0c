// What keys do on the page, outside of windows.
import * as dialogs from "/static/dialogs.js";
import { digitOf, keyOf, shiftedDigitOf } from "/static/keys.js";

const $ = (id) => document.getElementById(id);

/** Return what listens to keys: digits rank and rate in `page.view`, `does` says by name what the others do. */
export const keyboard = (page, does) => (event) => {
  if (dialogs.isOpen() || event.isComposing || event.altKey || event.metaKey || !page.saving) return;
  const { target } = event;
  if (alsoInTexts(event, page, does) || event.ctrlKey || target.closest("textarea, input, select")) return;
  if (target.closest("button, a, summary") && event.key === "Enter") return; // it is pressed
  if (target.closest(".text, pre") && event.key.startsWith("Arrow")) return; // it scrolls
  if (page.busy) return; // what is typed before the next prompt is there belongs to no prompt
  const [rating, rank, key] = [shiftedDigitOf(event), digitOf(event), keyOf(event)];
  if (rating && page.view) page.view.rate(page.view.current, rating);
  else if (rank && page.view) page.view.rank(page.view.current, rank);
  else if (does[key]) {
    if (event.repeat && (key === "Enter" || key === "Backspace")) return; // a key that is held submits one item
    does[key]();
  } else return;
  event.preventDefault();
};

function alsoInTexts(event, page, does) {
  if (event.key === "Enter" && event.ctrlKey) {
    event.preventDefault();
    does.Enter();
  } else if (event.target === $("written") && event.key === "Escape") {
    event.preventDefault();
    page.view.focus();
  } else if (event.key === "Escape" && $("menu").open) {
    $("menu").open = false;
    page.view?.focus();
  } else return false;
  return true;
}
