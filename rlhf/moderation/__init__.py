"""Which texts are blocked: `opened(folder)` gives what judges them, before a model and behind it."""

from rlhf.moderation.moderator import Moderator, Verdict, opened

__all__ = ["Moderator", "Verdict", "opened"]
