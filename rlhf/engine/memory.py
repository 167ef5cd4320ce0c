"""What bounds the memory of the forward pass, whatever the batch; `tools.planning` counts with it, without torch."""

MOST_LOGITS = 2**22  # numbers that exist at once, of logits
