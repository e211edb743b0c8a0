// The chroma of the bins, as a launch argument and as a thread reads it: U and V of bin b are `u[b]` and `v[b]`.
namespace fc {

// Of up to 255 bins, by value: it lies in the constant bank, at no load and no copy a launch. Zero beyond the last bin.
struct Palette {
    float u[FEW_BINS + 1];
    float v[FEW_BINS + 1];

    FC_DEVICE const Palette &staged() const { return *this; }
};

struct Staged {
    const float *u, *v;
};

// Of any number: all U, then all V, in global memory, zero up to `count`, a multiple of 512. A block brings them to its
// dynamic shared memory: from the first-level cache they would come back behind the logits that were asked for before.
struct Table {
    const float *colors;
    int count;

    // All threads of the block come here together.
    FC_DEVICE Staged staged() const {
        extern __shared__ uint4 shared[];
        const uint4 *from = reinterpret_cast<const uint4 *>(colors);
        for (int k = threadIdx.x; k < count / 2; k += blockDim.x) shared[k] = __ldg(from + k);
        __syncthreads();
        const float *first = reinterpret_cast<const float *>(shared);
        return {first, first + count};
    }
};

}  // namespace fc
