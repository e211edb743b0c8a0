"""What runs on this machine and what does not, with the next step for each."""
