// What the page tells around an item: what went wrong, what kind of item it is, how far the work is.
import { isFinal } from "/static/saving.js";
import { percent, t } from "/static/words.js";

const $ = (id) => document.getElementById(id);
let passing = null; // an alert that goes as soon as the server takes something again

export function notice(text) {
  $("notice").textContent = text ?? "";
  $("notice").hidden = !text;
}

export function alert(text) {
  $("alert").textContent = text ?? "";
}

/** The server cannot be reached, or can be again. */
export function away(is) {
  if (is) alert((passing = t("away")));
  else if ($("alert").textContent === passing) alert("");
}

/** The server refused something: its words, and what becomes of what it did not take. */
export function refused(failed) {
  const words = t("refused", { words: failed.message });
  if (isFinal(failed)) alert(failed.status === 409 ? `${words} ${t("reload")}` : words);
  else alert((passing = `${words} ${t("kept")}`));
}

/** Another tab has judged the prompt that stands here: what is typed here is kept nowhere. */
export function elsewhere() {
  alert(`${t("elsewhere")} ${t("reload")}`);
}

export function howFar({ own, all }) {
  const seconds = own.median_seconds === null ? "" : t("how_far_seconds", { seconds: Math.round(own.median_seconds) });
  const passed = all.skipped ? t("how_far_passed", { skipped: all.skipped }) : "";
  const agree = own.with_people.pairs ? t("how_far_agree", { share: percent(own.with_people.share) }) : "";
  $("how-far").textContent = t("how_far", { own: own.judged, skipped: own.skipped, seconds, done: all.done, prompts: all.prompts, passed, agree });
  $("bar").max = Math.max(1, all.wanted);
  $("bar").value = all.given;
}
