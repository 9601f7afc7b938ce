"""Many messages at once: batches of different ones, and broadcasts of one text to a list of recipients."""
