// CIE Lab of sRGB, and the cell of a color in the plane of a and b.
//
// Levels 0 to 255 get the cell that exact arithmetic gives. float32 finds it, but for a few in ten thousand colors, which
// lie so close to an edge that its error may matter; these are computed once more in float64. Of all levels and all K no
// color but black, for which a and b are exactly 0, lies within 4e-10 of an edge: that is all that float64 must resolve.
namespace fc {

// K, and what takes a / 500 and b / 200 to cells: a whole number lies in the middle of a cell.
struct LabGrid {
    u32 cells;
    float middle;            // K / 2 - 1 / 2
    float a_scale, b_scale;  // 500 K and 200 K over the width of the plane
    float a_sure, b_sure;    // how far from the middle of a cell float32 is right
};

// t^(1/N) for normal t > 0 within 1.4 u, u = 2^-24: an approximation y and one step of Newton. y = t r errs, as r does,
// by less than 32 u for t in [2^-7, 2]: the argument of the exponential by 4 u for the logarithm and 2 u for products, of
// 4.7 at most, the exponential by 4 u. Its square is nothing; what is left are u / N of the power and u of the sum.
template <int N>
FC_DEVICE float root(float t) {
    const float r = exp2_fast(log2_fast(t) * (1.0f / N - 1.0f)), y = t * r;
    const float power = N == 3 ? y * y : y * y * (y * y);
    return fmaf(fmaf(-power, y, t), r * (1.0f / N), y);
}

// XYZ over the white, of linear light.
template <class Real>
struct Xyz {
    Real x, y, z;

    FC_DEVICE Xyz(Real r, Real g, Real b)
        : x((Real)X_R * r + ((Real)X_G * g + (Real)X_B * b)),
          y((Real)Y_R * r + ((Real)Y_G * g + (Real)Y_B * b)),
          z((Real)Z_R * r + ((Real)Z_G * g + (Real)Z_B * b)) {}
};

// f(t) of Lab.
FC_DEVICE float bent(float t) { return t > (float)EXACT_THRESHOLD ? root<3>(t) : fmaf(LAB_SLOPE, t, LAB_OFFSET); }

struct Bent {
    float x, y, z, light;  // L as well, where f is a straight line without its offset: that of black is 0

    FC_DEVICE explicit Bent(const Xyz<float> &of)
        : x(bent(of.x)),
          y(bent(of.y)),
          z(bent(of.z)),
          light(of.y > (float)EXACT_THRESHOLD ? fmaf(116.0f, y, -16.0f) : (float)(116 * EXACT_SLOPE) * of.y) {}
};

// --- levels -----------------------------------------------------------------------------------------------------------

// The same in float64: float32 and one step of Newton, which leaves the product of what the root, 2 u, and its
// derivative, 10 u, are wrong by: 8e-14, or 8e-11 of a, and 3e-11 of b.
FC_DEVICE double refined(double t) {
    if (t <= EXACT_THRESHOLD) return EXACT_SLOPE * t + EXACT_OFFSET;
    const float near = root<3>((float)t);
    return near + (t - (double)near * near * near) * __fdividef(1.0f, 3.0f * near * near);
}

// Cell of a color whose levels are the bytes of `rgb`.
FC_DEVICE u32 exact_cell(u32 rgb, u32 cells) {
    const double r = __ldg(EXACT_LIGHT + (rgb & 255)), g = __ldg(EXACT_LIGHT + (rgb >> 8 & 255));
    const Xyz<double> xyz(r, g, __ldg(EXACT_LIGHT + (rgb >> 16)));
    const double x = refined(xyz.x), y = refined(xyz.y), z = refined(xyz.z), half = 0.5 * cells;
    return (u32)(half + (x - y) * (500 / (2 * AB_MAX) * cells)) * cells +
           (u32)(half + (y - z) * (200 / (2 * AB_MAX) * cells));
}

// A cell along one axis, and whether it is right: the color lies near enough to its middle.
struct Along {
    u32 cell;
    bool sure;

    FC_DEVICE Along(float difference, float scale, float middle, float sure_within) {
        constexpr float MAGIC = 3 << 22;  // the sum is rounded to a whole number, which stands in its low bits
        const float at = fmaf(difference, scale, middle), whole = at + MAGIC;
        cell = __float_as_uint(whole) - __float_as_uint(MAGIC);
        sure = fabsf(at - (whole - MAGIC)) < sure_within;
    }
};

// Levels to colors, with linear light in shared memory.
struct LabLevels {
    const float *linear;
    const LabGrid &grid;

    FC_DEVICE Color operator()(u32 r, u32 g, u32 b, bool &sure) const {
        const Bent f(Xyz<float>(linear[r], linear[g], linear[b]));
        const Along first(f.x - f.y, grid.a_scale, grid.middle, grid.a_sure);
        const Along second(f.y - f.z, grid.b_scale, grid.middle, grid.b_sure);
        sure = first.sure && second.sure;
        return {f.light, first.cell * grid.cells + second.cell};
    }
};
template <>
constexpr bool STAGED<LabLevels> = true;

FC_DEVICE LabLevels space_of(const LabGrid &grid, u8) {
    __shared__ float linear[256];
    for (int k = threadIdx.x; k < 256; k += blockDim.x) linear[k] = __ldg(LIGHT + k);
    return {linear, grid};
}

template <int N, class Pixels>
FC_DEVICE Pack<Color, N> colors_of(const Pixels &pixels, int first, const LabLevels &lab) {
    Pack<Color, N> colors;
    u32 unsure = 0;
#pragma unroll
    for (int k = 0; k < N; ++k) {
        bool sure;
        colors.at[k] = lab(pixels(first + k, 0), pixels(first + k, 1), pixels(first + k, 2), sure);
        unsure |= sure ? 0 : 1u << k;
    }
    for (; unsure; unsure &= unsure - 1) {
        const u32 lowest = unsure & -unsure;
        u32 rgb = 0;
#pragma unroll
        for (int k = 0; k < N; ++k)
            if (lowest == 1u << k)
                rgb = pixels(first + k, 0) | pixels(first + k, 1) << 8 | pixels(first + k, 2) << 16;
        const u32 cell = exact_cell(rgb, lab.grid.cells);
#pragma unroll
        for (int k = 0; k < N; ++k)
            if (lowest == 1u << k) colors.at[k].cell = cell;
    }
    return colors;
}

// --- floats in [0, 1]; float64 is rounded to float32 first ------------------------------------------------------------

FC_DEVICE float linear(float c) {
    const float x = fmaf(c, (float)(1 / 1.055), (float)(0.055 / 1.055)), square = x * x;
    return c <= 0.04045f ? c * (float)(1 / 12.92) : square * root<5>(square);  // x^2.4
}

template <class Real>
FC_DEVICE Bent bent_of(Real r, Real g, Real b) {
    return Bent(Xyz<float>(linear((float)r), linear((float)g), linear((float)b)));
}

template <class Real>
FC_DEVICE LabGrid space_of(const LabGrid &grid, Real) { return grid; }

template <class Real>
FC_DEVICE Color color_of(Real r, Real g, Real b, const LabGrid &grid) {
    constexpr float A = 500 / (2 * AB_MAX), B = 200 / (2 * AB_MAX);
    const Bent f = bent_of(r, g, b);
    const u32 row = cell_at(fmaf(f.x - f.y, A, 0.5f), grid.cells), column = cell_at(fmaf(f.y - f.z, B, 0.5f), grid.cells);
    return {f.light, row * grid.cells + column};
}

}  // namespace fc
