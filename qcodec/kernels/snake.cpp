// The Snake activation of the Descript Audio Codec and its gradient in one pass over the values, where PyTorch's
// operations take five and a dozen.
//
// A tensor (batch, channels, values) is a number of rows of contiguous values; all values of a row share one alpha.

#include <algorithm>
#include <cmath>

#include "threads.h"

namespace {

constexpr int64_t BLOCK = 512;     // values whose partial sum is kept in single precision
constexpr int64_t TASK = 1 << 14;  // values that a task has at least, but for the last
constexpr float FAR = 8192;        // arguments from here on are left to the standard library

struct Shape {
    int64_t batch, channels, values, threads;
    Parallel parallel;
};

struct Halves {
    float sine, cosine;
};

// Sine and cosine of u - k pi with the nearest integer k, that is up to a sign that they share, to 1e-7 for |u| < FAR.
// pi is subtracted in three parts; the polynomials are least maximum fits on [-pi/2, pi/2].
inline Halves halves(float u) {
    const float k = std::nearbyint(u * 0.318309886f);
    const float r = std::fma(k, 3.43024902e-15f, std::fma(k, 8.74227766e-8f, std::fma(k, -3.14159274f, u))), s = r * r;
    float sine = std::fma(s, 2.6071441e-06f, -0.000198103706f);
    sine = std::fma(s, std::fma(s, sine, 0.00833307952f), -0.166666597f);
    float cosine = std::fma(s, -2.6059098e-07f, 2.47609096e-05f);
    cosine = std::fma(s, std::fma(s, std::fma(s, cosine, -0.00138883851f), 0.0416666381f), -0.5f);
    return {std::fma(s * r, sine, r), std::fma(s, cosine, 1.0f)};
}

inline Halves any(float u) { return {std::sin(u), std::cos(u)}; }

// Whether all |alpha x| of a block are below FAR; not so where one is no number.
inline bool near(const float* x, float alpha, int64_t count) {
    int far = 0;
#pragma omp simd reduction(+ : far)
    for (int64_t i = 0; i < count; ++i) far += !(std::fabs(alpha * x[i]) < FAR);
    return !far;
}

template <Halves (*of)(float)> void forward(const float* x, float* y, float alpha, float scale, int64_t count) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
        const float sine = of(alpha * x[i]).sine;
        y[i] = std::fma(scale, sine * sine, x[i]);
    }
}

// Writes the gradient of x; gives the block's share of that of alpha.
template <Halves (*of)(float)>
float backward(const float* x, const float* grad, float* out, float alpha, float scale, int64_t count) {
    float sum = 0;
    const float slope = 2 * alpha * scale;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < count; ++i) {
        const Halves h = of(alpha * x[i]);
        const float product = h.sine * h.cosine;
        out[i] = grad[i] * std::fma(slope, product, 1.0f);
        sum += grad[i] * scale * (2 * x[i] * product - scale * h.sine * h.sine);
    }
    return sum;
}

// work(row, first, count) for the blocks of every row, a whole number of rows to a task.
template <class Work> void for_blocks(const Shape& shape, const Work& work) {
    const int64_t all = shape.batch * shape.channels, rows = std::max<int64_t>(1, TASK / shape.values);
    auto task = [&](int64_t index) {
        for (int64_t row = index * rows; row < std::min(all, (index + 1) * rows); ++row)
            for (int64_t first = 0; first < shape.values; first += BLOCK)
                work(row, row * shape.values + first, std::min(BLOCK, shape.values - first));
    };
    run(task, (all + rows - 1) / rows, shape.threads, shape.parallel);
}

inline float reciprocal(float alpha) { return 1 / (alpha + 1e-9f); }

}  // namespace

extern "C" {

// y = x + sin(alpha x)^2 / (alpha + 1e-9)
void qcodec_snake(const float* x, const float* alpha, float* y, Shape shape) {
    for_blocks(shape, [&](int64_t row, int64_t first, int64_t count) {
        const float a = alpha[row % shape.channels], scale = reciprocal(a);
        const auto pass = near(x + first, a, count) ? forward<halves> : forward<any>;
        pass(x + first, y + first, a, scale, count);
    });
}

// The gradient of x, and for each row its share of that of alpha, (batch, channels) in double precision and set to 0.
void qcodec_snake_gradient(
    const float* x, const float* alpha, const float* grad, float* grad_x, double* grad_alpha, Shape shape
) {
    for_blocks(shape, [&](int64_t row, int64_t first, int64_t count) {
        const float a = alpha[row % shape.channels], scale = reciprocal(a);
        const auto pass = near(x + first, a, count) ? backward<halves> : backward<any>;
        grad_alpha[row] += pass(x + first, grad + first, grad_x + first, a, scale, count);
    });
}

}  // extern "C"
