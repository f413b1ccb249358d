"""How many instructions the reader takes, counted by Callgrind: a guard against slowness that no busy machine fools."""
