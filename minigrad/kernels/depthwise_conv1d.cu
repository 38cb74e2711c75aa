/*
The depthwise convolution on the GPU: three sums of one form, by one inner loop.

    Phi(x, w, g) = sum over n, t, k, c, m of   x[n, s*t + d*k - p, c] * w[k, c, m] * g[n, t, c*M + m]

is linear in each of x (N, L, C), w (K, C, M) and g (N, T, C*M). Its derivatives are the three kernels (s stride,
d dilation, p zeros before; "channels first" stores x as (N, C, L) and g as (N, C*M, T)):

    forward          y[n, t, o]  = dPhi/dg = sum over k               of  x[n, s*t + d*k - p, c] * w[k, o]       (1)
    input gradient   dx[n, l, c] = dPhi/dx = sum over m and all (t, k) with s*t + d*k - p = l
                                                                      of  g[n, t, o] * w[k, o]                   (2)
    kernel gradient  dw[k, o]    = dPhi/dw = sum over n, t            of  x[n, s*t + d*k - p, c] * g[n, t, o]    (3)

with o = c*M + m. In all of them an element is multiplied with its neighbors in time, so what one output has read, the
next one needs too. A GPU does many multiplications in the time of one read: a thread computes R results at once and
keeps what it reads in registers. That is `slide`,

    sum[r] += a(r + i) * b(i)      for r = 0..R-1 and i = 0..count-1,

which reads R + count - 1 of a and count of b for R * count multiplications. Everything else here brings the three sums
into this form. Write h = gcd(s, d), and

    apart = d / h,    skip = s / h,    leap = s * apart = d * skip.

(1) The outputs t, t + apart, t + 2 apart, ... see inputs that are `leap` apart, since s * apart = leap. The taps
    f, f + skip, f + 2 skip, ... of a phase f < skip do as well, since d * skip = leap. So with t' = t + apart*r and
    k = f + skip*i
        x[s*t' + d*k - p] = x[(s*t - p + d*f) + leap*(r + i)].
    A thread runs `slide` once for each phase. There is one phase unless the stride is larger than 1.

(2) The inputs l, l + leap, l + 2 leap, ... are met by the same taps: those with d*k = l + p (mod s). These are
    k = f + skip*j for the first such f < skip, if there is one (there is none when h does not divide l + p; then the
    gradient is zero). So t = (l + leap*r + p - d*k) / s = (l + p - d*f)/s + apart*(r - j): taps taken from the last
    to the first, i = count - 1 - j, give
        g[((l + p - d*f)/s - apart*(count - 1)) + apart*(r + i)].
    A thread runs `slide` once for each m.

(3) As (1), with the parts of tap and time exchanged: R taps of one phase for r, time for i,
        x[(s*t - p + d*(f + skip*j)) + leap*(r + i)] * g[t + apart*i].
    The sum over n and t is split over threads and blocks. Each block writes its sums down, and `add_up` adds those in
    a fixed order: no atomics, so that the same input gives the same bits.

Stride, dilation and padding are all in where a read starts and how far it steps; what lies outside is zero. Nothing is
padded, transposed or copied before.

Two ways to read. `convolve` and `correlate` read global memory: the threads of a warp lie side by side along the
channels (V of them in one 16-byte access), or along time where time comes first in memory. `convolve_rows` and
`correlate_rows` are for channels first: they take a piece of each row (one channel of one sample) to shared memory,
with wide reads, and every thread slides along its own part of it. R is odd there, so that the threads of a warp, R
elements apart, meet 32 different banks.

All are templates: T is what is stored, S what is summed (float for __half), I the type of an index (int, or long long
where an array has more elements than an int can count). TAPS is the number of taps where it is known to be small, so
that the compiler unrolls everything, else 0.
*/

#ifdef MINIGRAD_HALF
#include <cuda_fp16.h>
#endif

#define THREADS 256  // the most in a block; with __launch_bounds__(THREADS, 1) registers are there for the asking

template <typename T> struct Summed { typedef T type; };
#ifdef MINIGRAD_HALF
template <> struct Summed<__half> { typedef float type; };
#endif

// V elements side by side, read and written in one access.
template <typename T, int V> struct alignas(V * sizeof(T)) Pack { T at[V]; };

template <typename I> __device__ I ceil_div(I a, I b) { return (a + b - 1) / b; }  // a > -b
template <typename I> __device__ I floor_div(I a, I b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

// The sizes of a convolution, in the letters above: batch N, length L, steps T, channels C, multiplier M, taps K.
#define SIZES                                                                                                  \
    long long batch, long long length, long long steps, long long channels, long long multiplier,              \
        long long taps, long long stride, long long dilation, long long before, long long apart, long long skip
#define SIZES_GIVEN                                                                                            \
    {I(batch), I(length), I(steps), I(channels), I(multiplier), I(taps), I(stride), I(dilation), I(before),    \
     I(apart), I(skip), I(skip * dilation)}

// Where one slide reads: a(j) is at start + step*j along time, b(i) is tap + next*i of the kernel.
template <typename I> struct Walk { I start, step, tap, next, count; };

template <typename I> struct Sizes {
    I batch, length, steps, channels, multiplier, taps, stride, dilation, before, apart, skip, leap;

    __device__ I filters() const { return channels * multiplier; }

    // (1) for the outputs t, t + apart, ...
    __device__ Walk<I> forward(I t, I phase) const
    {
        return {stride * t - before + dilation * phase, leap, phase, skip, ceil_div(taps - phase, skip)};
    }

    // (2) for the inputs l, l + leap, ...
    __device__ Walk<I> backward(I l) const
    {
        I first = 0;
        while (first < skip && (l + before - dilation * first) % stride != 0) ++first;
        if (first >= skip || first >= taps) return {0, 0, 0, 0, 0};
        const I count = ceil_div(taps - first, skip);
        const I start = (l + before - dilation * first) / stride - apart * (count - 1);
        return {start, apart, first + skip * (count - 1), -skip, count};
    }
};

template <int V, typename T, typename S> __device__ void read(const T* from, S (&to)[V])
{
    const Pack<T, V> pack = *reinterpret_cast<const Pack<T, V>*>(from);
#pragma unroll
    for (int v = 0; v < V; ++v) to[v] = static_cast<S>(pack.at[v]);
}

template <int V, typename T, typename S> __device__ void write(T* to, const S (&from)[V])
{
    Pack<T, V> pack;
#pragma unroll
    for (int v = 0; v < V; ++v) pack.at[v] = static_cast<T>(from[v]);
    *reinterpret_cast<Pack<T, V>*>(to) = pack;
}

// A channel of a sample along time, in an array (N, length, width), or (N, width, length) if FIRST.
template <bool FIRST, typename T, typename I> struct Line {
    T* first;
    I length, pitch;

    __device__ Line(T* array, I n, I channel, I length, I width)
        : first(array + (FIRST ? (n * width + channel) * length : n * length * width + channel)), length(length),
          pitch(FIRST ? 1 : width)
    {
    }

    __device__ T* at(I time) const { return first + time * pitch; }

    // V elements side by side from `time` on: zeros outside.
    template <int V, typename S> __device__ void read_or_zero(I time, S (&to)[V]) const
    {
        if (time >= 0 && time < length) {
            read(at(time), to);
        } else {
#pragma unroll
            for (int v = 0; v < V; ++v) to[v] = S(0);
        }
    }
};

// R steps of a slide, of which `left` count (all R if FULL). `now` holds a(0..R-1), `next` takes a(R..2R-1).
template <bool FULL, int R, int V, typename S, typename I, typename A, typename B>
__device__ __forceinline__ void slide_on(S (&sum)[R][V], S (&now)[R][V], S (&next)[R][V], I i, I left, const A& a, const B& b)
{
#pragma unroll
    for (int u = 0; u < R; ++u)
        if (FULL || u < left - 1) a(i + R + u, next[u]);
#pragma unroll
    for (int u = 0; u < R; ++u) {
        if (FULL || u < left) {
            S factor[V];
            b(i + u, factor);
#pragma unroll
            for (int r = 0; r < R; ++r)
#pragma unroll
                for (int v = 0; v < V; ++v) sum[r][v] += (u + r < R ? now[u + r][v] : next[u + r - R][v]) * factor[v];
        }
    }
}

// sum[r] += a(r + i) * b(i) for all r < R and i < count, count >= 1: the one inner loop.
template <int R, int V, typename S, typename I, typename A, typename B>
__device__ __forceinline__ void slide(S (&sum)[R][V], I count, const A& a, const B& b)
{
    S now[R][V], next[R][V];
    I i = 0;
#pragma unroll
    for (int r = 0; r < R; ++r) a(I(r), now[r]);
    for (; count - i > R; i += R) {
        slide_on<true>(sum, now, next, i, I(R), a, b);
#pragma unroll
        for (int r = 0; r < R; ++r)
#pragma unroll
            for (int v = 0; v < V; ++v) now[r][v] = next[r][v];
    }
    slide_on<false>(sum, now, next, i, count - i, a, b);
}

template <int R, int V, typename S> __device__ __forceinline__ void clear(S (&sum)[R][V])
{
#pragma unroll
    for (int r = 0; r < R; ++r)
#pragma unroll
        for (int v = 0; v < V; ++v) sum[r][v] = S(0);
}

/*
Sums (1), or (2) if BACK, read from global memory. A thread makes R results, V channels wide.
*/
template <typename T, typename I, int R, int V, int TAPS, bool FIRST, bool BACK>
__global__ void __launch_bounds__(THREADS, 1) convolve(const T* __restrict__ a, const T* __restrict__ w, T* __restrict__ out, SIZES)
{
    typedef typename Summed<T>::type S;
    const Sizes<I> z = SIZES_GIVEN;
    const I out_length = BACK ? z.length : z.steps, in_length = BACK ? z.steps : z.length;
    const I out_width = BACK ? z.channels : z.filters(), in_width = BACK ? z.filters() : z.channels;
    const I between = BACK ? z.leap : z.apart;  // the results of one thread
    const I phases = between < out_length ? between : out_length;
    const I lanes = out_width / V, runs = ceil_div(ceil_div(out_length, phases), I(R));

    // The threads are numbered along what lies side by side in memory.
    I rest = I(blockIdx.x) * I(blockDim.x) + I(threadIdx.x), lane, phase, run;
    if (FIRST) {
        phase = rest % phases, rest /= phases;
        run = rest % runs, rest /= runs;
        lane = rest % lanes, rest /= lanes;
    } else {
        lane = rest % lanes, rest /= lanes;
        run = rest % runs, rest /= runs;
        phase = rest % phases, rest /= phases;
    }
    if (rest >= z.batch) return;
    const I n = rest, channel = lane * V, first = phase + phases * R * run;

    S sum[R][V];
    clear(sum);
    const I parts = BACK ? z.multiplier : z.skip;
    for (I part = 0; part < parts; ++part) {
        const Walk<I> walk = BACK ? z.backward(first) : z.forward(first, part);
        const I filter = BACK ? channel * z.multiplier + part : channel;
        const Line<FIRST, const T, I> in(a, n, BACK ? filter : channel / z.multiplier, in_length, in_width);
        if (walk.count > 0)
            slide(
                sum, TAPS ? I(TAPS) : walk.count,
                [&](I j, S(&to)[V]) { in.read_or_zero(walk.start + walk.step * j, to); },
                [&](I i, S(&to)[V]) { read(w + (walk.tap + walk.next * i) * z.filters() + filter, to); });
    }
    const Line<FIRST, T, I> results(out, n, channel, out_length, out_width);
#pragma unroll
    for (int r = 0; r < R; ++r)
        if (first + between * r < out_length) write(results.at(first + between * r), sum[r]);
}

extern __shared__ __align__(16) unsigned char shared_memory[];

// Copy `count` elements (a multiple of V) of a line, from the time `low` on (a multiple of V too), by the threads along x.
template <int V, typename T, typename I, typename S>
__device__ void stage(const Line<true, const T, I>& from, I low, I count, S* to)
{
#pragma unroll 4
    for (I j = I(threadIdx.x) * V; j < count; j += I(blockDim.x) * V) {
        S pack[V];
        from.read_or_zero(low + j, pack);  // along time: all inside or all outside, since the length is a multiple of V
        write(to + j, pack);
    }
}

/*
Sums (1), or (2) if BACK, channels first, through shared memory. A block takes blockDim.y rows of the output (one
channel of one sample each), and of each of them the same piece of blockDim.x * R steps; blockDim.x is a multiple of
how many steps lie between the results of a thread. `reach` is how many inputs, rounded up to V, such a piece sees;
`pitch` is the distance of rows in shared memory.
*/
template <typename T, typename I, int R, int V, int TAPS, bool BACK>
__global__ void __launch_bounds__(THREADS, 1) convolve_rows(
    const T* __restrict__ a, const T* __restrict__ w, T* __restrict__ out, SIZES, long long reach, long long pitch)
{
    typedef typename Summed<T>::type S;
    const Sizes<I> z = SIZES_GIVEN;
    const I out_length = BACK ? z.length : z.steps, in_length = BACK ? z.steps : z.length;
    const I out_width = BACK ? z.channels : z.filters(), in_width = BACK ? z.filters() : z.channels;
    const I between = BACK ? z.leap : z.apart, piece = I(blockDim.x) * R, pieces = ceil_div(out_length, piece);

    S* const mine = reinterpret_cast<S*>(shared_memory) + threadIdx.y * pitch;  // this row's inputs, later its outputs
    S* const kernel = reinterpret_cast<S*>(shared_memory) + blockDim.y * pitch + threadIdx.y * taps;
    const I row = I(blockIdx.x) / pieces * I(blockDim.y) + I(threadIdx.y), begin = I(blockIdx.x) % pieces * piece;
    const bool inside = row < z.batch * out_width;
    const I n = row / out_width, channel = row % out_width;
    const I offset = I(threadIdx.x) % between + I(threadIdx.x) / between * between * R;  // of the first result, in the piece
    const I lowest = BACK ? floor_div(begin + z.before - z.dilation * (z.taps - 1), z.stride) : z.stride * begin - z.before;
    const I low = floor_div(lowest, I(V)) * V;

    S sum[R][1];
    clear(sum);
    const I parts = BACK ? z.multiplier : z.skip;
    for (I part = 0; part < parts; ++part) {
        const I filter = BACK ? channel * z.multiplier + part : channel;
        if (BACK || part == 0) {
            __syncthreads();  // the row before this one was read
            if (inside) {
                const Line<true, const T, I> in(a, n, BACK ? filter : channel / z.multiplier, in_length, in_width);
                stage<V>(in, low, I(reach), mine);
                for (I k = I(threadIdx.x); k < z.taps; k += I(blockDim.x))
                    kernel[k] = static_cast<S>(w[k * z.filters() + filter]);
            }
            __syncthreads();
        }
        const Walk<I> walk = BACK ? z.backward(begin + offset) : z.forward(begin + offset, part);
        if (inside && walk.count > 0) {
            const S* const from = mine + (walk.start - low);
            slide(
                sum, TAPS ? I(TAPS) : walk.count, [&](I j, S(&to)[1]) { to[0] = from[walk.step * j]; },
                [&](I i, S(&to)[1]) { to[0] = kernel[walk.tap + walk.next * i]; });
        }
    }
    __syncthreads();
#pragma unroll
    for (int r = 0; r < R; ++r) mine[offset + between * r] = sum[r][0];
    __syncthreads();
    if (inside)
        for (I j = I(threadIdx.x); j < piece && begin + j < out_length; j += I(blockDim.x))
            out[row * out_length + begin + j] = static_cast<T>(mine[j]);
}

// Write the sums of R taps from tap `first` on, `skip` apart, for one filter: the result if this block made all of it.
template <typename T, typename I, int R, typename S>
__device__ void write_taps(const Sizes<I>& z, T* dw, S* partial, I r, I first, I filter, S sum)
{
    const I k = first + z.skip * r;
    if (r >= R || k >= z.taps) return;
    if (gridDim.y == 1)
        dw[k * z.filters() + filter] = static_cast<T>(sum);
    else
        partial[(I(blockIdx.y) * z.taps + k) * z.filters() + filter] = sum;
}

/*
Sum (3), read from global memory. A block has blockDim.x * V filters and R taps of one phase; its rows of threads (y)
and the blocks of the grid's column share the samples and the steps, in runs of `run` steps.
*/
template <typename T, typename I, int R, int V, bool FIRST>
__global__ void __launch_bounds__(THREADS, 1) correlate(
    const T* __restrict__ x, const T* __restrict__ g, T* __restrict__ dw, typename Summed<T>::type* __restrict__ partial, SIZES,
    long long run)
{
    typedef typename Summed<T>::type S;
    const Sizes<I> z = SIZES_GIVEN;
    const I groups = z.skip * ceil_div(ceil_div(z.taps, z.skip), I(R)), group = I(blockIdx.x) % groups;
    const I tap = group % z.skip + group / z.skip * R * z.skip;
    const I lanes = z.filters() / V, lane = I(blockIdx.x) / groups * I(blockDim.x) + I(threadIdx.x), filter = lane * V;
    const I phases = z.apart < z.steps ? z.apart : z.steps, runs = ceil_div(ceil_div(z.steps, phases), I(run));

    S sum[R][V];
    clear(sum);
    if (lane < lanes) {
        const I shares = I(gridDim.y) * I(blockDim.y);
        for (I job = I(blockIdx.y) * I(blockDim.y) + I(threadIdx.y); job < z.batch * phases * runs; job += shares) {
            const I n = job / runs / phases, first = job / runs % phases + job % runs * I(run) * phases;
            if (first >= z.steps) continue;
            const I left = ceil_div(z.steps - first, z.apart), start = z.stride * first - z.before + z.dilation * tap;
            const Line<FIRST, const T, I> a(x, n, filter / z.multiplier, z.length, z.channels);
            const Line<FIRST, const T, I> b(g, n, filter, z.steps, z.filters());
            slide(
                sum, left < I(run) ? left : I(run), [&](I j, S(&to)[V]) { a.read_or_zero(start + z.leap * j, to); },
                [&](I i, S(&to)[V]) { read(b.at(first + z.apart * i), to); });
        }
    }
    // The sums of the rows of threads, one tap after the other.
    S* const table = reinterpret_cast<S*>(shared_memory);
    const I width = I(blockDim.x) * V;
#pragma unroll
    for (int r = 0; r < R; ++r) {
        __syncthreads();
#pragma unroll
        for (int v = 0; v < V; ++v) table[I(threadIdx.y) * width + I(threadIdx.x) * V + v] = sum[r][v];
        __syncthreads();
        for (I j = I(threadIdx.y) * I(blockDim.x) + I(threadIdx.x); j < width; j += I(blockDim.x) * I(blockDim.y)) {
            S total = 0;
            for (I y = 0; y < I(blockDim.y); ++y) total += table[y * width + j];
            const I its = I(blockIdx.x) / groups * width + j;
            if (its < z.filters()) write_taps<T, I, R>(z, dw, partial, I(r), tap, its, total);
        }
    }
}

/*
Sum (3), channels first, through shared memory. A block has one filter and R taps of one phase. It takes blockDim.y
samples at a time, a piece of blockDim.x * RUN steps of each; the blocks of the grid's column share the pieces.
*/
template <typename T, typename I, int R, int V, int RUN>
__global__ void __launch_bounds__(THREADS, 1) correlate_rows(
    const T* __restrict__ x, const T* __restrict__ g, T* __restrict__ dw, typename Summed<T>::type* __restrict__ partial, SIZES,
    long long x_reach, long long g_reach)
{
    typedef typename Summed<T>::type S;
    const Sizes<I> z = SIZES_GIVEN;
    const I groups = z.skip * ceil_div(ceil_div(z.taps, z.skip), I(R)), group = I(blockIdx.x) % groups;
    const I tap = group % z.skip + group / z.skip * R * z.skip, filter = I(blockIdx.x) / groups;
    const I piece = I(blockDim.x) * RUN, pieces = ceil_div(z.steps, piece);
    const I offset = I(threadIdx.x) % z.apart + I(threadIdx.x) / z.apart * z.apart * RUN;  // of this thread's first step
    S* const its_x = reinterpret_cast<S*>(shared_memory) + threadIdx.y * (x_reach + g_reach);
    S* const its_g = its_x + x_reach;

    S sum[R][1];
    clear(sum);
    for (I job = I(blockIdx.y); job < ceil_div(z.batch, I(blockDim.y)) * pieces; job += I(gridDim.y)) {
        const I n = job / pieces * I(blockDim.y) + I(threadIdx.y), begin = job % pieces * piece;
        const I lowest = z.stride * begin - z.before + z.dilation * tap;
        const I x_low = floor_div(lowest, I(V)) * V, g_low = begin - begin % V;
        __syncthreads();  // the pieces before these were read
        if (n < z.batch) {
            const Line<true, const T, I> row_of_x(x, n, filter / z.multiplier, z.length, z.channels);
            const Line<true, const T, I> row_of_g(g, n, filter, z.steps, z.filters());
            stage<V>(row_of_x, x_low, I(x_reach), its_x);
            stage<V>(row_of_g, g_low, I(g_reach), its_g);
        }
        __syncthreads();
        if (n < z.batch && begin + offset < z.steps) {
            const I left = ceil_div(z.steps - begin - offset, z.apart);
            const S* const a = its_x + (z.stride * offset + lowest - x_low);
            const S* const b = its_g + (offset + begin - g_low);
            const auto read_a = [&](I j, S(&to)[1]) { to[0] = a[z.leap * j]; };
            const auto read_b = [&](I i, S(&to)[1]) { to[0] = b[z.apart * i]; };
            if (left >= RUN)
                slide(sum, I(RUN), read_a, read_b);  // of a length that the compiler knows
            else
                slide(sum, left, read_a, read_b);
        }
    }
    // The sums of all threads: 16 threads a tap, then one.
    S* const table = reinterpret_cast<S*>(shared_memory);
    const int threads = blockDim.x * blockDim.y, me = threadIdx.y * blockDim.x + threadIdx.x;
    __syncthreads();
#pragma unroll
    for (int r = 0; r < R; ++r) table[r * threads + me] = sum[r][0];
    __syncthreads();
    for (int j = me; j < R * 16; j += threads) {
        S* const row = table + j / 16 * threads;
        S total = 0;
        for (int i = j % 16; i < threads; i += 16) total += row[i];
        if (j % 16 < threads) row[j % 16] = total;
    }
    __syncthreads();
    for (int r = me; r < R; r += threads) {
        S total = 0;
        for (int i = 0; i < 16 && i < threads; ++i) total += table[r * threads + i];
        write_taps<T, I, R>(z, dw, partial, I(r), tap, filter, total);
    }
}

// dw[j] = the sum over the `shares` rows of `partial` (shares, count). Blocks of (32, 8) threads.
template <typename T, typename I> __global__ void __launch_bounds__(THREADS, 1) add_up(
    const typename Summed<T>::type* __restrict__ partial, T* __restrict__ dw, long long shares, long long count)
{
    typedef typename Summed<T>::type S;
    S* const table = reinterpret_cast<S*>(shared_memory);
    const I j = I(blockIdx.x) * I(blockDim.x) + I(threadIdx.x);
    S total = 0;
    if (j < I(count))
        for (I row = I(threadIdx.y); row < I(shares); row += I(blockDim.y)) total += partial[row * I(count) + j];
    table[threadIdx.y * blockDim.x + threadIdx.x] = total;
    __syncthreads();
    if (threadIdx.y > 0 || j >= I(count)) return;
    for (int y = 1; y < int(blockDim.y); ++y) total += table[y * blockDim.x + threadIdx.x];
    dw[j] = static_cast<T>(total);
}
