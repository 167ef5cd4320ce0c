"""Pages for people: they serve and write records, and train nothing."""
