/* Loops over pieces of models that cost several passes in torch or numpy, in one pass each.
 *
 * Every function does what its plain counterpart does, operation by operation, each rounded once as IEEE 754 says: no
 * fused multiply-add, no reordering. So the bits are the same with and without this file.
 */
#include <stdint.h>
#include <string.h>

#if defined(ONE_MACHINE)
#define EACH_MACHINE
#else
#define EACH_MACHINE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif

#define BLOCK 1024
#define INFINITE 0x7f800000u
#define MAGNITUDE 0x7fffffffu

static inline uint32_t finalised(uint32_t word) {
    word ^= word >> 16;
    word *= 0x7feb352du;
    word ^= word >> 15;
    word *= 0x846ca68bu;
    return word ^ (word >> 16);
}

/* out[i] = hash of element start + i; the elements share the upper half of their index. */
EACH_MACHINE static void hashes(uint32_t *restrict out, int64_t count, uint32_t first, uint32_t inner, uint32_t outer) {
    for (int64_t i = 0; i < count; i++)
        out[i] = finalised(finalised((first + (uint32_t)i) ^ outer) ^ inner);
}

EACH_MACHINE static void survivors(float *restrict out, const float *restrict in, const uint32_t *restrict words,
                                   int64_t count, uint32_t limit, float scale) {
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        float kept;
        memcpy(&bits, in + i, 4);
        bits &= words[i] < limit ? 0xffffffffu : 0u;
        memcpy(&kept, &bits, 4);
        out[i] = kept * scale;
    }
}

/* Keep x where hash < limit, times scale; put +0 elsewhere. `out` may be `in`. */
void basin_drop(float *out, const float *in, int64_t count, uint64_t key, uint64_t start, uint32_t limit, float scale) {
    uint32_t words[BLOCK];
    float survived[BLOCK];
    for (int64_t at = 0; at < count;) {
        uint64_t index = start + (uint64_t)at;
        int64_t size = count - at < BLOCK ? count - at : BLOCK;
        uint64_t left = 0x100000000ull - (index & 0xffffffffull);
        if ((uint64_t)size > left) size = (int64_t)left;
        uint32_t inner = (uint32_t)key ^ finalised((uint32_t)(index >> 32));
        hashes(words, size, (uint32_t)index, inner, (uint32_t)(key >> 32));
        survivors(survived, in + at, words, size, limit, scale);
        memcpy(out + at, survived, (size_t)size * sizeof *out);
        at += size;
    }
}

/* total = sum of weights[t] * vectors[t], in model order. Row t begins at vectors + t * stride. */
EACH_MACHINE static void summed(float *restrict total, const float *restrict vectors, int64_t models, int64_t stride,
                                const float *restrict weights, int64_t count) {
    for (int64_t i = 0; i < count; i++) total[i] = vectors[i] * weights[0];
    for (int64_t t = 1; t < models; t++) {
        const float *row = vectors + t * stride;
        float weight = weights[t];
        for (int64_t i = 0; i < count; i++) total[i] = total[i] + row[i] * weight;
    }
}

void basin_sum(float *out, const float *vectors, int64_t models, int64_t stride, int64_t count, const float *weights) {
    for (int64_t at = 0; at < count; at += BLOCK)
        summed(out + at, vectors + at, models, stride, weights, count - at < BLOCK ? count - at : BLOCK);
}

EACH_MACHINE static int64_t balance(const float *restrict total, int64_t count) {
    int32_t sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (total[i] > 0.0f) - (total[i] < 0.0f);
    return sum;
}

/* By how much positive sums outnumber negative ones. */
int64_t basin_balance(const float *vectors, int64_t models, int64_t stride, int64_t count, const float *weights) {
    float total[BLOCK];
    int64_t found = 0;
    for (int64_t at = 0; at < count; at += BLOCK) {
        int64_t size = count - at < BLOCK ? count - at : BLOCK;
        summed(total, vectors + at, models, stride, weights, size);
        found += balance(total, size);
    }
    return found;
}

EACH_MACHINE static void elect(float *restrict elected, int64_t count, float majority) {
    for (int64_t i = 0; i < count; i++) {
        float total = elected[i];
        float sign = (float)((total > 0.0f) - (total < 0.0f));
        elected[i] = sign + (total == 0.0f ? majority : 0.0f);
    }
}

EACH_MACHINE static void hear(float *restrict agreed, float *restrict divisor, const float *restrict row,
                              const float *restrict elected, int64_t count, float weight, float size) {
    for (int64_t i = 0; i < count; i++) {
        float voice = row[i] * weight;
        voice = voice * elected[i];
        voice = voice < 0.0f ? 0.0f : voice;
        agreed[i] = agreed[i] + voice;
        divisor[i] = divisor[i] + (voice > 0.0f ? size : 0.0f);
    }
}

EACH_MACHINE static void settle(float *restrict out, const float *restrict agreed, const float *restrict divisor,
                                const float *restrict elected, int64_t count, int mean) {
    for (int64_t i = 0; i < count; i++) {
        float found = agreed[i];
        if (mean) found = found / (divisor[i] == 0.0f ? 1.0f : divisor[i]);
        found = found * elected[i];
        out[i] = found + 0.0f;
    }
}

/* TIES: elect a sign, then average (or add) the voices that agree with it. */
void basin_consensus(float *out, const float *vectors, int64_t models, int64_t stride, int64_t count,
                     const float *weights, float majority, int mean) {
    float elected[BLOCK], agreed[BLOCK], divisor[BLOCK];
    for (int64_t at = 0; at < count; at += BLOCK) {
        int64_t size = count - at < BLOCK ? count - at : BLOCK;
        summed(elected, vectors + at, models, stride, weights, size);
        elect(elected, size, majority);
        memset(agreed, 0, sizeof agreed);
        memset(divisor, 0, sizeof divisor);
        for (int64_t t = 0; t < models; t++) {
            float weight = weights[t];
            hear(agreed, divisor, vectors + t * stride + at, elected, size, weight, weight < 0.0f ? -weight : weight);
        }
        settle(out + at, agreed, divisor, elected, size, mean);
    }
}

/* Count magnitudes by their upper 16 bits, into two tables so that equal neighbours do not wait for each other. */
void basin_upper(int64_t *counts, int64_t *others, const uint32_t *words, int64_t count) {
    int64_t i = 0;
    for (; i + 1 < count; i += 2) {
        counts[(words[i] & MAGNITUDE) >> 16]++;
        others[(words[i + 1] & MAGNITUDE) >> 16]++;
    }
    if (i < count) counts[(words[i] & MAGNITUDE) >> 16]++;
}

/* flags[i] = 1 where the magnitude lies in a range; return how many lie above it. */
EACH_MACHINE static int64_t mark(uint8_t *restrict flags, const uint32_t *restrict words, int64_t count, uint32_t low,
                                 uint32_t high) {
    int32_t above = 0;
    for (int64_t i = 0; i < count; i++) above += (words[i] & MAGNITUDE) > high;
    for (int64_t i = 0; i < count; i++) flags[i] |= (words[i] & MAGNITUDE) - low <= high - low;
    return above;
}

/* Write the magnitudes that lie in one of some ranges, ends included, in order; return how many. Add to `above` how
 * many lie above each range. */
int64_t basin_within(uint32_t *out, const uint32_t *words, int64_t count, const uint32_t *lows, const uint32_t *highs,
                     int64_t *above, int64_t ranges) {
    uint8_t flags[BLOCK];
    int64_t taken = 0;
    for (int64_t from = 0; from < count; from += BLOCK) {
        int64_t size = count - from < BLOCK ? count - from : BLOCK;
        memset(flags, 0, sizeof flags);
        for (int64_t r = 0; r < ranges; r++) above[r] += mark(flags, words + from, size, lows[r], highs[r]);
        for (int64_t at = 0; at < size; at += 8) {
            uint64_t inside;
            memcpy(&inside, flags + at, 8);
            for (; inside; inside &= inside - 1) out[taken++] = words[from + at + __builtin_ctzll(inside) / 8] & MAGNITUDE;
        }
    }
    return taken;
}

/* out = in - minus; return whether a number of `in` is not finite. */
EACH_MACHINE static int less(float *restrict out, const uint32_t *restrict in, const float *restrict minus,
                             int64_t count) {
    uint32_t found = 0;
    for (int64_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, in + i, 4);
        found |= (in[i] & INFINITE) == INFINITE;
        out[i] = value - minus[i];
    }
    return found != 0;
}

EACH_MACHINE static int kept(float *restrict out, const uint32_t *restrict in, int64_t count) {
    uint32_t found = 0;
    for (int64_t i = 0; i < count; i++) {
        found |= (in[i] & INFINITE) == INFINITE;
        memcpy(out + i, in + i, 4);
    }
    return found != 0;
}

EACH_MACHINE static int wide_less(float *restrict out, const uint16_t *restrict in, const float *restrict minus,
                                  int64_t count) {
    uint32_t found = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = (uint32_t)in[i] << 16;
        float value;
        memcpy(&value, &bits, 4);
        found |= (bits & INFINITE) == INFINITE;
        out[i] = value - minus[i];
    }
    return found != 0;
}

EACH_MACHINE static int wide(float *restrict out, const uint16_t *restrict in, int64_t count) {
    uint32_t found = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = (uint32_t)in[i] << 16;
        found |= (bits & INFINITE) == INFINITE;
        memcpy(out + i, &bits, 4);
    }
    return found != 0;
}

/* Write bfloat16 (`narrow`) or float32 numbers as float32, less those of `minus` where it is one; return whether a
 * number is not finite. */
int basin_widen(float *out, const void *in, int narrow, const float *minus, int64_t count) {
    if (narrow) return minus ? wide_less(out, in, minus, count) : wide(out, in, count);
    return minus ? less(out, in, minus, count) : kept(out, in, count);
}

/* Put +0 in place of every number in [-limit, limit]. */
EACH_MACHINE void basin_shrink(float *values, int64_t count, float limit) {
    for (int64_t i = 0; i < count; i++) values[i] = values[i] >= -limit && values[i] <= limit ? 0.0f : values[i];
}

EACH_MACHINE static void scaled(float *restrict out, const float *restrict combined, const float *restrict base,
                                int64_t count, float coefficient) {
    for (int64_t i = 0; i < count; i++) {
        float found = combined[i] * coefficient;
        out[i] = found + base[i];
    }
}

EACH_MACHINE static void moved(float *restrict out, const float *restrict combined, const float *restrict base,
                               int64_t count, float coefficient) {
    for (int64_t i = 0; i < count; i++) {
        float found = combined[i] - base[i];
        found = found * coefficient;
        out[i] = found + base[i];
    }
}

EACH_MACHINE static uint32_t largest(const float *restrict values, int64_t count) {
    uint32_t found = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, 4);
        bits &= MAGNITUDE;
        found = bits > found ? bits : found;
    }
    return found;
}

/* Round to the nearest bfloat16, ties to even; NaN stays NaN. */
EACH_MACHINE static void narrowed(uint16_t *restrict out, const float *restrict values, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, 4);
        uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
        out[i] = (uint16_t)((bits & MAGNITUDE) > INFINITE ? 0x7fc0u : rounded);
    }
}

/* The last stage of a merge: combined (0), base + c * combined (1), base + c * (combined - base) (2) or base (3),
 * rounded to bfloat16 (`narrow`) or kept as float32. Return the bits of the largest magnitude before rounding. */
uint32_t basin_finish(void *out, int narrow, const float *combined, const float *base, int64_t count, float coefficient,
                      int stage) {
    float values[BLOCK];
    uint32_t found = 0;
    for (int64_t at = 0; at < count; at += BLOCK) {
        int64_t size = count - at < BLOCK ? count - at : BLOCK;
        float *target = narrow ? values : (float *)out + at;
        const float *made = target;
        if (stage == 1) scaled(target, combined + at, base + at, size, coefficient);
        else if (stage == 2) moved(target, combined + at, base + at, size, coefficient);
        else made = (stage == 3 ? base : combined) + at;
        uint32_t most = largest(made, size);
        found = most > found ? most : found;
        if (narrow) narrowed((uint16_t *)out + at, made, size);
        else if (made != target) memcpy(target, made, (size_t)size * sizeof *target);
    }
    return found;
}
