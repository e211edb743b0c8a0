"""Every number that the reference, the kernels and the CUDA sources share. Nothing here is typed a second time.

BT.601 analog YUV of gamma-encoded sRGB (ITU-R BT.601-7, table 3): with R, G, B in [0, 1]

    Y = .299 R + .587 G + .114 B
    U = (.436 / .886) (B - Y)   in [-.436, .436]
    V = (.615 / .701) (R - Y)   in [-.615, .615]

For uint8 values the chroma is an exact integer up to one scale factor, since B - Y and R - Y have three decimals:

    1000 * 255 * (B - Y) = -299 R - 587 G + 886 B   in [-225930, 225930]
    1000 * 255 * (R - Y) =  701 R - 587 G - 114 B   in [-178755, 178755]

CIE Lab of the same sRGB, with the numbers of scikit-image and of Zhang et al.'s code; L in [0, 100]. Of all uint8
colors a lies in [-86.183, 98.233] and b in [-107.857, 94.478], and none within 4.2e-8 of a boundary of the grid of 10.
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

SRGB_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
XYZ_WHITE = (0.95047, 1.0, 1.08883)  # D65
LAB_THRESHOLD = 0.008856  # of XYZ over white: the cube root above, a straight line below
LAB_SLOPE, LAB_OFFSET = 7.787, 16 / 116
AB_MAX = 115.0  # cells cover [-115, 115]: 23 of them make the grid of 10, with 0 in the middle of a cell
AB_FIXED = 1 << 11  # ab is summed in whole 1 / 2048, so that parts add up exactly

SPACES = ("yuv", "lab")
CHROMA_MAX = {"yuv": (U_MAX, V_MAX), "lab": (AB_MAX, AB_MAX)}  # edges of the cells, to either side of neutral
CHROMA_LIMIT = {"yuv": (U_MAX, V_MAX), "lab": (128.0, 128.0)}  # beyond it a value is of another space or scale
LUMA_MAX = {"yuv": 1.0, "lab": 100.0}
ALLOWANCE = 1 / 256  # of a range: bfloat16 rounds by half of it

DEFAULT_TEMPERATURE = 0.38  # Zhang et al. 2016, section 2.3
DEFAULT_LAM = 0.2  # the ColorUNet authors' code; Zhang et al. use 0.5
DEFAULT_ALPHA = 0.2  # ColorUNet, section 3.5
DEFAULT_WINDOW = 20
DEFAULT_BINS = 32
DEFAULT_CELLS = 17  # odd: neutral gray lies in the middle of a cell
DEFAULT_NEIGHBORS = 5  # Zhang et al. 2016, section 2.2; the released Caffe layer has 10
DEFAULT_SIGMA = 5.0
MAX_NEIGHBORS = 32
MAX_BINS = 1024
MAX_CELLS = 255  # a cell is then two uint8 steps of blue wide, and a cell index fits 16 bits
