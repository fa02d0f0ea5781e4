// What lies between encoder and decoder, in one or two passes over the values where PyTorch's operations take several.
//
// A tensor is a number of rows of contiguous values; sums and means are those of a row. The work is cut into chunks of
// CHUNK values of one row. A chunk writes partial sums of its own, in double precision, which are then added in the
// order of the chunks: the result depends neither on the number of threads nor on the other rows.

#include <cmath>
#include <vector>

#include "threads.h"

namespace {

constexpr int64_t CHUNK = 4096;

struct Rows {
    int64_t rows, values, threads;
    Parallel parallel;
    int64_t chunks() const { return (values + CHUNK - 1) / CHUNK; }
};

// work(row, first, end, chunk) for every chunk, with the positions of its values in the tensor.
template <class Work> void for_chunks(const Rows& shape, const Work& work) {
    const int64_t chunks = shape.chunks(), values = shape.values;
    auto task = [&](int64_t chunk) {
        const int64_t row = chunk / chunks, first = chunk % chunks * CHUNK;
        work(row, row * values + first, row * values + (first + CHUNK < values ? first + CHUNK : values), chunk);
    };
    run(task, shape.rows * chunks, shape.threads, shape.parallel);
}

typedef double wide __attribute__((vector_size(64)));
typedef float narrow __attribute__((vector_size(32), may_alias, aligned(4)));
constexpr int LANES = 8;

template <class Value> struct Sums {
    Value a{}, b{}, c{};
    void add(const Sums& other) { a += other.a, b += other.b, c += other.c; }
};

template <class Value> Sums<Value> terms(Value a, Value b = Value(), Value c = Value()) { return {a, b, c}; }

struct One {
    double operator()(const float* x) const { return *x; }
};
struct Lanes {
    wide operator()(const float* x) const {
        return __builtin_convertvector(*reinterpret_cast<const narrow*>(x), wide);
    }
};

// Sums of each row, where of(load, position, row) gives what one value contributes, or several that load reads at once.
template <class Terms> std::vector<Sums<double>> sum_rows(const Rows& shape, const Terms& of) {
    std::vector<Sums<double>> parts(shape.rows * shape.chunks()), rows(shape.rows);
    for_chunks(shape, [&](int64_t row, int64_t first, int64_t end, int64_t chunk) {
        Sums<wide> even, odd;
        Sums<double> sum;
        int64_t i = first;
        for (; i + 2 * LANES <= end; i += 2 * LANES) even.add(of(Lanes(), i, row)), odd.add(of(Lanes(), i + LANES, row));
        for (; i < end; ++i) sum.add(of(One(), i, row));
        even.add(odd);
        for (int lane = 0; lane < LANES; ++lane) sum.add({even.a[lane], even.b[lane], even.c[lane]});
        parts[chunk] = sum;
    });
    for (int64_t chunk = 0; chunk < int64_t(parts.size()); ++chunk) rows[chunk / shape.chunks()].add(parts[chunk]);
    return rows;
}

}  // namespace

extern "C" {

// The nearest of equally spaced levels: its index, which is 0 for a NaN, and its value, which is NaN for a NaN.
void qcodec_nearest_level(const float* z, int64_t* index, float* value, double levels, double step, Rows shape) {
    const float half = float(levels / 2), centre = float((levels - 1) / 2), last = float(levels - 1);
    const float width = float(step);
    for_chunks(shape, [=](int64_t, int64_t first, int64_t end, int64_t) {
#pragma omp simd
        for (int64_t i = first; i < end; ++i) {
            float level = std::floor(z[i] / width + half);
            level = level < 0 ? 0 : level;
            level = level > last ? last : level;
            value[i] = (level - centre) * width;
            index[i] = level == level ? int32_t(level) : 0;
        }
    });
}

// Mean of |x| of each row.
void qcodec_mean_absolute(const float* x, float* mean, Rows shape) {
    const auto sums = sum_rows(shape, [=](auto load, int64_t i, int64_t) {
        const auto value = load(x + i);
        return terms(value < 0 ? -value : value);
    });
    for (int64_t row = 0; row < shape.rows; ++row) mean[row] = float(sums[row].a / double(shape.values));
}

// Mean of (x - target)^2 of each row; row r is compared with row r % targets.
void qcodec_mean_square(const float* x, const float* target, float* mean, int64_t targets, Rows shape) {
    const auto sums = sum_rows(shape, [=](auto load, int64_t i, int64_t row) {
        const auto error = load(x + i) - load(target + i - row / targets * targets * shape.values);
        return terms(error * error);
    });
    for (int64_t row = 0; row < shape.rows; ++row) mean[row] = float(sums[row].a / double(shape.values));
}

// Its gradient 2 / n * grad * (x - target), with one grad for each row.
void qcodec_mean_square_gradient(const float* x, const float* target, const float* grad, float* out, int64_t targets,
                                 Rows shape) {
    for_chunks(shape, [=](int64_t row, int64_t first, int64_t end, int64_t) {
        const float scale = grad[row] * float(2 / double(shape.values));
        const float* wanted = target - row / targets * targets * shape.values;
#pragma omp simd
        for (int64_t i = first; i < end; ++i) out[i] = (x[i] - wanted[i]) * scale;
    });
}

// grad - (q - mean q) <grad, q> / sum (q - mean q)^2 with q = z_q - z, or the same without the means; where the power
// of q is lost in rounding, grad itself.
void qcodec_modified_gradient(const float* z, const float* z_q, const float* grad, float* out, int64_t centred,
                              Rows shape) {
    const auto sums = sum_rows(shape, [=](auto load, int64_t i, int64_t) {
        const auto error = load(z_q + i) - load(z + i);
        return terms(error, error * error, error * load(grad + i));
    });
    for_chunks(shape, [&](int64_t row, int64_t first, int64_t end, int64_t) {
        const double mean = centred ? sums[row].a / double(shape.values) : 0.0;
        const double total = sums[row].b, power = total - mean * mean * double(shape.values);
        const float ratio = power <= 1.1920929e-7 * total ? 0.0f : float(sums[row].c / power), offset = float(mean);
#pragma omp simd
        for (int64_t i = first; i < end; ++i) out[i] = grad[i] - ((z_q[i] - z[i]) - offset) * ratio;
    });
}

// z + gain * std(z) * noise; the mean of each row and its standard deviation are kept in statistics.
void qcodec_noisy(const float* z, const float* noise, const float* gain, float* out, double* statistics, Rows shape) {
    const auto sums = sum_rows(shape, [=](auto load, int64_t i, int64_t) {
        const auto value = load(z + i);
        return terms(value, value * value);
    });
    const double n = double(shape.values);
    for (int64_t row = 0; row < shape.rows; ++row) {
        const double mean = sums[row].a / n, power = sums[row].b - mean * mean * n;
        statistics[2 * row] = mean;
        statistics[2 * row + 1] = std::sqrt((power < 0 ? 0 : power) / (n - 1));
    }
    for_chunks(shape, [=](int64_t row, int64_t first, int64_t end, int64_t) {
        const float scale = gain[row] * float(statistics[2 * row + 1]);
#pragma omp simd
        for (int64_t i = first; i < end; ++i) out[i] = z[i] + scale * noise[i];
    });
}

// grad + (z - mean z) / ((n - 1) std(z)) * gain * <grad, noise>, where std(z) = 0 grad itself.
void qcodec_noisy_gradient(const float* z, const float* noise, const float* gain, const double* statistics,
                           const float* grad, float* out, Rows shape) {
    const auto sums = sum_rows(shape, [=](auto load, int64_t i, int64_t) { return terms(load(grad + i) * load(noise + i)); });
    for_chunks(shape, [&](int64_t row, int64_t first, int64_t end, int64_t) {
        const double mean = statistics[2 * row], deviation = statistics[2 * row + 1];
        const double slope = gain[row] * sums[row].a / (double(shape.values - 1) * deviation);
        const float scale = deviation == 0 ? 0.0f : float(slope), offset = float(mean);
#pragma omp simd
        for (int64_t i = first; i < end; ++i) out[i] = grad[i] + (z[i] - offset) * scale;
    });
}
}
