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
#define NEAR 16
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

/* Keep x where hash < limit, times scale; put +0 elsewhere. `inner` and `outer` are the halves of the key. */
void basin_drop(float *out, const float *in, int64_t count, uint64_t key, uint64_t start, uint32_t limit, float scale) {
    uint32_t words[BLOCK];
    for (int64_t at = 0; at < count;) {
        uint64_t index = start + (uint64_t)at;
        int64_t size = count - at < BLOCK ? count - at : BLOCK;
        uint64_t left = 0x100000000ull - (index & 0xffffffffull);
        if ((uint64_t)size > left) size = (int64_t)left;
        uint32_t inner = (uint32_t)key ^ finalised((uint32_t)(index >> 32));
        hashes(words, size, (uint32_t)index, inner, (uint32_t)(key >> 32));
        survivors(out + at, in + at, words, size, limit, scale);
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

EACH_MACHINE static int any_within(const uint32_t *restrict words, int64_t count, uint32_t low, uint32_t span) {
    uint32_t found = 0;
    for (int64_t i = 0; i < count; i++) found |= ((words[i] & MAGNITUDE) - low) <= span;
    return found != 0;
}

/* Write the magnitudes that lie in one of some ranges, ends included, in order; return how many. */
int64_t basin_within(uint32_t *out, const uint32_t *words, int64_t count, const uint32_t *lows, const uint32_t *highs,
                     int64_t ranges) {
    int64_t taken = 0;
    for (int64_t at = 0; at < count; at += NEAR) {
        int64_t size = count - at < NEAR ? count - at : NEAR;
        int some = 0;
        for (int64_t r = 0; r < ranges; r++) some |= any_within(words + at, size, lows[r], highs[r] - lows[r]);
        if (!some) continue;
        for (int64_t i = at; i < at + size; i++) {
            uint32_t word = words[i] & MAGNITUDE;
            int inside = 0;
            for (int64_t r = 0; r < ranges; r++) inside |= word - lows[r] <= highs[r] - lows[r];
            out[taken] = word;
            taken += inside;
        }
    }
    return taken;
}
