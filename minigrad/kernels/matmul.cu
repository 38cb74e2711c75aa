/*
Matrix products on the GPU for steps that are being captured, where CuPy refuses to call cuBLAS: one sum,

    y[n, i, j] = sum over m, k of   a[n, m, i, k] * b[n, m, k, j]        for all n of a batch, all rows i, all columns j.

m counts pieces whose products are added up: one for y = a b; one for each sample in the kernel gradient of a linear
layer on channels first, dw = sum over m of x[m] g[m]^T, so that no transposed copy is made to have one long sum.

Both factors are read where they lie. An index of a factor stands for a number of steps through memory (`Steps`), so a
transposed matrix is one with two steps exchanged, a matrix that serves a whole batch has a step of 0, a reversed one a
step below 0. y has no gaps.

A result by itself would read two numbers for each multiplication. All of a row share one line of a, all of a column one
line of b, so results are computed in blocks: ROWS x COLUMNS results take ROWS + COLUMNS numbers for each k. A block of
threads reads these for DEEP terms of the sum at a time, the slabs

                       DEEP                            COLUMNS
             ROWS  [ a[row.., term..] ]      DEEP  [ b[term.., column..] ]

into shared memory, where both have the term first: slab[k][line]. A thread makes R x C results of them and does for
its rows and columns the same again in registers, R + C numbers for R * C multiplications:

    sum[r][c] += left[r] * right[c]        left[r] = slab_a[k][its row r],  right[c] = slab_b[k][its column c].

While one pair of slabs is multiplied, the next is on its way from global memory into registers (`fetch`); it goes to
shared memory (`put`) when all threads are done with the former. What lies outside of the matrices is zero in the slabs.

Where results are few and their sums long, as in every kernel gradient, the sum is split over the blocks of the grid's
column: each writes its part down, and `add_up` of depthwise_conv1d.cu adds the parts in a fixed order. A result is the
sum of its terms in the order of (m, k), share by share: no atomics, so that the same input gives the same bits.

T is what is stored, S what is multiplied and summed: float for float (never TF32) and __half, double for double. I is
the type of an index (int, or long long where an array reaches further than an int can count).
*/

#ifdef MINIGRAD_HALF
#include <cuda_fp16.h>
#endif

template <typename T> struct Summed { typedef T type; };
#ifdef MINIGRAD_HALF
template <> struct Summed<__half> { typedef float type; };
#endif

// V elements side by side, read and written in one access.
template <typename T, int V> struct alignas(V * sizeof(T)) Pack { T at[V]; };

template <typename I> __device__ I ceil_div(I a, I b) { return (a + b - 1) / b; }

// How many elements of one of N values go in one access of shared memory: 16 bytes, or all.
template <typename S> __device__ constexpr int wide(int n)
{
    return n * sizeof(S) < 16 ? n : 16 / sizeof(S);
}

// The lines of a slab lie this far apart in shared memory: 16 bytes more than their length, so that the threads that
// put terms of the same line meet different banks.
template <typename S> __device__ constexpr int pitch(int lines) { return lines + 16 / sizeof(S); }

// From one element of a factor to the next: of the batch (an outer and an inner index), of the pieces, across the sum (to
// the next row of a, column of b), along the sum.
template <typename I> struct Steps { I outer, inner, piece, across, along; };

// What a thread reads of the slabs of one factor, LINES x DEEP elements by COUNT threads.
template <typename T, typename I, int LINES, int DEEP, int COUNT> struct Reader {
    typedef typename Summed<T>::type S;
    static constexpr int MINE = LINES * DEEP / COUNT;
    static_assert(MINE * COUNT == LINES * DEEP && COUNT % LINES == 0 && COUNT % DEEP == 0, "no thread is left over");

    const T* const from;
    const Steps<I> step;
    const I lines, terms;      // that there are
    int line, term;            // of its first element in the slab
    int next_line, next_term;  // from one of its elements to the next
    S held[MINE];

    // Threads side by side read along the axis with the smaller step, which is 1 in most arrays.
    __device__ Reader(const T* first, const Steps<I>& step, I lines, I terms, int me)
        : from(first), step(step), lines(lines), terms(terms)
    {
        const I along = step.along < 0 ? -step.along : step.along, across = step.across < 0 ? -step.across : step.across;
        if (along < across) {
            term = me % DEEP, line = me / DEEP, next_term = 0, next_line = COUNT / DEEP;
        } else {
            line = me % LINES, term = me / LINES, next_line = 0, next_term = COUNT / LINES;
        }
    }

    __device__ void fetch(I piece, I first_line, I first_term)
    {
#pragma unroll
        for (int u = 0; u < MINE; ++u) {
            const I l = first_line + line + u * next_line, k = first_term + term + u * next_term;
            held[u] = l < lines && k < terms ? static_cast<S>(from[piece * step.piece + l * step.across + k * step.along]) : S(0);
        }
    }

    __device__ void put(S* slab) const
    {
#pragma unroll
        for (int u = 0; u < MINE; ++u) slab[(term + u * next_term) * pitch<S>(LINES) + line + u * next_line] = held[u];
    }
};

// Of N values of a line, those of one thread: V side by side, the next V `apart` from them.
template <int V, int N, typename S> __device__ __forceinline__ void gather(const S* from, int apart, S (&to)[N])
{
#pragma unroll
    for (int q = 0; q < N / V; ++q) {
        const Pack<S, V> pack = *reinterpret_cast<const Pack<S, V>*>(from + q * apart);
#pragma unroll
        for (int v = 0; v < V; ++v) to[q * V + v] = pack.at[v];
    }
}

// V values to a row of results of which `left` are still to come; in one access if `whole`.
template <int V, typename T, typename I, typename S> __device__ void write(T* to, const S* from, I left, bool whole)
{
    if (left <= 0) return;
    if (whole) {
        Pack<T, V> pack;
#pragma unroll
        for (int v = 0; v < V; ++v) pack.at[v] = static_cast<T>(from[v]);
        *reinterpret_cast<Pack<T, V>*>(to) = pack;
    } else {
#pragma unroll
        for (int v = 0; v < V; ++v)
            if (v < left) to[v] = static_cast<T>(from[v]);
    }
}

extern __shared__ __align__(16) unsigned char shared_memory[];

/*
The sum. Blocks have ROWS/R * COLUMNS/C threads in one line. The batch has outer * inner samples; `aligned` tells that y
begins at a multiple of 16 bytes.
*/
template <typename T, typename I, int ROWS, int COLUMNS, int DEEP, int R, int C>
__global__ void __launch_bounds__(ROWS / R * (COLUMNS / C), sizeof(T) == 8 ? 1 : 2) multiply(
    const T* __restrict__ a, const T* __restrict__ b, T* __restrict__ y, typename Summed<T>::type* __restrict__ partial,
    long long outer, long long inner, long long pieces, long long rows, long long columns, long long terms,
    long long a_outer, long long a_inner, long long a_piece, long long a_row, long long a_term,
    long long b_outer, long long b_inner, long long b_piece, long long b_column, long long b_term, long long aligned)
{
    typedef typename Summed<T>::type S;
    constexpr int ACROSS = COLUMNS / C, COUNT = ROWS / R * ACROSS, VR = wide<S>(R), VC = wide<S>(C);
    S* const slab_a = reinterpret_cast<S*>(shared_memory);
    S* const slab_b = slab_a + DEEP * pitch<S>(ROWS);
    const int me = threadIdx.x, my_row = me / ACROSS * VR, my_column = me % ACROSS * VC;

    const Steps<I> a_steps = {I(a_outer), I(a_inner), I(a_piece), I(a_row), I(a_term)};
    const Steps<I> b_steps = {I(b_outer), I(b_inner), I(b_piece), I(b_column), I(b_term)};
    const I row_blocks = ceil_div(I(rows), I(ROWS)), column_blocks = ceil_div(I(columns), I(COLUMNS));
    const I samples = I(outer) * I(inner), slabs = ceil_div(I(terms), I(DEEP)), all = I(pieces) * slabs;
    const I share = ceil_div(all, I(gridDim.y)), begin = I(blockIdx.y) * share;
    const I end = begin + share < all ? begin + share : all;
    const bool whole = aligned && columns % VC == 0;

    for (I job = I(blockIdx.x); job < samples * row_blocks * column_blocks; job += I(gridDim.x)) {
        const I n = job / column_blocks / row_blocks;
        const I row = job / column_blocks % row_blocks * ROWS, column = job % column_blocks * COLUMNS;
        const I in = n % I(inner), out = n / I(inner);
        Reader<T, I, ROWS, DEEP, COUNT> read_a(a + (out * a_steps.outer + in * a_steps.inner), a_steps, I(rows), I(terms), me);
        Reader<T, I, COLUMNS, DEEP, COUNT> read_b(b + (out * b_steps.outer + in * b_steps.inner), b_steps, I(columns), I(terms), me);

        S sum[R][C];
#pragma unroll
        for (int r = 0; r < R; ++r)
#pragma unroll
            for (int c = 0; c < C; ++c) sum[r][c] = S(0);

        I piece = begin / slabs, term = begin % slabs * DEEP;
        if (begin < end) {
            read_a.fetch(piece, row, term);
            read_b.fetch(piece, column, term);
        }
        for (I slab = begin; slab < end; ++slab) {
            __syncthreads();  // the slabs before these were multiplied
            read_a.put(slab_a);
            read_b.put(slab_b);
            __syncthreads();
            term += DEEP;
            if (term >= I(terms)) term = 0, ++piece;
            if (slab + 1 < end) {
                read_a.fetch(piece, row, term);
                read_b.fetch(piece, column, term);
            }
#pragma unroll
            for (int k = 0; k < DEEP; ++k) {
                S left[R], right[C];
                gather<VR>(slab_a + k * pitch<S>(ROWS) + my_row, ROWS / R * VR, left);
                gather<VC>(slab_b + k * pitch<S>(COLUMNS) + my_column, ACROSS * VC, right);
#pragma unroll
                for (int r = 0; r < R; ++r)
#pragma unroll
                    for (int c = 0; c < C; ++c) sum[r][c] += left[r] * right[c];
            }
        }

#pragma unroll
        for (int r = 0; r < R; ++r) {
            const I i = row + r / VR * (ROWS / R * VR) + my_row + r % VR;
            if (i >= I(rows)) continue;
#pragma unroll
            for (int q = 0; q < C / VC; ++q) {
                const I j = column + q * (ACROSS * VC) + my_column, at = (n * I(rows) + i) * I(columns) + j;
                if (gridDim.y == 1)
                    write<VC>(y + at, sum[r] + q * VC, I(columns) - j, whole);
                else
                    write<VC>(
                        partial + (I(blockIdx.y) * samples * I(rows) * I(columns) + at), sum[r] + q * VC, I(columns) - j,
                        columns % VC == 0);
            }
        }
    }
}
