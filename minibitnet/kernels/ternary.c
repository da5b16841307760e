/* The ternary product and the head of one_page.py, as plain loops.

   To read it one needs to know: `for (n = 0; n < N; n++)` counts n from 0 to N - 1;
   `>>` moves bits to the right, `&` keeps those that both numbers have, so `b >> 2 & 3`
   is the second pair of bits of b; `+=` adds to what is there. Arrays have one axis:
   element [t][n] of a (T, N) array is x[t * N + n]. `restrict` says that two arrays do
   not overlap; without it no compiler would dare to compute several elements at once.

   That is all the speed there is: the loops over n are written so that a compiler sees
   that their steps do not wait for one another, and it takes 16, 32 or 64 at a time. */

#include <stdint.h>
#include <string.h>

/* What is multiplied. Processors made for this (VNNI) multiply bytes, the first of which
   has no sign, and add the products up as 32 bits; others are quicker with 16 bits. */
#if defined __AVX512VNNI__ || defined __AVXVNNI__
typedef uint8_t weight;
typedef int8_t activation;
#else
typedef int16_t weight;
typedef int16_t activation;
#endif
const int activation_bytes = sizeof(activation);

enum {
    COLUMNS = 1280, /* unpacked at a time: so few that reading and computing overlap */
    SUMS = 32       /* of a row of the head that are carried side by side */
};

/* acc[t][m] = sum over n of w_codes[m][n] * x_codes[t][n]

   A byte [r][n] holds the codes of rows r, R + r, 2R + r and 3R + r, each stored as
   code + 1. So sum((code + 1) * x) is summed, and sum(x) is subtracted. This computes
   rows of bytes from `first` to before `last`; another thread computes others.

   packed (R, N), x_codes (T, N) -> acc (T, 4 * R) */
void ternary(const uint8_t *restrict packed, const activation *restrict x_codes,
             int32_t *restrict acc, int64_t T, int64_t N, int64_t R,
             int64_t first, int64_t last)
{
    _Alignas(64) weight w[4][COLUMNS]; /* four rows, unpacked once for all tokens */

    for (int64_t t = 0; t < T; t++) { /* acc = -sum(x) */
        int32_t sum = 0;
        for (int64_t n = 0; n < N; n++)
            sum += x_codes[t * N + n];
        for (int64_t band = 0; band < 4; band++)
            for (int64_t r = first; r < last; r++)
                acc[(t * 4 + band) * R + r] = -sum;
    }
    for (int64_t r = first; r < last; r++)
        for (int64_t start = 0; start < N; start += COLUMNS) {
            const uint8_t *bytes = packed + r * N + start;
            const int64_t count = N - start < COLUMNS ? N - start : COLUMNS;

            for (int64_t n = 0; n < count; n++) { /* packed >> shift & 3, as the page */
                w[0][n] = bytes[n] & 3;
                w[1][n] = bytes[n] >> 2 & 3;
                w[2][n] = bytes[n] >> 4 & 3;
                w[3][n] = bytes[n] >> 6;
            }
            for (int64_t t = 0; t < T; t++) { /* acc += sum((code + 1) * x) */
                const activation *x = x_codes + t * N + start;
                int32_t a = 0, b = 0, c = 0, d = 0;
                for (int64_t n = 0; n < count; n++) {
                    a += w[0][n] * x[n];
                    b += w[1][n] * x[n];
                    c += w[2][n] * x[n];
                    d += w[3][n] * x[n];
                }
                acc[(t * 4 + 0) * R + r] += a;
                acc[(t * 4 + 1) * R + r] += b;
                acc[(t * 4 + 2) * R + r] += c;
                acc[(t * 4 + 3) * R + r] += d;
            }
        }
}

/* A bfloat16 is the upper half of a float32. */
static double widen(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16; /* stored << 16, as the page */
    float number;
    memcpy(&number, &wide, sizeof number); /* the same bits, read as a float32 */
    return number;
}

/* logits[m] = float32(sum over n of E[m][n] * x[n]), summed in float64

   One sum would be a chain of additions, each waiting for the one before. So SUMS of
   them go side by side, of every SUMS-th column each, and are added up in the end.

   bits (M, N), x (N,) -> logits (M,), rows from `first` to before `last` */
void head(const uint16_t *restrict bits, const double *restrict x,
          float *restrict logits, int64_t N, int64_t first, int64_t last)
{
    for (int64_t m = first; m < last; m++) {
        const uint16_t *row = bits + m * N;
        double sums[SUMS] = {0}, sum = 0;
        int64_t n = 0;
        for (; n + SUMS <= N; n += SUMS)
            for (int64_t i = 0; i < SUMS; i++)
                sums[i] += widen(row[n + i]) * x[n + i];
        for (; n < N; n++) /* what is left of the row */
            sums[0] += widen(row[n]) * x[n];
        for (int64_t i = 0; i < SUMS; i++)
            sum += sums[i];
        logits[m] = (float)sum; /* rounded once */
    }
}
