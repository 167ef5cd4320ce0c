"""The chat page: talk with the policies below data/, and say what was good and what was not."""
