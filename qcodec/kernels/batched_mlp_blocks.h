// Matrix products whose accumulators stay in the vector registers; all vectors run along the frames.

#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace {

// LANES x COLUMNS frames by ROWS features, and BLOCK x BLOCK entries of a weight gradient, fill the registers:
// 24 or 25 accumulators of the 32 registers of AVX-512 and ARM, 12 or 9 of the 16 of AVX and SSE.
#if defined(__AVX512F__)
constexpr int LANES = 16, COLUMNS = 4, BLOCK = 5;
#elif defined(__AVX__)
constexpr int LANES = 8, COLUMNS = 2, BLOCK = 3;
#elif defined(__aarch64__)
constexpr int LANES = 4, COLUMNS = 4, BLOCK = 5;
#else
constexpr int LANES = 4, COLUMNS = 2, BLOCK = 3;
#endif
constexpr int ROWS = 6;

// The accumulators stay in registers only if the functions around them are inlined and their loops unrolled.
#define INLINE inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

typedef float vec __attribute__((vector_size(LANES * sizeof(float))));
typedef float loose __attribute__((vector_size(LANES * sizeof(float)), may_alias, aligned(4)));
typedef int32_t lanes __attribute__((vector_size(LANES * sizeof(float))));

INLINE vec load(const float* p) { return *reinterpret_cast<const loose*>(p); }
INLINE void store(float* p, vec v) { *reinterpret_cast<loose*>(p) = v; }

template <int N> using constant = std::integral_constant<int, N>;

// body(first, constant<size>) for blocks of SIZE in 0..N-1, the last one smaller.
template <int N, int SIZE, class Body> INLINE void blocks(Body body) {
    for (int first = 0; first + SIZE <= N; first += SIZE) body(first, constant<SIZE>());
    if constexpr (N % SIZE != 0) body(N - N % SIZE, constant<N % SIZE>());
}

// finish(row, frame, sum over k of weight[row, k] * in[k, frame] + start(row)) for all rows and frames; the weight
// is addressed by two strides, so that the same code multiplies with a matrix and with its transpose.
template <int OUT, int IN, int ROW_STEP, int COLUMN_STEP, int IN_STRIDE, class Start, class Finish>
INLINE void product(const float* weight, const float* in, int frames, Start start, Finish finish) {
    for (int frame = 0; frame < frames; frame += COLUMNS * LANES) {
        blocks<OUT, ROWS>([=](int row, auto size) __attribute__((always_inline)) {
            constexpr int N = decltype(size)::value;
            vec sum[N][COLUMNS];
            UNROLL for (int r = 0; r < N; ++r)
                UNROLL for (int c = 0; c < COLUMNS; ++c) sum[r][c] = vec{} + start(row + r);
            const float* w = weight + row * ROW_STEP;
            const float* h = in + frame;
            for (int k = 0; k < IN; ++k, w += COLUMN_STEP, h += IN_STRIDE) {
                vec column[COLUMNS];
                UNROLL for (int c = 0; c < COLUMNS; ++c) column[c] = load(h + c * LANES);
                UNROLL for (int r = 0; r < N; ++r)
                    UNROLL for (int c = 0; c < COLUMNS; ++c) sum[r][c] += w[r * ROW_STEP] * column[c];
            }
            UNROLL for (int r = 0; r < N; ++r)
                UNROLL for (int c = 0; c < COLUMNS; ++c) finish(row + r, frame + c * LANES, sum[r][c]);
        });
    }
}

// In every group of 2 * HALF lanes: first the two halves of a added, then those of b.
template <int HALF> INLINE vec fold(vec a, vec b) {
    lanes low, high;
    UNROLL for (int i = 0; i < LANES; ++i) {
        low[i] = i % (2 * HALF) < HALF ? i : LANES + i - HALF;
        high[i] = low[i] + HALF;
    }
#ifdef __clang__
    vec x, y;
    UNROLL for (int i = 0; i < LANES; ++i) {
        x[i] = low[i] < LANES ? a[low[i]] : b[low[i] - LANES];
        y[i] = high[i] < LANES ? a[high[i]] : b[high[i] - LANES];
    }
    return x + y;
#else
    return __builtin_shuffle(a, b, low) + __builtin_shuffle(a, b, high);
#endif
}
template <int HALF> INLINE void fold_all(vec* v) {
    if constexpr (HALF > 0) {
        UNROLL for (int i = 0; i < HALF; ++i) v[i] = fold<HALF>(v[i], v[i + HALF]);
        fold_all<HALF / 2>(v);
    }
}
// out[i] = sum of the lanes of v[i], a whole vector of sums at a time.
template <int N> INLINE void sum_lanes(const vec* v, float* out) {
    blocks<N, LANES>([=](int first, auto size) __attribute__((always_inline)) {
        constexpr int SIZE = decltype(size)::value;
        vec group[LANES] = {};
        UNROLL for (int i = 0; i < SIZE; ++i) group[i] = v[first + i];
        fold_all<LANES / 2>(group);
        std::memcpy(out + first, group, SIZE * sizeof(float));
    });
}

// gradient[r, c] = sum over the frames of d[r] * h[c], both with STRIDE floats from row to row
template <int OUT, int IN, int STRIDE>
INLINE void weight_gradient(const float* d, const float* h, int frames, float* gradient) {
    blocks<OUT, BLOCK>([=](int row, auto rows) __attribute__((always_inline)) {
        blocks<IN, BLOCK>([=](int column, auto columns) __attribute__((always_inline)) {
            constexpr int R = decltype(rows)::value, C = decltype(columns)::value;
            vec sum[R * C] = {};
            for (int frame = 0; frame < frames; frame += LANES) {
                vec left[R];
                UNROLL for (int r = 0; r < R; ++r) left[r] = load(d + (row + r) * STRIDE + frame);
                UNROLL for (int c = 0; c < C; ++c) {
                    const vec right = load(h + (column + c) * STRIDE + frame);
                    UNROLL for (int r = 0; r < R; ++r) sum[r * C + c] += left[r] * right;
                }
            }
            float block[R * C];
            sum_lanes<R * C>(sum, block);
            UNROLL for (int r = 0; r < R; ++r)
                std::memcpy(gradient + (row + r) * IN + column, block + r * C, C * sizeof(float));
        });
    });
}

}  // namespace
