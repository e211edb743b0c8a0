"""Which clock, which machine, against which floor: how a time is taken."""
