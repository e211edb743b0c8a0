"""How good a colorization is: photographs and films measured against the truth."""
