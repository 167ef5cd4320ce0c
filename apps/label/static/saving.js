// What a labeler does is kept: at once in this browser, within a quarter of a second by the server, again when it was away.
import { ask, remember, remembered } from "/shared/page.js";

const DELAY = 200; // milliseconds after the last keystroke
const RETRY = 1500;
const IDLE = 120; // seconds without a sign of the person that still count

/** Return 32 hexadecimal digits: the id of a judgement, or of this open page. */
export function identifier() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Whether the server cannot be reached, or cannot answer now: it is asked again. */
export const isAway = ({ status }) => status === 0 || status === 429 || status >= 500;

/** Whether the server will never take what it was sent. What it refuses for another reason stays in this browser: a token
 * is wanted by now, say. */
export const isFinal = ({ status }) => [400, 409, 413, 422].includes(status);

/** Return what this browser keeps under a name, or null. */
function stored(name) {
  try {
    return JSON.parse(remembered(name) ?? "null");
  } catch {
    return null;
  }
}

/** Drafts of one labeler at one place: a round, or what a group of people label of it. `onAway(true)` when the server
 * cannot be reached, and `onAway(false)` when it can again; `onRefused(failed)` when it does not take a draft, and
 * `onElsewhere()` when it has a judgement that another tab made meanwhile. */
export class Saving {
  constructor(place, labeler, onAway, onRefused, onElsewhere) {
    this.draft = `label.draft.${place}.${labeler}`;
    this.outbox = `label.outbox.${place}.${labeler}`;
    this.labeler = labeler;
    this.onAway = onAway;
    this.onRefused = onRefused;
    this.onElsewhere = onElsewhere;
    this.client = identifier();
    this.number = 0;
    this.waiting = null; // what is not with the server yet: {item, draft}
    this.refused = null; // why the server did not take it
    this.timer = null;
    this.sending = false;
  }

  /** Keep a draft. It is in this browser on return, and soon with the server. */
  keep(item, draft) {
    this.waiting = { item, draft: { ...draft, at: Date.now() } };
    remember(this.draft, JSON.stringify(this.waiting));
    if (stored(this.outbox)?.item === item) remember(this.outbox, null); // submitted, refused, and now another
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send(), DELAY);
  }

  async send() {
    clearTimeout(this.timer);
    if (this.sending || !this.waiting) return;
    this.sending = true;
    this.refused = null;
    const sent = this.waiting;
    try {
      const { kept } = await ask("/api/draft", this.body(sent));
      this.onAway(false);
      if (this.waiting === sent) {
        if (!kept) this.onElsewhere();
        this.settle();
      }
    } catch (failed) {
      if (isAway(failed)) {
        this.onAway(true);
        this.timer = setTimeout(() => this.send(), RETRY);
        return;
      }
      this.onRefused(failed);
      if (!isFinal(failed)) {
        this.refused = failed;
        return;
      }
      if (this.waiting === sent) this.settle();
    } finally {
      this.sending = false;
    }
    if (this.waiting) this.send();
  }

  /** Wait until the server has what was done, for a second at most. Throws what it refused and this browser keeps. */
  async drained() {
    for (let tries = 0; this.waiting && tries < 20; tries++) {
      await this.send();
      if (this.refused) throw this.refused;
      if (this.waiting) await pause(50);
    }
  }

  /** The page goes: send what is left without waiting for an answer. */
  flush() {
    if (this.waiting) ask("/api/draft", this.body(this.waiting), { keepalive: true }).catch(() => {});
  }

  body({ item, draft }) {
    return { labeler: this.labeler, item, client: this.client, number: ++this.number, draft };
  }

  /** Nothing is left to send: the server has it, or it was submitted. */
  settle() {
    clearTimeout(this.timer);
    this.waiting = this.refused = null;
    remember(this.draft, null);
  }

  /** Return the newer of the server's draft of an item and of one that this browser could not send. */
  newest(item, fromServer) {
    const own = stored(this.draft);
    if (own?.item !== item || (fromServer?.at ?? 0) >= own.draft.at) return fromServer;
    this.waiting = own;
    this.send();
    return own.draft;
  }

  /** Submit, until the server has it; the same form again is the same judgement. What was refused is thrown. */
  async submit(form) {
    remember(this.outbox, JSON.stringify(form));
    for (;;) {
      try {
        const answer = await ask("/api/submit", { labeler: this.labeler, ...form });
        remember(this.outbox, null);
        if ((this.waiting ?? stored(this.draft))?.item === form.item) this.settle();
        this.onAway(false);
        return answer;
      } catch (failed) {
        if (!isAway(failed)) {
          if (isFinal(failed)) remember(this.outbox, null);
          throw failed;
        }
        this.onAway(true);
        await pause(RETRY);
      }
    }
  }

  /** Send what the page could not send before it went: a submission, and a draft, unless the server has a newer one.
   * What it never takes is told; any other refusal is thrown, and all stays. */
  async resume() {
    const [form, draft] = [stored(this.outbox), stored(this.draft)];
    if (form) await this.submit(form).catch((failed) => this.never(failed));
    if (!draft || !stored(this.draft)) return;
    await ask("/api/draft", { ...this.body(draft), resumed: true }).catch((failed) => this.never(failed));
    this.settle();
  }

  never(failed) {
    if (!isFinal(failed)) throw failed;
    this.onRefused(failed);
  }
}

/** Seconds in which the page was seen, and somebody there: not those of a hidden tab, nor of a long silence. */
export class Watch {
  constructor() {
    this.seconds = 0;
    this.last = performance.now();
    this.sign = this.last;
    for (const kind of ["keydown", "pointerdown", "pointermove", "wheel", "scroll", "touchstart"])
      addEventListener(kind, () => this.seen(), { passive: true, capture: true });
    document.addEventListener("visibilitychange", () => this.tick(document.visibilityState === "hidden"));
    setInterval(() => this.tick(), 1000);
  }

  seen() {
    this.tick();
    this.sign = performance.now();
  }

  tick(wasVisible = document.visibilityState === "visible") {
    const now = performance.now();
    const until = Math.min(now, this.sign + IDLE * 1000);
    if (wasVisible) this.seconds += Math.max(0, until - this.last) / 1000;
    this.last = now;
  }

  restart(seconds) {
    this.seconds = seconds;
    this.last = performance.now(); // what comes by itself is no sign of the person
  }

  read() {
    this.tick();
    return Math.round(this.seconds * 10) / 10;
  }
}
