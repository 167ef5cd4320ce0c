// Windows about an answer: a better one, and what is wrong with it. Each closes when the server has what it says; until then it
// stays with all that was written, and says itself what is wrong: the page behind it can be neither read nor heard.
import { make } from "/shared/page.js";

const $ = (id) => document.getElementById(id);
const problemOf = (dialog) => dialog.querySelector("[role=alert]");

/** Return {better, flag}, which open a window about a turn. `feedback(what, place)` says whether the server took it. */
export function dialogs(t, feedback) {
  let about = null; // the turn
  let isSaving = false;

  function show(dialog, turn) {
    about = turn;
    problemOf(dialog).textContent = "";
    dialog.showModal();
  }

  async function save(dialog, what) {
    if (isSaving) return;
    isSaving = true;
    const turn = about;
    try {
      const isKept = await feedback({ ...what, answer: turn.id }, problemOf(dialog));
      if (isKept && about === turn) dialog.close();
    } finally {
      isSaving = false;
    }
  }

  const said = {
    better: () => ({ kind: "better", text: $("better-text").value }),
    flagging: () => ({ kind: "flag", flags: [...$("flag-list").querySelectorAll("input:checked")].map((box) => box.value) }),
  };
  /** The button that opened a window has been drawn anew meanwhile: its successor gets the focus. */
  const back = (id) => document.querySelector(`[data-turn="${about.id}"] [data-opens="${id}"]`)?.focus({ preventScroll: true });

  for (const [id, what] of Object.entries(said)) {
    $(`${id}-form`).addEventListener("submit", (event) => { event.preventDefault(); save($(id), what()); });
    $(`${id}-cancel`).addEventListener("click", () => $(id).close());
    $(id).addEventListener("close", () => back(id));
  }
  $("better-none").addEventListener("click", () => save($("better"), { kind: "better", text: null }));

  return {
    better(turn) {
      $("better-text").value = turn.better ?? turn.content;
      $("better-none").hidden = !turn.better;
      show($("better"), turn);
    },
    flag(turn, flags) {
      const boxes = flags.map((flag) => make("label", { class: "choice" }, make("input", { type: "checkbox", value: flag, checked: turn.flags?.includes(flag) }), t(flag)));
      $("flag-list").replaceChildren(...boxes);
      show($("flagging"), turn);
    },
  };
}
