// Forward and backward pass of fully connected layers with PReLU and skip connections.
//
// The code is compiled for the widths, so that every matrix product below has constant bounds. Tensors are
// (member, feature, frame) with the frames contiguous, and all vectors run along the frames. The work is cut into
// chunks of CHUNK frames of one member. A chunk passes through all layers while it is in the cache, is independent
// of every other chunk, and writes its own partial sums of the parameter gradients, which are then added in the
// order of the chunks. The result therefore depends neither on the number of threads nor on the other members.

#include <cstdint>
#include <cstring>

#include "batched_mlp_blocks.h"
#include "threads.h"

namespace {

constexpr int WIDTHS[] = {QCODEC_WIDTHS};
constexpr bool SKIP[] = {QCODEC_SKIP};
constexpr bool ACTIVE[] = {QCODEC_ACTIVATION};
constexpr bool AFTER = QCODEC_AFTER;      // the skip connection passes over the activation as well
constexpr bool CHANNEL = QCODEC_CHANNEL;  // one slope per feature instead of one per layer
constexpr int LAYERS = sizeof(SKIP) / sizeof(bool);

constexpr int TILE = 128;              // frames that pass through all layers at once: two tiles fit the L1 cache
constexpr int CHUNK = 256;             // frames of one task and of one partial sum
constexpr int STRIDE = CHUNK + LANES;  // not a power of two: rows must not compete for the same cache sets
static_assert(TILE % (LANES * COLUMNS) == 0 && CHUNK % TILE == 0, "tiles must divide evenly");

// ---- sizes ---------------------------------------------------------------------------------------------------------

constexpr int widest() {
    int most = 0;
    for (int width : WIDTHS) most = width > most ? width : most;
    return most;
}
// The backward pass needs what enters each activation, and rebuilds the inputs of the later layers from it.
constexpr bool kept(int layer) { return ACTIVE[layer] || layer + 1 < LAYERS; }
constexpr int64_t kept_before(int layer) {
    int64_t rows = 0;
    for (int l = 0; l < layer; ++l) rows += kept(l) ? WIDTHS[l + 1] : 0;
    return rows * CHUNK;
}
// Parameters of a layer: kind 0 is the weight, 1 the bias, 2 the slope.
constexpr int64_t parameter_size(int layer, int kind) {
    if (kind == 2) return ACTIVE[layer] ? (CHANNEL ? WIDTHS[layer + 1] : 1) : 0;
    return kind == 1 ? WIDTHS[layer + 1] : int64_t(WIDTHS[layer + 1]) * WIDTHS[layer];
}
constexpr int64_t parameters_before(int layer, int kind) {
    int64_t size = 0;
    for (int i = 0; i < 3 * layer + kind; ++i) size += parameter_size(i / 3, i % 3);
    return size;
}
constexpr int64_t KEPT = kept_before(LAYERS), PARAMETERS = parameters_before(LAYERS, 0);

struct Call {
    const float* parameters;  // PARAMETERS of each member: weight, bias, slope of each layer
    const float* x;
    float* y;
    float* kept;  // null: nothing is kept
    const float* grad_y;
    float* grad_x;     // null: not needed
    float* gradients;  // like parameters
    float* partial;    // like parameters, for each chunk
    int64_t sources, frames, chunks;  // member m reads the signal number m % sources

    template <int LAYER, int KIND> const float* parameter(int64_t member) const {
        return parameters + member * PARAMETERS + parameters_before(LAYER, KIND);
    }
    const float* signal(int64_t member) const { return x + member % sources * WIDTHS[0] * frames; }
};

INLINE vec prelu(vec u, float slope) { return u > vec{} ? u : slope * u; }

// Rows of a tensor to and from a buffer; the buffer is zero in the frames after the last.
template <int N> INLINE void copy_in(float* to, int stride, const float* from, int64_t frames, int count, int padded) {
    for (int row = 0; row < N; ++row, to += stride, from += frames) {
        std::memcpy(to, from, count * sizeof(float));
        std::memset(to + count, 0, (padded - count) * sizeof(float));
    }
}
template <int N> INLINE void copy_out(float* to, const float* from, int stride, int64_t frames, int count) {
    for (int row = 0; row < N; ++row, from += stride, to += frames) std::memcpy(to, from, count * sizeof(float));
}

// ---- the two passes over one chunk ---------------------------------------------------------------------------------

struct Workspace {
    alignas(64) float tile[2][widest() * TILE];
    alignas(64) float h[LAYERS][widest() * STRIDE];  // input of each layer
    alignas(64) float g[widest() * STRIDE];          // gradient of a layer's output, then of its input
    alignas(64) float d[widest() * STRIDE];          // gradient of the layer's matrix product
};
thread_local Workspace workspace;

template <int L> void forward_layers(const Call& call, int64_t member, float* kept_tile) {
    if constexpr (L < LAYERS) {
        constexpr int OUT = WIDTHS[L + 1], IN = WIDTHS[L];
        const float* bias = call.parameter<L, 1>(member);
        const float* slope = call.parameter<L, 2>(member);
        const float* in = workspace.tile[L % 2];
        float* next = workspace.tile[(L + 1) % 2];
        float* keep = kept(L) && kept_tile ? kept_tile + kept_before(L) : nullptr;
        auto finish = [=](int row, int frame, vec u) __attribute__((always_inline)) {
            if constexpr (SKIP[L] && !AFTER) u += load(in + row * TILE + frame);
            if (keep) store(keep + row * CHUNK + frame, u);
            if constexpr (ACTIVE[L]) u = prelu(u, slope[CHANNEL ? row : 0]);
            if constexpr (SKIP[L] && AFTER) u += load(in + row * TILE + frame);
            store(next + row * TILE + frame, u);
        };
        auto start = [=](int row) { return bias[row]; };
        product<OUT, IN, IN, 1, TILE>(call.parameter<L, 0>(member), in, TILE, start, finish);
        forward_layers<L + 1>(call, member, kept_tile);
    }
}

void forward_chunk(const Call& call, int64_t task) {
    const int64_t member = task / call.chunks, first = task % call.chunks * CHUNK;
    for (int64_t t = first; t < first + CHUNK && t < call.frames; t += TILE) {
        const int count = call.frames - t < TILE ? int(call.frames - t) : TILE;
        float* kept_tile = call.kept ? call.kept + task * KEPT + (t - first) : nullptr;
        const float* x = call.signal(member) + t;
        copy_in<WIDTHS[0]>(workspace.tile[0], TILE, x, call.frames, count, TILE);
        forward_layers<0>(call, member, kept_tile);
        copy_out<WIDTHS[LAYERS]>(call.y + member * WIDTHS[LAYERS] * call.frames + t, workspace.tile[LAYERS % 2], TILE,
                                 call.frames, count);
    }
}

template <int L> void rebuild_inputs(const Call& call, int64_t member, const float* kept_chunk, int frames) {
    if constexpr (L < LAYERS) {
        const float* slope = call.parameter<L - 1, 2>(member);
        for (int row = 0; row < WIDTHS[L]; ++row) {
            for (int frame = 0; frame < frames; frame += LANES) {
                vec u = load(kept_chunk + kept_before(L - 1) + row * CHUNK + frame);
                if constexpr (ACTIVE[L - 1]) u = prelu(u, slope[CHANNEL ? row : 0]);
                if constexpr (SKIP[L - 1] && AFTER) u += load(workspace.h[L - 1] + row * STRIDE + frame);
                store(workspace.h[L] + row * STRIDE + frame, u);
            }
        }
        rebuild_inputs<L + 1>(call, member, kept_chunk, frames);
    }
}

template <int L>
void backward_layers(const Call& call, int64_t member, const float* kept_chunk, int frames, float* partial) {
    if constexpr (L >= 0) {
        constexpr int OUT = WIDTHS[L + 1], IN = WIDTHS[L];
        float *g = workspace.g, *d = workspace.d;
        const float* slope = call.parameter<L, 2>(member);
        vec bias_sum[OUT], slope_sum[CHANNEL ? OUT : 1] = {};
        for (int row = 0; row < OUT; ++row) {
            vec sum = {}, weighted = {};
            for (int frame = 0; frame < frames; frame += LANES) {
                vec v = load(g + row * STRIDE + frame);
                if constexpr (ACTIVE[L]) {
                    const vec u = load(kept_chunk + kept_before(L) + row * CHUNK + frame);
                    weighted += u > vec{} ? vec{} : u * v;
                    v = u > vec{} ? v : slope[CHANNEL ? row : 0] * v;
                }
                sum += v;
                store(d + row * STRIDE + frame, v);
            }
            bias_sum[row] = sum;
            slope_sum[CHANNEL ? row : 0] += weighted;
        }
        weight_gradient<OUT, IN, STRIDE>(d, workspace.h[L], frames, partial + parameters_before(L, 0));
        sum_lanes<OUT>(bias_sum, partial + parameters_before(L, 1));
        if constexpr (ACTIVE[L]) sum_lanes<parameter_size(L, 2)>(slope_sum, partial + parameters_before(L, 2));
        if (L == 0 && !call.grad_x) return;
        auto finish = [=](int row, int frame, vec v) __attribute__((always_inline)) {
            if constexpr (SKIP[L]) v += load((AFTER ? g : d) + row * STRIDE + frame);
            store(g + row * STRIDE + frame, v);
        };
        product<IN, OUT, 1, IN, STRIDE>(call.parameter<L, 0>(member), d, frames, [](int) { return 0.0f; }, finish);
        backward_layers<L - 1>(call, member, kept_chunk, frames, partial);
    }
}

void backward_chunk(const Call& call, int64_t task) {
    const int64_t member = task / call.chunks, first = task % call.chunks * CHUNK;
    const int count = call.frames - first < CHUNK ? int(call.frames - first) : CHUNK;
    const int padded = (count + TILE - 1) / TILE * TILE;
    const int64_t in = member * WIDTHS[0] * call.frames + first, out = member * WIDTHS[LAYERS] * call.frames + first;
    copy_in<WIDTHS[0]>(workspace.h[0], STRIDE, call.signal(member) + first, call.frames, count, padded);
    copy_in<WIDTHS[LAYERS]>(workspace.g, STRIDE, call.grad_y + out, call.frames, count, padded);
    rebuild_inputs<1>(call, member, call.kept + task * KEPT, padded);
    backward_layers<LAYERS - 1>(call, member, call.kept + task * KEPT, padded, call.partial + task * PARAMETERS);
    if (call.grad_x) copy_out<WIDTHS[0]>(call.grad_x + in, workspace.g, STRIDE, call.frames, count);
}

void add_partial_sums(const Call& call, int64_t member) {
    float* sum = call.gradients + member * PARAMETERS;
    const float* part = call.partial + member * call.chunks * PARAMETERS;
    std::memcpy(sum, part, PARAMETERS * sizeof(float));
    for (int64_t chunk = 1; chunk < call.chunks; ++chunk) {
        part += PARAMETERS;
        for (int64_t k = 0; k < PARAMETERS; ++k) sum[k] += part[k];
    }
}

}  // namespace

extern "C" {

// Frames of a chunk, and the floats that one chunk keeps for the backward pass and writes as partial sums.
void qcodec_sizes(int64_t* sizes) { sizes[0] = CHUNK, sizes[1] = KEPT, sizes[2] = PARAMETERS; }

void qcodec_forward(const float* parameters, const float* x, float* y, float* kept, int64_t members,
                    int64_t sources, int64_t frames, int64_t threads, Parallel parallel) {
    const int64_t chunks = (frames + CHUNK - 1) / CHUNK;
    const Call call{parameters, x, y, kept, nullptr, nullptr, nullptr, nullptr, sources, frames, chunks};
    run([&](int64_t task) { forward_chunk(call, task); }, members * chunks, threads, parallel);
}

void qcodec_backward(const float* parameters, const float* x, float* kept, const float* grad_y, float* grad_x,
                     float* gradients, float* partial, int64_t members, int64_t sources, int64_t frames,
                     int64_t threads, Parallel parallel) {
    const int64_t chunks = (frames + CHUNK - 1) / CHUNK;
    const Call call{parameters, x, nullptr, kept, grad_y, grad_x, gradients, partial, sources, frames, chunks};
    run([&](int64_t task) { backward_chunk(call, task); }, members * chunks, threads, parallel);
    run([&](int64_t member) { add_partial_sums(call, member); }, members, threads, parallel);
}
}
