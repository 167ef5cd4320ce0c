"""How a row says that it cannot be used, so that the data card counts why."""


class Dropped(Exception):
    """A row that is left out; its text is the reason that the data card counts. Broken data raises ValueError."""
