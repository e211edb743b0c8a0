// From CIE Lab to RGB.
namespace fc {

// X, Y or Z over the white from the cube root that stands for it; a negative one stays negative.
FC_DEVICE float from_root(float f) { return f > LAB_EDGE ? f * f * f : (f - LAB_OFFSET) * (1.0f / LAB_SLOPE); }

// 255 times sRGB of a linear value, which is clipped to [0, 1], plus one half; NaN counts as 0.
//
// Errors in levels. lg2.approx errs by 2^-22 of the larger of 1 and its result, here of 8.4 at most, which the exponent
// 1 / 2.4 and ln 2 make 5.7e-7 of 24.3 levels at .0031308 and 6.9e-8 of 269 at 1; ex2.approx by 2^-22 of up to 269: at most
// 9e-5 levels in all. What the linear value itself errs by counts 255 * 12.92 times at most, and 112 times at 1.
FC_DEVICE float srgb_level(float linear) {
    const float x = fminf(fmaxf(linear, 0.0f), 1.0f);
    const float curve = fmaf(exp2_fast(log2_fast(x) * (1.0f / 2.4f)), 255.0f * 1.055f, 0.5f - 255.0f * 0.055f);
    return x <= 0.0031308f ? fmaf(x, 255.0f * 12.92f, 0.5f) : curve;
}

// R, G, B of L in [0, 100], a and b, rounded; black where one of them is NaN.
FC_DEVICE Rgb join_lab(float light, float a, float b) {
    const float root = fmaf(light, 1.0f / 116.0f, 16.0f / 116.0f);
    const float y = from_root(root);
    const float x = from_root(fmaf(a, 1.0f / 500.0f, root)), z = from_root(fmaf(b, -1.0f / 200.0f, root));
    return {to_level(srgb_level(fmaf(R_OF_X, x, fmaf(R_OF_Y, y, R_OF_Z * z)))),
            to_level(srgb_level(fmaf(G_OF_X, x, fmaf(G_OF_Y, y, G_OF_Z * z)))),
            to_level(srgb_level(fmaf(B_OF_X, x, fmaf(B_OF_Y, y, B_OF_Z * z))))};
}

// Luma and chroma of either space; luma of Lab is a float.
template <bool LAB, class Luma>
FC_DEVICE Rgb join_in(Luma luma, float u, float v) {
    if constexpr (LAB) return join_lab(luma, u, v);
    else return join(level(luma), u, v);
}

}  // namespace fc
