// A prompt with its answers on the screen, and what its labeler has said of it so far.
import { make, rich, say } from "/shared/page.js";
import { flagWords, t } from "/static/words.js";

const LETTERS = "ABCDEFGHI";
const $ = (id) => document.getElementById(id);

export class Item {
  /** `settings`: flags and scale. `onChange(draft)` hears of every change. */
  constructor(item, draft, settings, onChange) {
    this.item = item;
    this.settings = settings;
    this.onChange = onChange;
    this.num = item.answers.length;
    this.letters = [...LETTERS.slice(0, this.num)];
    const start = draft ?? item.judgement ?? {};
    const filled = (values, nothing) => Array.from({ length: this.num }, (_, index) => values?.[index] ?? nothing());
    this.said = {
      ranks: filled(start.ranks, () => null),
      ratings: filled(settings.scale ? start.ratings : null, () => null).map((one) => (one >= settings.scale?.[0] && one <= settings.scale?.[1] ? one : null)),
      flags: filled(start.flags, () => []).map((some) => some.filter((flag) => settings.flags.includes(flag))),
      written: start.written ?? null,
      replaces: item.judgement?.id ?? null,
    };
    this.before = []; // earlier states, for undo
    const open = this.said.ranks.indexOf(null);
    this.current = open < 0 ? 0 : open;
    this.draw();
  }

  get unranked() {
    return this.letters.filter((_, index) => this.said.ranks[index] === null);
  }

  get touched() {
    const { ranks, ratings, flags, written } = this.said;
    return Boolean(written) || [ranks, ratings].some((some) => some.some((one) => one !== null)) || flags.some((some) => some.length);
  }

  /** Remember the state for undo, change it, and tell. */
  change(does) {
    this.before.push(JSON.stringify(this.said));
    does(this.said);
    this.tell();
    this.refresh();
  }

  tell() {
    this.onChange(this.said);
  }

  /** Undo the last change; false where there is none. */
  undo() {
    const before = this.before.pop();
    if (before === undefined) return false;
    this.said = JSON.parse(before);
    this.tell();
    this.refresh();
    say(t("said_undone"));
    return true;
  }

  rank(index, rank, byPointer = false) {
    if (rank !== null && rank > this.num) return;
    const had = this.said.ranks[index];
    const given = byPointer && had === rank ? null : rank; // pressed again: taken away
    this.change((said) => (said.ranks[index] = given));
    const letter = this.letters[index];
    if (given === null) {
      this.mark(index);
      say(t("said_cleared", { letter }));
      return;
    }
    const next = [...this.letters.keys()].map((step) => (index + 1 + step) % this.num).find((one) => this.said.ranks[one] === null);
    this.mark(next ?? index);
    say(`${t("said_rank", { letter, rank: given })} ${next === undefined ? t("said_all") : t("said_next", { letter: this.letters[next] })}`);
  }

  rate(index, rating) {
    const { low, high } = this.settings.scale ? { low: this.settings.scale[0], high: this.settings.scale[1] } : { low: 1, high: 0 };
    if (rating < low || rating > high) return;
    const given = this.said.ratings[index] === rating ? null : rating;
    this.change((said) => (said.ratings[index] = given));
    say(t("said_rating", { letter: this.letters[index], rating: given ?? "–" }));
  }

  setFlags(index, names) {
    this.change((said) => (said.flags[index] = names));
  }

  /** Open the text for a better answer: from an answer, or a new one. What is written already stays. */
  write(from) {
    if (!this.said.written || (from !== null && this.said.written.from !== from && this.isUntouched()))
      this.change((said) => (said.written = { text: from === null ? "" : this.item.answers[from], from }));
    $("better").scrollIntoView({ block: "nearest" });
    $("written").focus();
  }

  isUntouched() {
    const { text, from } = this.said.written;
    return !text.trim() || text === this.item.answers[from];
  }

  type(text) {
    this.said.written.text = text;
    this.tell();
  }

  removeWritten() {
    this.change((said) => (said.written = null));
    this.focus();
  }

  move(step) {
    this.mark((this.current + step + this.num) % this.num);
    say(t("said_at", { letter: this.letters[this.current] }));
  }

  /** How many answers stand beside one another. */
  get columns() {
    const tops = [...$("answers").children].map((card) => card.offsetTop);
    return Math.max(1, tops.filter((top) => top === tops[0]).length);
  }

  mark(index, focus = true) {
    this.current = index;
    [...$("answers").children].forEach((card, at) => {
      card.tabIndex = at === index ? 0 : -1;
      if (at === index) card.setAttribute("aria-current", "true");
      else card.removeAttribute("aria-current");
    });
    if (focus) this.focus();
  }

  focus() {
    const card = $("answers").children[this.current];
    card.focus({ preventScroll: true });
    card.scrollIntoView({ block: "nearest" });
  }

  /** Return what is submitted. */
  form(skipped = null) {
    const { ranks, ratings, flags, written } = this.said;
    const better = written && written.text.trim() && !this.item.answers.includes(written.text) ? { text: written.text, from: written.from } : null;
    return { item: this.item.key, ranks, ratings: this.settings.scale ? ratings : null, flags, written: better, skipped };
  }

  draw() {
    $("messages").replaceChildren(
      ...this.item.messages.map((one) =>
        make("div", { class: `message ${one.role === "user" ? "user" : "other"}` }, make("span", { class: "role" }, t.has(one.role) ? t(one.role) : one.role), ...long(one.content, t("conversation"))),
      ),
    );
    $("answers").replaceChildren(...this.letters.map((letter, index) => this.card(letter, index)));
    this.refresh();
    this.mark(this.current, false);
    measure();
  }

  card(letter, index) {
    const scale = this.settings.scale;
    const press = (words, name, does) => make("button", { type: "button", "aria-label": name, "aria-pressed": "false", onclick: does }, words);
    const ranks = this.letters.map((_, at) =>
      press(String(at + 1), t("rank_number", { number: at + 1 }), (event) => {
        this.rank(index, at + 1, true);
        if (event.detail === 0) event.currentTarget.focus(); // pressed by a key: stays there
      }),
    );
    const ratings = scale ? Array.from({ length: scale[1] - scale[0] + 1 }, (_, at) => at + scale[0]) : [];
    return make("article", { class: "answer card", tabindex: "-1", "aria-labelledby": `answer-${letter}`, onpointerdown: () => this.mark(index, false), onfocusin: () => this.current === index || this.mark(index, false) },
      make("header", {}, make("h3", { id: `answer-${letter}` }, t("answer", { letter })), make("span", { class: "place" })),
      ...long(this.item.answers[index], t("text_of", { letter })),
      make("div", { class: "scale ranks", role: "group", "aria-label": t("rank_of", { letter }) }, make("span", { "aria-hidden": "true" }, t("rank")), ranks),
      scale && make("div", { class: "scale ratings", role: "group", "aria-label": t("rating_of", { letter, low: scale[0], high: scale[1] }) },
        make("span", { "aria-hidden": "true" }, t("rating")),
        ratings.map((rating) => press(String(rating), t("rating_number", { number: rating }), () => this.rate(index, rating)))),
      make("div", { class: "row tools" },
        this.settings.flags.length > 0 && make("button", { type: "button", class: "flag", "aria-label": t("flags_of", { letter }), onclick: () => this.onFlags(index) }, t("flags"), make("kbd", {}, "f")),
        make("button", { type: "button", class: "edit", "aria-label": t("edit_of", { letter }), onclick: () => this.write(index) }, t("edit"), make("kbd", {}, "e")),
        make("span", { class: "row chips" })),
    );
  }

  refresh() {
    const { ranks, ratings, flags, written } = this.said;
    [...$("answers").children].forEach((card, index) => {
      const rank = ranks[index];
      const ties = this.letters.filter((_, other) => other !== index && rank !== null && ranks[other] === rank);
      const place = rank === null ? [t("unranked")] : [`${t("ranked_at")} `, make("b", {}, String(rank)), ties.length ? ` · ${t("tie_with", { letters: ties.join(", ") })}` : ""];
      card.querySelector(".place").replaceChildren(...place);
      card.querySelectorAll(".ranks button").forEach((button, at) => button.setAttribute("aria-pressed", String(rank === at + 1)));
      card.querySelectorAll(".ratings button").forEach((button) => button.setAttribute("aria-pressed", String(ratings[index] === Number(button.textContent))));
      card.querySelector(".chips").replaceChildren(...flags[index].map((flag) => make("span", { class: "chip" }, flagWords(flag))));
    });
    $("better").hidden = !written;
    if (written) {
      const origin = written.from === null ? t("written_new") : t("written_from", { letter: this.letters[written.from] });
      $("better-title").textContent = origin;
      if ($("written").value !== written.text) $("written").value = written.text;
    }
  }
}

/** A text of any length: it scrolls, and can be shown whole. */
function long(text, name) {
  const shown = make("div", { class: "text", role: "group", "aria-label": name }, rich(text));
  const button = make("button", { type: "button", class: "plain expand", hidden: true, "aria-expanded": "false", onclick: () => expand(shown, button, !shown.classList.contains("whole")) }, t("show_all"));
  return [shown, button];
}

function expand(shown, button, whole) {
  shown.classList.toggle("whole", whole);
  button.textContent = whole ? t("show_less") : t("show_all");
  button.setAttribute("aria-expanded", String(whole));
}

/** Show all long texts whole, or as they were. */
export function expandAll() {
  const pairs = [...document.querySelectorAll("#item .expand:not([hidden])")].map((button) => [button.previousElementSibling, button]);
  const whole = pairs.some(([shown]) => !shown.classList.contains("whole"));
  for (const [shown, button] of pairs) expand(shown, button, whole);
}

/** Only what does not fit can be scrolled, by keys too, and be shown whole. */
export function measure() {
  for (const button of document.querySelectorAll("#item .expand")) {
    const shown = button.previousElementSibling;
    const fits = !shown.classList.contains("whole") && shown.scrollHeight <= shown.clientHeight + 1;
    button.hidden = fits;
    if (fits) shown.removeAttribute("tabindex");
    else shown.tabIndex = 0;
  }
}
