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

/** Drafts of one labeler at one place: a round, or what a group of people label of it. `onAway(true)` when the server cannot be reached, and `onAway(false)` when it can again. */
export class Saving {
  constructor(place, labeler, onAway) {
    this.draft = `label.draft.${place}.${labeler}`;
    this.outbox = `label.outbox.${place}.${labeler}`;
    this.labeler = labeler;
    this.onAway = onAway;
    this.client = identifier();
    this.number = 0;
    this.waiting = null; // what is not with the server yet: {item, draft}
    this.timer = null;
    this.sending = false;
  }

  /** Keep a draft. It is in this browser on return, and soon with the server. */
  keep(item, draft) {
    this.waiting = { item, draft: { ...draft, at: Date.now() } };
    remember(this.draft, JSON.stringify(this.waiting));
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send(), DELAY);
  }

  async send() {
    clearTimeout(this.timer);
    if (this.sending || !this.waiting) return;
    this.sending = true;
    const sent = this.waiting;
    try {
      await ask("/api/draft", this.body(sent));
      this.onAway(false);
      if (this.waiting === sent) this.settle();
    } catch (failed) {
      if (failed.status === 0 || failed.status === 429 || failed.status >= 500) {
        this.onAway(true);
        this.timer = setTimeout(() => this.send(), RETRY);
        return;
      }
      if (this.waiting === sent) this.settle(); // the server will never take it; submitting says why
    } finally {
      this.sending = false;
    }
    if (this.waiting) this.send();
  }

  /** Wait until the server has what was done, for a second at most. */
  async drained() {
    for (let tries = 0; this.waiting && tries < 20; tries++) {
      await this.send();
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
    this.waiting = null;
    remember(this.draft, null);
  }

  /** Return the newer of the server's draft of an item and of one that this browser could not send. */
  newest(item, fromServer) {
    let own = null;
    try {
      own = JSON.parse(remembered(this.draft) ?? "null");
    } catch {
      own = null;
    }
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
        this.settle();
        this.onAway(false);
        return answer;
      } catch (failed) {
        if (failed.status !== 0 && failed.status !== 429 && failed.status < 500) {
          remember(this.outbox, null);
          throw failed;
        }
        this.onAway(true);
        await pause(RETRY);
      }
    }
  }

  /** Send what was being submitted when the page went. */
  async resume() {
    const form = remembered(this.outbox);
    if (form) await this.submit(JSON.parse(form)).catch(() => {});
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
    this.last = this.sign = performance.now();
  }

  read() {
    this.tick();
    return Math.round(this.seconds * 10) / 10;
  }
}
