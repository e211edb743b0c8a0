"""Every number that the reference, the kernels and the CUDA sources share. Nothing here is typed a second time.

BT.601 analog YUV of gamma-encoded sRGB (ITU-R BT.601-7, table 3): with R, G, B in [0, 1]

    Y = .299 R + .587 G + .114 B
    U = (.436 / .886) (B - Y)   in [-.436, .436]
    V = (.615 / .701) (R - Y)   in [-.615, .615]

For uint8 values the chroma is an exact integer up to one scale factor, since B - Y and R - Y have three decimals:

    1000 * 255 * (B - Y) = -299 R - 587 G + 886 B   in [-225930, 225930]
    1000 * 255 * (R - Y) =  701 R - 587 G - 114 B   in [-178755, 178755]
"""

from __future__ import annotations

LUMA = (0.299, 0.587, 0.114)  # of R, G, B
U_MAX = 0.436
V_MAX = 0.615
U_SCALE = U_MAX / 0.886  # U = U_SCALE * (B - Y)
V_SCALE = V_MAX / 0.701  # V = V_SCALE * (R - Y)

# Integer chroma numerators of uint8 R, G, B and the largest value they reach.
U_COEFFICIENTS = (-299, -587, 886)
V_COEFFICIENTS = (701, -587, -114)
U_NUMERATOR_MAX = 225930
V_NUMERATOR_MAX = 178755

DEFAULT_TEMPERATURE = 0.38  # Zhang et al. 2016, section 2.3
DEFAULT_LAM = 0.2  # the ColorUNet authors' code; Zhang et al. use 0.5
DEFAULT_ALPHA = 0.2  # ColorUNet, section 3.5
DEFAULT_WINDOW = 20
DEFAULT_BINS = 32
DEFAULT_CELLS = 17  # odd: neutral gray lies in the middle of a cell
MAX_BINS = 255
MAX_CELLS = 255  # a cell is then two uint8 steps of blue wide, and a cell index fits 16 bits
