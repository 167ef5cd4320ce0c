// A conversation is a tree. Below a message stand its answers, below an answer the messages that follow it; what stands beside one
// another are versions, of which one is looked at. The two answers of a pair are one version.

export class Tree {
  constructor(content = { id: null, turns: [], choices: {} }) {
    this.id = content.id;
    this.choices = content.choices;
    this.turns = new Map(content.turns.map((turn) => [turn.id, turn]));
    this.looked = new Map(); // by parent: the first id of the version that is looked at
  }

  put(turn) {
    this.turns.set(turn.id, { ...this.turns.get(turn.id), ...turn });
  }

  /** Return the versions below a turn, each a list of one turn, or of the two of a pair. */
  versions(parent) {
    const found = new Map();
    for (const turn of this.turns.values()) {
      if (turn.parent !== parent) continue;
      const key = turn.pair ?? turn.id;
      found.set(key, [...(found.get(key) ?? []), turn].sort((one, other) => (one.side ?? 0) - (other.side ?? 0)));
    }
    return [...found.values()];
  }

  look(parent, version) {
    this.looked.set(parent, version[0].id);
  }

  /** Return what is looked at, from the first message on: {parent, versions, number, version}. */
  path() {
    const steps = [];
    let parent = null;
    while (true) {
      const versions = this.versions(parent);
      if (!versions.length) return steps;
      const wanted = this.looked.get(parent);
      const found = versions.findIndex((version) => version.some((turn) => turn.id === wanted));
      const number = found < 0 ? versions.length - 1 : found;
      const version = versions[number];
      steps.push({ parent, versions, number, version });
      parent = this.next(version);
    }
  }

  /** Return the turn below which a version goes on. */
  next(version) {
    if (version.length === 1) return version[0].id;
    const chosen = version.find((turn) => turn.id === this.choices[version[0].pair]);
    return (version.find((turn) => this.versions(turn.id).length) ?? chosen ?? version[0]).id;
  }

  isOpen(version) {
    const whole = version.every((turn) => ["end", "length", "stopped"].includes(turn.end));
    return version.length === 2 && whole && !(version[0].pair in this.choices);
  }
}
