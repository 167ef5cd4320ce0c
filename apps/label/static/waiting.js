// For whom nothing is left now: what is waited for, and a look from time to time whether something has become free.
import { t } from "/static/words.js";

const LOOK = 10_000; // milliseconds between two looks
const $ = (id) => document.getElementById(id);
let timer = null;

/** Say what is waited for. `left` prompts others have before them: `look()` asks for one as soon as `isReady()`. Those
 * `for_others` wait for another labeler, and never come here. Only the first time it takes the focus. */
export function wait({ left, for_others }, isReady, look) {
  const isNew = $("nothing").hidden;
  $("nothing").hidden = false;
  $("nothing-title").textContent = t("done_title");
  $("nothing-text").textContent = left > 0 ? t("wait_text", { left }) : for_others > 0 ? t("another_text", { count: for_others }) : t("done_text");
  if (isNew && !$("dialog").open) $("nothing").focus();
  if (left === 0) stop();
  else if (timer === null) lookLater(isReady, look);
}

export const isWaiting = () => !$("nothing").hidden;

/** Something is there: look no more. */
export function end() {
  $("nothing").hidden = true;
  stop();
}

function lookLater(isReady, look) {
  timer = setTimeout(() => {
    timer = null;
    if (isReady()) look();
    else lookLater(isReady, look);
  }, LOOK);
}

function stop() {
  clearTimeout(timer);
  timer = null;
}
