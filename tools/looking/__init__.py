"""What the commands share that look and write nothing: outputs on disk, the runs that made them, an end in a pipe."""
