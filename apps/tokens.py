"""Tokens by which people open the pages from other machines.

    python -m apps.tokens NAME             make one for NAME and show it, this once; an older one of NAME ends
    python -m apps.tokens NAME --remove    end it
    python -m apps.tokens                  whose there are

.cache/tokens.json keeps SHA-256 sums alone. A page that is served reads it when it starts.
"""

import argparse
import json
import secrets
import sys
from pathlib import Path

from apps.serving import guarding
from apps.serving.running import TOKENS
from rlhf.people.names import checked
from rlhf.runtime.files import write_text
from tools.looking import piped


def main(arguments: list[str], root: Path = Path(".")) -> int:
    """Do as asked; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("--remove", action="store_true")
    chosen = parser.parse_args(arguments)
    try:
        known = {who: one for one, who in guarding.read_tokens(root / TOKENS).items()}
        if chosen.name is None:
            print("\n".join(sorted(known)) or "nobody has a token")
            return 0
        name = checked(chosen.name)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if chosen.remove and name not in known:
        print(f"{name} has no token; these have: {', '.join(sorted(known)) or 'nobody'}", file=sys.stderr)
        return 2
    token = secrets.token_urlsafe(32)
    kept = {who: one for who, one in known.items() if who != name}
    if not chosen.remove:
        kept[name] = guarding.hashed(token)
    write_text(root / TOKENS, json.dumps(dict(sorted(kept.items())), indent=2) + "\n")
    (root / TOKENS).chmod(0o600)
    if not chosen.remove:
        print(f"{name}'s token, shown this once (add to the page's address):  ?token={token}")
    return 0


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))
