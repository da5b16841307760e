/* BitNet b1.58 2B4T on one page, in C99: from a checkpoint's files to the next token, libm alone.

   It is minibitnet/one_page.py function for function and name for name, in the order of the page.
   Read the two side by side. Behind the model stands what Python has and C has not: memory, JSON,
   safetensors, text.

   A sum of floats is carried in double and rounded to float once, so that no order of adding shows.
   Everything else is float or an integer. Rounding to an integer takes ties to the even one. The
   compiler must round a product before it adds to it: -ffp-contract=off, and never -ffast-math.

   T tokens now, S tokens so far, D hidden size, H query heads, G key/value heads, d head size,
   F feed-forward size, V vocabulary size, L layers; a matrix has M rows (outputs) and N columns
   (inputs). An array is its numbers, row after row: element t, n of x (T, N) is x[t * N + n].

       cc -O2 -ffp-contract=off bitnet.c -lm -o bitnet
       ./bitnet DIR 128000,9906,11 [N]                 the next N (20) token ids, and their text
       ./bitnet --trace FILE.trace DIR IDS [3,1,1]     every array of the computation (in pieces) */

#define _POSIX_C_SOURCE 200809L /* to list a directory, which C99 cannot */
#include <dirent.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#if FLT_EVAL_METHOD != 0
#error "a float must be computed as a float (on a 32-bit x86: -msse2 -mfpmath=sse)"
#endif

/* ---- What stands behind the model ------------------------------------------------------------ */

enum { MOST = (1 << 24) - 1 }; /* of any axis: int32 then holds every sum of products */

typedef const char *Json; /* a value of JSON, where it begins in its text */

typedef struct { /* an array of a safetensors file: a matrix, or with 0 rows a vector */
    const char *name, *file;
    enum { U8, BF16, F16, F32 } dtype;
    size_t rows, columns;
    const uint8_t *bytes;
    uint8_t *packed; /* what a master becomes, and its scale */
    float scale;
    int used;
} Tensor;

typedef struct {
    Tensor *all; /* in the order of their names */
    size_t count;
} Weights;

static void fail(const char *format, ...);     /* one line on stderr, and status 1 */
static void *array(size_t count, size_t size); /* zeros, never NULL */
static void *mark(void);                       /* remembers what memory there is, */
static void release(void *since);              /* to free all that came later */
static char *text(const char *format, ...);    /* printf, into memory */
static int exists(const char *path);
static Json read_json(const char *path);
static Json get(Json object, const char *key); /* NULL if missing or null */
static int is(Json value, const char *word);   /* as it is written: 1, true, "relu2" */
static size_t whole(Json object, const char *key, const char *path);
static double number(Json object, const char *key, double missing, double low, double high,
                     const char *path);
static int is_end(Json eos_token_id, int64_t id); /* one id, or one of a list */
static void check_config(Json config, const char *path);
static Weights load_weights(const char *directory);
static Tensor *find(const Weights *weights, const char *name); /* NULL if missing */
static Tensor *take(const Weights *weights, const char *name, size_t rows, size_t columns,
                    int packed); /* refused if missing, damaged or of another shape */
static void check_used(const Weights *weights);
static void check_scale(const char *name, float scale);
static void check_master(const char *name, const float *W, size_t count);

/* ---- Numbers, arrays, and the one thing that changes ----------------------------------------- */

typedef struct {
    size_t H, G, D, F, V, L, d;
    double rope_theta, rms_norm_eps;
    int bitnet;    /* 2B4T's architecture, or else Llama's */
    int relu2;     /* or else SiLU */
    int divides;   /* a stored weight_scale, which otherwise multiplies */
    int quantized; /* config.json says how the matrices are stored */
    int online;    /* and that floats are masters, to be made ternary */
    int untied;    /* the head must be an array of its own */
    Json eos_token_id;
} Config;

typedef struct {
    Config config;
    Weights weights;
} Model;

typedef struct { /* a ternary matrix: real weights are codes * scale */
    size_t M, N;
    const uint8_t *packed; /* (M / 4, N) */
    float scale;
} Matrix;

typedef struct { /* activations: real values are codes * scale */
    size_t T, N;
    int8_t *codes; /* (T, N) */
    float *scale;  /* (T, 1) */
} Codes;

typedef struct { /* keys and values of the tokens so far */
    size_t start;   /* how many tokens */
    float **k, **v; /* of each layer (S, G, d) */
} Cache;

typedef struct { /* what stands around each step of `forward` */
    const Model *model;
    size_t T;
    FILE *trace;        /* where every array goes; or NULL */
    const char *prefix; /* of the layer */
} Pass;

/* ---- The model, in the order of the page ----------------------------------------------------- */

static Config load_config(const char *path, const char *generation) {
    const Json json = read_json(path), how = get(json, "quantization_config");
    const Json rope = get(json, "rope_parameters"); /* where newer files have rope_theta */
    Config c = {0};
    check_config(json, path);
    c.H = whole(json, "num_attention_heads", path);
    c.G = whole(json, "num_key_value_heads", path);
    c.D = whole(json, "hidden_size", path);
    c.F = whole(json, "intermediate_size", path);
    c.V = whole(json, "vocab_size", path);
    c.L = whole(json, "num_hidden_layers", path);
    c.d = get(json, "head_dim") ? whole(json, "head_dim", path) : c.D / c.H;
    if (c.H % c.G || c.d == 0 || c.d % 2)
        fail("%s: expected heads in equal groups and of even size, found %zu heads in %zu "
             "groups, size %zu", path, c.H, c.G, c.d);
    c.rms_norm_eps = number(json, "rms_norm_eps", 1e-5, 1e-30, 1, path);
    c.rope_theta = number(json, "rope_theta", 500000, 1, 1e30, path);
    c.rope_theta = number(rope, "rope_theta", c.rope_theta, 1, 1e30, path);
    c.bitnet = is(get(json, "model_type"), "\"bitnet\"");
    c.relu2 = is(get(json, "hidden_act"), "\"relu2\"");
    c.divides = !is(get(how, "linear_class"), "\"autobitlinear\"");
    c.quantized = get(how, "quant_method") || get(how, "linear_class");
    c.online = is(get(how, "quantization_mode"), "\"online\"");
    c.untied = is(get(json, "tie_word_embeddings"), "false");
    c.eos_token_id = get(json, "eos_token_id");
    if (exists(generation)) /* 2B4T's config.json names only one of its two end-of-text ids */
        c.eos_token_id = get(read_json(generation), "eos_token_id");
    return c;
}

static size_t width(int dtype) { /* bytes of a number */
    return dtype == U8 ? 1 : dtype == F32 ? 4 : 2;
}

static float half(uint16_t bits) { /* float16: a sign, 5 bits of exponent, 10 of fraction */
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float size = exponent == 31  ? fraction ? NAN : INFINITY
                 : exponent == 0 ? ldexpf((float)fraction, -24)
                                 : ldexpf((float)(1024 + fraction), exponent - 25);
    return bits >> 15 ? -size : size;
}

static void widen(const uint8_t *stored, int dtype, size_t count, float *values) {
    if (dtype == F32)
        memcpy(values, stored, 4 * count); /* a file does not align its numbers */
    for (size_t i = 0; i < count && dtype != F32; i++) {
        uint16_t bits;
        memcpy(&bits, stored + 2 * i, 2);
        uint32_t upper = (uint32_t)bits << 16; /* bfloat16 is the upper half of a float */
        memcpy(&values[i], &upper, 4);
        if (dtype == F16)
            values[i] = half(bits);
    }
}

static float *widened(const Tensor *stored) { /* a whole array */
    size_t count = (stored->rows ? stored->rows : 1) * stored->columns;
    float *values = array(count, sizeof *values);
    widen(stored->bytes, stored->dtype, count, values);
    return values;
}

static void widen_row(const Tensor *stored, size_t row, float *values) {
    const uint8_t *bytes = stored->bytes + row * stored->columns * width(stored->dtype);
    widen(bytes, stored->dtype, stored->columns, values);
}

/* One of the four codes of a byte: row r of packed (R, N), R = M / 4, has in each byte the codes of
   the rows r, R + r, 2R + r and 3R + r, stored as code + 1. */
static int16_t unpack(uint8_t byte, size_t band) {
    return (int16_t)((byte >> 2 * band & 3) - 1);
}

static void pack(const int8_t *codes, size_t M, size_t N, uint8_t *packed) { /* only for masters */
    size_t R = (M + 3) / 4;
    memset(packed, 0, R * N);
    for (size_t m = 0; m < M; m++)
        for (size_t n = 0; n < N; n++)
            packed[m % R * N + n] |= (uint8_t)((codes[m * N + n] + 1) << 2 * (m / R));
}

static float clip(float x, float low, float high) {
    return x > low ? x < high ? x : high : low;
}

/* W (M, N) -> codes -1, 0, +1 (M, N) and one scale: only for masters */
static float quantize_weights(const float *W, size_t M, size_t N, int8_t *codes) {
    double sum = 0;
    for (size_t i = 0; i < M * N; i++)
        sum += fabs((double)W[i]);
    float scale = (float)(sum / (double)(M * N));
    scale = scale > 1e-5f ? scale : 1e-5f;
    for (size_t i = 0; i < M * N; i++)
        codes[i] = (int8_t)clip(rintf(W[i] / scale), -1, 1);
    return scale;
}

/* x (T, N) -> int8 codes (T, N) and a scale per token (T, 1) */
static Codes quantize_activations(const float *x, size_t T, size_t N) {
    Codes q = {T, N, array(T * N, 1), array(T, sizeof *q.scale)};
    for (size_t t = 0; t < T; t++) {
        float largest = 1e-5f;
        for (size_t n = 0; n < N; n++)
            if (fabsf(x[t * N + n]) > largest)
                largest = fabsf(x[t * N + n]);
        for (size_t n = 0; n < N; n++)
            q.codes[t * N + n] = (int8_t)clip(rintf(x[t * N + n] * (127 / largest)), -128, 127);
        q.scale[t] = largest / 127;
    }
    return q;
}

static void make_ternary(const Config *config, Tensor *stored) { /* of a master */
    const size_t M = stored->rows, N = stored->columns;
    void *since = mark();
    const float *W = widened(stored);
    int8_t *codes = array(M * N, 1);
    if (!config->bitnet && !config->quantized)
        fail("%s: expected a BitNet model, found full-precision weights", stored->name);
    if (!config->online)
        check_master(stored->name, W, M * N);
    stored->scale = quantize_weights(W, M, N, codes);
    stored->packed = malloc((M + 3) / 4 * N); /* it stays */
    if (!stored->packed)
        fail("%s: expected memory, found none", stored->name);
    pack(codes, M, N, stored->packed);
    release(since);
}

/* A matrix (M, N) by its name. A master becomes ternary once; the page does it at each use. */
static Matrix ternary(const Model *model, const char *name, size_t M, size_t N) {
    const Config *config = &model->config;
    const char *weight = text("%s.weight", name), *weight_scale = text("%s.weight_scale", name);
    Tensor *stored = find(&model->weights, weight);
    if (stored && stored->dtype != U8) {
        stored = take(&model->weights, weight, M, N, 0);
        if (!stored->packed)
            make_ternary(config, stored);
        return (Matrix){M, N, stored->packed, stored->scale};
    }
    stored = take(&model->weights, weight, (M + 3) / 4, N, 1);
    float scale = *widened(take(&model->weights, weight_scale, 0, 1, 0));
    check_scale(name, scale);
    if (!config->quantized)
        fail("%s: expected config.json to say what its scale means, found nothing", name);
    if (config->divides) /* stored the other way round; in 2B4T, it multiplies */
        scale = 1 / scale;
    return (Matrix){M, N, stored->bytes, scale};
}

/* The sum of a[n] * b[n], in eight sums that a compiler can carry side by side. */
static double dot(const float *a, const float *b, size_t N) {
    double sums[8] = {0}, sum = 0;
    size_t n = 0;
    for (; n + 8 <= N; n += 8)
        for (size_t i = 0; i < 8; i++)
            sums[i] += (double)a[n + i] * (double)b[n + i]; /* this product is exact */
    for (; n < N; n++)
        sum += (double)a[n] * (double)b[n];
    for (size_t i = 0; i < 8; i++)
        sum += sums[i];
    return sum;
}

/* x (T, N), gain (N,) -> y (T, N) */
static float *rms_norm(const float *x, size_t T, size_t N, const float *gain, double eps) {
    float *y = array(T * N, sizeof *y);
    for (size_t t = 0; t < T; t++) {
        const float *row = x + t * N;
        float root = (float)sqrt(dot(row, row, N) / (double)N + eps);
        for (size_t n = 0; n < N; n++)
            y[t * N + n] = row[n] / root * gain[n];
    }
    return y;
}

/* Cosine and sine (T, d / 2) of each pair's angle at each position (T,). */
static void rotations(const int32_t *positions, size_t T, size_t d, double theta, float *cosine,
                      float *sine) {
    for (size_t j = 0; j < d / 2; j++) {
        float exponent = (float)(2 * j) / (float)d;
        float frequency = 1 / (float)pow(theta, (double)exponent);
        for (size_t t = 0; t < T; t++) {
            float angle = (float)positions[t] * frequency;
            cosine[t * (d / 2) + j] = (float)cos((double)angle);
            sine[t * (d / 2) + j] = (float)sin((double)angle);
        }
    }
}

/* x (T, heads, d), in place: coordinate j is paired with j + d / 2, not with j + 1 */
static void rotate(float *x, size_t T, size_t heads, size_t d, const float *cosine,
                   const float *sine) {
    for (size_t t = 0; t < T; t++)
        for (size_t head = 0; head < heads; head++)
            for (size_t j = 0; j < d / 2; j++) {
                float *first = x + (t * heads + head) * d + j, *second = first + d / 2;
                float c = cosine[t * (d / 2) + j], s = sine[t * (d / 2) + j];
                float a = *first, b = *second;
                *first = a * c - b * s;
                *second = b * c + a * s;
            }
}

static void softmax(double *scores, size_t S) { /* in place */
    double largest = scores[0], sum = 0;
    for (size_t s = 0; s < S; s++)
        if (scores[s] > largest)
            largest = scores[s];
    for (size_t s = 0; s < S; s++)
        sum += scores[s] = exp(scores[s] - largest);
    for (size_t s = 0; s < S; s++)
        scores[s] /= sum;
}

static float relu2(float gate) {
    return gate > 0 ? gate * gate : 0;
}

static float silu(float gate) { /* other models only: in 2B4T it gives fluent nonsense */
    return (float)((double)gate / (1 + exp(-(double)gate)));
}

/* The lines of the page's `forward` that are a step of their own: */

/* codes (T, N), w (M, N) -> acc (T, M) */
static int32_t *product(Codes x, const Matrix *w) {
    const size_t T = x.T, M = w->M, N = w->N, R = (M + 3) / 4;
    int32_t *acc = array(T * M, sizeof *acc);
    int16_t *wide = array(T * N, sizeof *wide); /* a compiler multiplies many of these at once */
    for (size_t i = 0; i < T * N; i++)
        wide[i] = x.codes[i];
    for (size_t m = 0; m < M; m++)
        for (size_t t = 0; t < T; t++) {
            const uint8_t *bytes = w->packed + m % R * N;
            const int16_t *codes = wide + t * N;
            int32_t sum = 0;
            for (size_t n = 0; n < N; n++)
                sum += unpack(bytes[n], m / R) * codes[n];
            acc[t * M + m] = sum;
        }
    return acc;
}

/* acc (T, M), x_scale (T, 1) -> y (T, M) */
static float *rescale(const int32_t *acc, size_t T, size_t M, const float *x_scale, float w_scale) {
    float *y = array(T * M, sizeof *y);
    for (size_t t = 0; t < T; t++)
        for (size_t m = 0; m < M; m++)
            y[t * M + m] = (float)acc[t * M + m] * (x_scale[t] * w_scale);
    return y;
}

/* q (T, H, d) of the last T of S tokens, k and v (S, G, d) -> attn (T, H * d) */
static float *attend(const float *q, const float *k, const float *v, size_t T, size_t S, size_t H,
                     size_t G, size_t d) {
    float *attn = array(T * H * d, sizeof *attn);
    double *scores = array(S, sizeof *scores), *sums = array(d, sizeof *sums);
    const double factor = pow((double)d, -0.5);
    for (size_t head = 0; head < H; head++) {
        size_t group = head / (H / G); /* H / G neighbours share a key and a value */
        for (size_t t = 0; t < T; t++) {
            size_t seen = S - T + t + 1; /* a token sees itself and those before it */
            for (size_t s = 0; s < seen; s++)
                scores[s] = dot(k + (s * G + group) * d, q + (t * H + head) * d, d) * factor;
            softmax(scores, seen);
            memset(sums, 0, d * sizeof *sums);
            for (size_t s = 0; s < seen; s++)
                for (size_t j = 0; j < d; j++)
                    sums[j] += scores[s] * (double)v[(s * G + group) * d + j];
            for (size_t j = 0; j < d; j++)
                attn[(t * H + head) * d + j] = (float)sums[j];
        }
    }
    return attn;
}

/* gate, up (T, F) -> y (T, F) */
static float *relu2_gate(const float *gate, const float *up, size_t count, int squared) {
    float *y = array(count, sizeof *y);
    for (size_t i = 0; i < count; i++)
        y[i] = (squared ? relu2(gate[i]) : silu(gate[i])) * up[i];
    return y;
}

/* h (T, D), head (V, D) -> logits (T, V) */
static float *head_logits(const float *h, size_t T, const Tensor *head) {
    size_t V = head->rows, D = head->columns;
    float *logits = array(T * V, sizeof *logits), *row = array(D, sizeof *row);
    for (size_t token = 0; token < V; token++) {
        widen_row(head, token, row);
        for (size_t t = 0; t < T; t++)
            logits[t * V + token] = (float)dot(h + t * D, row, D);
    }
    return logits;
}

/* Every array (T, rows, columns) of the computation has a name; 0 columns: it is (T, rows). It is
   written where a trace is wanted, and ends the program if it is not finite. */
static void stage_of(const Pass *p, const char *name, const char *dtype, const void *values,
                     size_t rows, size_t columns) {
    size_t count = p->T * rows * (columns ? columns : 1);
    for (size_t i = 0; i < count && strcmp(dtype, "float32") == 0; i++)
        if (!(fabsf(((const float *)values)[i]) <= FLT_MAX))
            fail("%s%s: expected finite numbers, found others", p->prefix, name);
    if (!p->trace)
        return;
    fprintf(p->trace, "%s%s %s %zu %zu", p->prefix, name, dtype, p->T, rows);
    fprintf(p->trace, columns ? " %zu\n" : "\n", columns);
    fwrite(values, strcmp(dtype, "int8") ? 4 : 1, count, p->trace);
}

static float *stage(const Pass *p, const char *name, float *x, size_t N) { /* x (T, N) */
    stage_of(p, name, "float32", x, N, 0);
    return x;
}

static const char *named(const Pass *p, const char *name) { /* as the files call it */
    return text("model.%s%s", p->prefix, name);
}

static float *norm(const Pass *p, const char *name, const float *x, size_t N, const char *gains) {
    const char *weight = text("%s.weight", named(p, gains));
    const float *gain = widened(take(&p->model->weights, weight, 0, N, 0));
    return stage(p, name, rms_norm(x, p->T, N, gain, p->model->config.rms_norm_eps), N);
}

/* What one or several matrices read: x (T, N) */
static Codes quantize(const Pass *p, const char *name, const float *x, size_t N) {
    Codes codes = quantize_activations(x, p->T, N);
    stage_of(p, text("%s.codes", name), "int8", codes.codes, N, 0);
    stage(p, text("%s.scale", name), codes.scale, 1);
    return codes;
}

/* x (T, N) -> y (T, M) */
static float *linear(const Pass *p, Codes x, const char *output, const char *matrix, size_t M) {
    Matrix w = ternary(p->model, named(p, matrix), M, x.N);
    int32_t *acc = product(x, &w);
    stage_of(p, text("%s.acc", output), "int32", acc, M, 0);
    return stage(p, output, rescale(acc, x.T, M, x.scale, w.scale), M);
}

static void add(const Pass *p, const char *name, float *h, const float *x, size_t D) {
    for (size_t i = 0; i < p->T * D; i++)
        h[i] += x[i];
    stage(p, name, h, D);
}

static int has(const Pass *p, const char *gains) { /* a sub-norm, which Llama's have not */
    return p->model->config.bitnet ||
           find(&p->model->weights, text("%s.weight", named(p, gains)));
}

/* ids (T,) -> logits (T, V), or of the last token alone (1, V); the cache has room for T more */
static float *forward(const Model *model, const int64_t *ids, size_t T, Cache *cache, int last,
                      FILE *trace) {
    const Config *c = &model->config;
    const size_t H = c->H, G = c->G, D = c->D, F = c->F, V = c->V, d = c->d, start = cache->start;
    const char *head = c->untied || find(&model->weights, "lm_head.weight")
                           ? "lm_head.weight"
                           : "model.embed_tokens.weight"; /* in 2B4T the embedding once more */
    const Tensor *embedding = take(&model->weights, "model.embed_tokens.weight", V, D, 0);
    const Tensor *lm_head = take(&model->weights, head, V, D, 0);
    float *cosine = array(T * d / 2, sizeof *cosine), *sine = array(T * d / 2, sizeof *sine);
    float *h = array(T * D, sizeof *h);
    int32_t *positions = array(T, sizeof *positions);
    Pass pass = {model, T, trace, ""}, *p = &pass;

    for (size_t t = 0; t < T; t++) {
        positions[t] = (int32_t)(start + t);
        widen_row(embedding, (size_t)ids[t], h + t * D);
    }
    rotations(positions, T, d, c->rope_theta, cosine, sine);
    stage(p, "embed", h, D);
    for (size_t layer = 0; layer < c->L; layer++) {
        void *since = mark();
        p->prefix = text("layers.%zu.", layer);

        float *x = norm(p, "attn_norm", h, D, "input_layernorm");
        Codes attn_in = quantize(p, "attn_in", x, D);
        float *q = linear(p, attn_in, "q", "self_attn.q_proj", H * d);
        float *k = linear(p, attn_in, "k", "self_attn.k_proj", G * d);
        float *v = linear(p, attn_in, "v", "self_attn.v_proj", G * d);
        rotate(q, T, H, d, cosine, sine);
        stage_of(p, "q.rope", "float32", q, H, d);
        rotate(k, T, G, d, cosine, sine);
        stage_of(p, "k.rope", "float32", k, G, d);
        memcpy(cache->k[layer] + start * G * d, k, T * G * d * sizeof *k);
        memcpy(cache->v[layer] + start * G * d, v, T * G * d * sizeof *v);
        x = attend(q, cache->k[layer], cache->v[layer], T, start + T, H, G, d);
        stage(p, "attn", x, H * d);
        if (has(p, "self_attn.attn_sub_norm"))
            x = norm(p, "attn_sub_norm", x, H * d, "self_attn.attn_sub_norm");
        Codes attn_out = quantize(p, "attn_out", x, H * d);
        add(p, "attn_residual", h, linear(p, attn_out, "o", "self_attn.o_proj", D), D);

        x = norm(p, "ffn_norm", h, D, "post_attention_layernorm");
        Codes ffn_in = quantize(p, "ffn_in", x, D);
        float *gate = linear(p, ffn_in, "gate", "mlp.gate_proj", F);
        float *up = linear(p, ffn_in, "up", "mlp.up_proj", F);
        x = stage(p, "relu2_gate", relu2_gate(gate, up, T * F, c->relu2), F);
        if (has(p, "mlp.ffn_sub_norm"))
            x = norm(p, "ffn_sub_norm", x, F, "mlp.ffn_sub_norm");
        Codes ffn_out = quantize(p, "ffn_out", x, F);
        add(p, "ffn_residual", h, linear(p, ffn_out, "down", "mlp.down_proj", D), D);
        release(since);
    }
    p->prefix = "";
    h = norm(p, "final_norm", h, D, "norm");
    cache->start += T;
    if (last)
        h += (T - 1) * D, p->T = 1;
    return stage(p, "logits", head_logits(h, p->T, lm_head), V);
}

static size_t greedy(const float *logits, size_t V) { /* of equals the first */
    size_t best = 0;
    for (size_t token = 0; token < V; token++)
        if (logits[token] > logits[best])
            best = token;
    return best;
}

static Cache new_cache(const Config *config, size_t tokens) {
    Cache cache = {.k = array(config->L, sizeof *cache.k), .v = array(config->L, sizeof *cache.v)};
    for (size_t n = 0; n < config->L; n++) {
        cache.k[n] = array(tokens * config->G * config->d, sizeof **cache.k);
        cache.v[n] = array(tokens * config->G * config->d, sizeof **cache.v);
    }
    return cache;
}

static Model load(const char *directory) {
    Model model = {load_config(text("%s/config.json", directory),
                               text("%s/generation_config.json", directory)),
                   load_weights(directory)};
    int64_t token = 0;
    if (model.config.L > model.weights.count)
        fail("%s: expected %zu layers, found %zu arrays", directory, model.config.L,
             model.weights.count);
    /* One token asks for every array, which is then checked. What none asks for is refused. */
    void *since = mark();
    Cache cache = new_cache(&model.config, 1);
    forward(&model, &token, 1, &cache, 1, NULL);
    check_used(&model.weights);
    release(since);
    return model;
}

/* At most n new ids, each time the most likely one; returns how many. */
static size_t generate(const Model *model, const int64_t *ids, size_t T, size_t n, int64_t *new) {
    Cache cache = new_cache(&model->config, T + n);
    for (size_t i = 0; i < n; i++) {
        void *since = mark();
        const float *logits = forward(model, ids, T, &cache, 1, NULL);
        new[i] = (int64_t)greedy(logits, model->config.V);
        release(since);
        if (is_end(model->config.eos_token_id, new[i]))
            return i + 1;
        ids = &new[i]; /* the one token that is not yet read */
        T = 1;
    }
    return n;
}

/* ---- Memory, errors, files ------------------------------------------------------------------- */

static void fail(const char *format, ...) {
    char line[500];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    for (char *c = line; *c; c++)
        if (*c < ' ' || *c > '~') /* a name from a file could steer the terminal */
            *c = '?';
    fprintf(stderr, "bitnet: %s\n", line);
    exit(1);
}

typedef union Block { /* stands before each piece of memory */
    union Block *earlier;
    long double alignment;
} Block;

static Block *blocks; /* the latest first */

static void *array(size_t count, size_t size) {
    Block *block = NULL;
    if (count < (SIZE_MAX - sizeof *block) / size)
        block = calloc(1, sizeof *block + count * size);
    if (!block)
        fail("expected memory for %zu numbers, found none", count);
    block->earlier = blocks;
    blocks = block;
    return block + 1;
}

static void *mark(void) {
    return blocks;
}

static void release(void *since) {
    while (blocks != since) {
        Block *block = blocks;
        blocks = block->earlier;
        free(block);
    }
}

static char *text(const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    size_t size = (size_t)vsnprintf(NULL, 0, format, arguments) + 1;
    char *written = array(size, 1);
    vsnprintf(written, size, format, again);
    va_end(again);
    va_end(arguments);
    return written;
}

static FILE *open_file(const char *path, const char *mode) {
    FILE *file = fopen(path, mode);
    if (!file)
        fail("%s: %s", path, strerror(errno));
    return file;
}

static int exists(const char *path) {
    struct stat status;
    return stat(path, &status) == 0;
}

static char *read_file(const char *path, size_t *size) { /* with a 0 behind it */
    struct stat status;
    if (stat(path, &status))
        fail("%s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode)) /* a pipe would wait for ever */
        fail("%s: expected a file, found something else", path);
    *size = (size_t)status.st_size;
    char *bytes = array(*size + 1, 1);
    FILE *file = open_file(path, "rb");
    if (fread(bytes, 1, *size, file) != *size)
        fail("%s: expected %zu bytes, found fewer", path, *size);
    fclose(file);
    return bytes;
}

/* ---- JSON, read where it stands -------------------------------------------------------------- */

static Json space(Json at) {
    return at + strspn(at, " \t\r\n");
}

static Json behind_digits(Json at, const char *path) {
    if (*at < '0' || *at > '9')
        fail("%s: expected JSON, found %.10s", path, at);
    return at + strspn(at, "0123456789");
}

static Json behind_number(Json at, const char *path) {
    at += *at == '-';
    at = *at == '0' ? at + 1 : behind_digits(at, path);
    if (*at == '.')
        at = behind_digits(at + 1, path);
    if (*at == 'e' || *at == 'E')
        at = behind_digits(at + 1 + (at[1] == '+' || at[1] == '-'), path);
    return at;
}

static Json behind_string(Json at, const char *path) {
    while (*++at != '"') {
        if ((uint8_t)*at < ' ')
            fail("%s: expected the end of a string in JSON, found another", path);
        if (*at != '\\')
            continue;
        if (*++at == 'u' && strspn(at + 1, "0123456789abcdefABCDEF") >= 4)
            at += 4;
        else if (*at == 0 || !strchr("\"\\/bfnrt", *at))
            fail("%s: expected an escape in JSON, found %.10s", path, at);
    }
    return at + 1;
}

/* Where a value ends, if it is one. */
static Json behind(Json at, const char *path, int depth) {
    static const char *const words[] = {"null", "false", "true"};
    const char opened = *at, closing = opened == '{' ? '}' : ']';
    for (size_t i = 0; i < 3; i++)
        if (strncmp(at, words[i], strlen(words[i])) == 0)
            return at + strlen(words[i]);
    if (opened == '"')
        return behind_string(at, path);
    if (opened != '{' && opened != '[')
        return behind_number(at, path);
    if (depth == 0)
        fail("%s: expected no more than 100 levels of JSON, found another", path);
    at = space(at + 1);
    if (*at == closing)
        return at + 1;
    for (;; at = space(at + 1)) {
        if (opened == '{') {
            if (*at != '"' || *(at = space(behind_string(at, path))) != ':')
                fail("%s: expected a key and a colon in JSON, found %.10s", path, at);
            at = space(at + 1);
        }
        at = space(behind(at, path, depth - 1));
        if (*at == closing)
            return at + 1;
        if (*at != ',')
            fail("%s: expected a comma in JSON, found %.10s", path, at);
    }
}

typedef struct { /* of an object or list */
    const char *key; /* NULL in a list */
    Json value;      /* NULL behind the last */
    Json end;
} Item;

static uint32_t hex4(Json at) { /* the four digits behind \u */
    char hex[5] = {0};
    return (uint32_t)strtoul(memcpy(hex, at, 4), NULL, 16);
}

static char *put_utf8(char *out, uint32_t code) { /* returns where the next one goes */
    const int more = (code >= 0x80) + (code >= 0x800) + (code >= 0x10000);
    *out++ = (char)((more ? 0xF0 << (3 - more) : 0) | code >> 6 * more);
    for (int left = more - 1; left >= 0; left--)
        *out++ = (char)(0x80 | (code >> 6 * left & 63));
    return out;
}

static char *string(Json at) { /* its text */
    char *start = array((size_t)(behind_string(at, "") - at), 1), *out = start;
    while (*++at != '"') {
        if (*at != '\\') {
            *out++ = *at;
        } else if (*++at != 'u') {
            const char *escape = strchr("b\bf\fn\nr\rt\t", *at);
            *out++ = escape ? escape[1] : *at;
        } else {
            uint32_t code = hex4(at + 1), second = 0;
            if (code >> 10 == 0x36 && at[5] == '\\' && at[6] == 'u') /* half a character */
                second = hex4(at + 7);
            if (code == 0 || (code >> 11 == 0x1B && second >> 10 != 0x37))
                fail("expected a character in JSON, found %.6s", at - 1);
            if (second >> 10 == 0x37 && code >> 10 == 0x36) {
                code = 0x10000 + ((code & 0x3FF) << 10 | (second & 0x3FF));
                at += 6;
            }
            out = put_utf8(out, code);
            at += 4;
        }
    }
    return start;
}

static Item item(Json at) { /* the one that begins here */
    if (*at == '}' || *at == ']')
        return (Item){0};
    Item found = {NULL, at, behind(at, "", 100)};
    Json colon = space(found.end);
    if (*colon == ':') {
        found.key = string(at);
        found.value = space(colon + 1);
        found.end = behind(found.value, "", 100);
    }
    return found;
}

static Item first(Json in) {
    return in && (*in == '{' || *in == '[') ? item(space(in + 1)) : (Item){0};
}

static Item next(Item before) {
    Json comma = space(before.end);
    return *comma == ',' ? item(space(comma + 1)) : (Item){0};
}

static int is(Json value, const char *word) {
    return value && strncmp(value, word, strlen(word)) == 0 &&
           behind(value, "", 100) == value + strlen(word);
}

/* The bytes of the UTF-8 character at `at`; if there is none, minus those that began one. */
static int utf8(const uint8_t *at, const uint8_t *end) {
    int more = (*at >= 0xC2) + (*at >= 0xE0) + (*at >= 0xF0);
    int low = *at == 0xE0 ? 0xA0 : *at == 0xF0 ? 0x90 : 0x80; /* no longer than it must be, */
    int high = *at == 0xED ? 0x9F : *at == 0xF4 ? 0x8F : 0xBF; /* no surrogate, not too large */
    for (int i = 1; i <= more; i++, low = 0x80, high = 0xBF)
        if (at + i >= end || at[i] < low || at[i] > high)
            return -i;
    return (*at >= 0x80 && *at < 0xC2) || *at >= 0xF5 ? -1 : more + 1;
}

/* One value that begins with `opened`: { or [. Behind the bytes stands a 0. */
static Json check_json(const char *bytes, size_t size, char opened, const char *path) {
    const uint8_t *at = (const uint8_t *)bytes, *end = at + size;
    for (int n; at < end; at += n)
        if ((n = utf8(at, end)) < 0 || *at == 0)
            fail("%s: expected JSON in UTF-8, found a byte %02x", path, (unsigned)*at);
    Json json = space(bytes);
    if (*json != opened || *space(behind(json, path, 100)))
        fail("%s: expected one %s of JSON, found something else", path,
             opened == '{' ? "object" : "list");
    return json;
}

static Json read_json(const char *path) {
    size_t size;
    const char *bytes = read_file(path, &size);
    return check_json(bytes, size, '{', path);
}

static Json get(Json object, const char *key) {
    Json found = NULL;
    void *since = mark();
    for (Item in = first(object); in.value; in = next(in))
        if (in.key && strcmp(in.key, key) == 0) {
            if (found)
                fail("%s: expected the key once, found it twice", key);
            found = in.value;
        }
    release(since);
    return is(found, "null") ? NULL : found;
}

static int64_t integer(Json value) { /* from 0 on; -1 if it is none */
    size_t count = value ? strspn(value, "0123456789") : 0;
    int whole = count > 0 && count < 16 && behind(value, "", 100) == value + count;
    return whole ? strtoll(value, NULL, 10) : -1;
}

static size_t whole(Json object, const char *key, const char *path) {
    int64_t value = integer(get(object, key));
    if (value < 1 || value > MOST)
        fail("%s: %s: expected a whole number from 1 to %d", path, key, MOST);
    return (size_t)value;
}

static double number(Json object, const char *key, double missing, double low, double high,
                     const char *path) {
    Json value = get(object, key);
    double found = value && strchr("-0123456789", *value) ? strtod(value, NULL) : NAN;
    if (value && !(found >= low && found <= high))
        fail("%s: %s: expected a number from %g to %g", path, key, low, high);
    return value ? found : missing;
}

/* ---- The files of a checkpoint --------------------------------------------------------------- */

typedef struct { /* keys with a space around each, and what they may be; NULL: anything */
    const char *keys, *words;
} Rule;

static int listed(const char *words, const char *word) {
    return !strchr(word, ' ') && strstr(words, text(" %s ", word));
}

static int allowed(Json value, const char *words) { /* it, or what is in the list */
    if (*value != '[')
        return listed(words, text("%.*s", (int)(behind(value, "", 100) - value), value));
    for (Item in = first(value); in.value; in = next(in))
        if (*in.value == '[' || !allowed(in.value, words))
            return 0;
    return 1;
}

/* A key nobody reads may be the one that makes another model of the weights. So what no rule has
   must be null or false. */
static void check_keys(Json object, const Rule *rules, const char *path) {
    if (object && *object != '{')
        fail("%s: expected an object, found %.10s", path, object);
    for (Item in = first(object); in.value; in = next(in)) {
        const Rule *rule = rules;
        while (rule->keys && !listed(rule->keys, in.key))
            rule++;
        if (!rule->keys && !is(in.value, "null") && !is(in.value, "false"))
            fail("%s: %s: expected no such key (if it changes no number, take it out)", path,
                 in.key);
        if (rule->words && !is(in.value, "null") && !allowed(in.value, rule->words))
            fail("%s: %s: expected%s, found %.20s", path, in.key, rule->words, in.value);
    }
}

static void check_config(Json config, const char *path) {
    static const Rule in_config[] = {
        {" hidden_size intermediate_size num_hidden_layers num_attention_heads head_dim "
         "num_key_value_heads vocab_size rms_norm_eps rope_theta rope_parameters rope_scaling "
         "quantization_config eos_token_id tie_word_embeddings max_position_embeddings "
         "bos_token_id pad_token_id auto_map attention_dropout dtype torch_dtype "
         "initializer_range transformers_version use_cache _name_or_path ", NULL},
        {" model_type ", " \"bitnet\" \"llama\" "},
        {" hidden_act ", " \"relu2\" \"silu\" "},
        {" architectures ", " \"BitNetForCausalLM\" \"LlamaForCausalLM\" "},
        {" pretraining_tp partial_rotary_factor logits_scaling residual_multiplier "
         "embedding_multiplier ", " 1 1.0 "},
        {" input_bits ", " 8 "},
        {NULL, NULL}};
    static const Rule in_quantization[] = {
        {" quantization_mode rms_norm_eps ", NULL},
        {" quant_method ", " \"bitnet\" "},
        {" linear_class ", " \"autobitlinear\" \"bitlinear\" "},
        {" modules_to_not_convert ", " \"lm_head\" \"model.embed_tokens\" \"model.norm\" "},
        {" offline_quantization ", " "}, /* it would say that a scale multiplies */
        {NULL, NULL}};
    static const Rule in_rope[] = {/* no scaling */
        {" rope_type type ", " \"default\" "},
        {" rope_theta ", NULL},
        {NULL, NULL}};
    check_keys(config, in_config, path);
    check_keys(get(config, "quantization_config"), in_quantization, path);
    check_keys(get(config, "rope_parameters"), in_rope, path);
    check_keys(get(config, "rope_scaling"), in_rope, path);
    if (!get(config, "model_type") || !get(config, "hidden_act"))
        fail("%s: expected model_type and hidden_act, found none", path);
}

static int is_end(Json ends, int64_t id) {
    if (ends && *ends != '[' && integer(ends) < 0)
        fail("eos_token_id: expected a token id or a list of them, found %.10s", ends);
    for (Item in = first(ends); in.value; in = next(in))
        if (integer(in.value) == id)
            return 1;
        else if (integer(in.value) < 0)
            fail("eos_token_id: expected token ids, found %.10s", in.value);
    return integer(ends) == id;
}

/* The arrays whose numbers are no weights: infinite or NaN, two bits that are 3. */
static void check_numbers(const Tensor *stored) {
    size_t rows = stored->rows ? stored->rows : 1, N = stored->columns, wrong = 0;
    float *values = array(N, sizeof *values);
    for (size_t i = 0; i < rows * N && stored->dtype == U8; i++)
        wrong |= stored->bytes[i] & stored->bytes[i] >> 1 & 0x55;
    for (size_t row = 0; row < rows && stored->dtype != U8; row++) {
        widen_row(stored, row, values);
        for (size_t n = 0; n < N; n++)
            wrong |= !(fabsf(values[n]) <= FLT_MAX);
    }
    if (wrong)
        fail("%s: %s: expected %s, found others", stored->file, stored->name,
             stored->dtype == U8 ? "2-bit codes 0, 1 and 2" : "finite numbers");
}

static void check_scale(const char *name, float scale) {
    if (!(scale >= FLT_MIN && scale < INFINITY))
        fail("%s: expected a scale above 0, found %g", name, (double)scale);
}

/* Some files have codes times scale in place of a master; absmean would make the scale smaller. */
static void check_master(const char *name, const float *W, size_t count) {
    float largest = 0;
    size_t others = 0;
    for (size_t i = 0; i < count; i++)
        largest = fabsf(W[i]) > largest ? fabsf(W[i]) : largest;
    for (size_t i = 0; i < count; i++)
        others += W[i] != 0 && fabsf(W[i]) != largest;
    if (!others && largest > 0)
        fail("%s: expected weights in full precision, found ternary ones", name);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const Tensor *)a)->name, ((const Tensor *)b)->name);
}

static int by_place(const void *a, const void *b) {
    const uint8_t *x = ((const Tensor *)a)->bytes, *y = ((const Tensor *)b)->bytes;
    return (x > y) - (x < y);
}

/* At most two whole numbers of a list; returns how many, or 3. */
static size_t two_numbers(Json list, size_t most, size_t numbers[2]) {
    size_t count = 0;
    for (Item in = first(list); in.value; in = next(in), count++) {
        int64_t value = integer(in.value);
        if (count == 2 || value < 0 || (size_t)value > most)
            return 3;
        numbers[count] = (size_t)value;
    }
    return list && *list == '[' ? count : 3;
}

/* An array as the header of a file has it: dtype, shape and where its bytes are. */
static Tensor read_entry(Item in, const char *path, const uint8_t *data, size_t size) {
    static const char *const dtypes[] = {"\"U8\"", "\"BF16\"", "\"F16\"", "\"F32\""};
    Json entry = in.value;
    Tensor tensor = {.name = in.key, .file = path, .dtype = U8};
    size_t shape[2] = {1, 1}, at[2], count, axes = two_numbers(get(entry, "shape"), MOST, shape);
    while (tensor.dtype <= F32 && !is(get(entry, "dtype"), dtypes[tensor.dtype]))
        tensor.dtype++;
    if (tensor.dtype > F32 || axes > 2 || two_numbers(get(entry, "data_offsets"), size, at) != 2)
        fail("%s: %s: expected U8, BF16, F16 or F32, a shape of two axes at most, and two "
             "offsets in %zu bytes", path, tensor.name, size);
    tensor.rows = axes == 2 ? shape[0] : 0;
    tensor.columns = axes == 2 ? shape[1] : shape[0];
    count = shape[0] * shape[1];
    if (count == 0 || at[0] > at[1] || at[1] - at[0] != count * width(tensor.dtype))
        fail("%s: %s: expected %zu numbers, found bytes %zu to %zu", path, tensor.name, count,
             at[0], at[1]);
    tensor.bytes = data + at[0];
    return tensor;
}

/* One safetensors file: a header that says where each array is, and the arrays. */
static void read_tensors(Weights *weights, const char *path) {
    size_t size, header = 0, old = weights->count;
    const uint8_t *bytes = (const uint8_t *)read_file(path, &size);
    for (size_t i = 0; i < 8 && size >= 8; i++)
        header |= (size_t)bytes[i] << 8 * i;
    if (size < 8 || header > size - 8 || header > 100000000) /* which no file comes near */
        fail("%s: expected a header and arrays behind it, found %zu bytes", path, size);
    Json json = check_json(text("%.*s", (int)header, bytes + 8), header, '{', path);
    const uint8_t *data = bytes + 8 + header, *end = bytes + size;

    size_t count = old;
    for (Item in = first(json); in.value; in = next(in))
        count++;
    Tensor *all = array(count, sizeof *all);
    if (old)
        memcpy(all, weights->all, old * sizeof *all);
    weights->all = all;
    for (Item in = first(json); in.value; in = next(in))
        if (strcmp(in.key, "__metadata__"))
            all[weights->count++] = read_entry(in, path, data, size - 8 - header);
    /* The arrays must be the bytes end to end: else one of them is not what it says. */
    qsort(all + old, weights->count - old, sizeof *all, by_place);
    for (Tensor *tensor = all + old; tensor < all + weights->count; tensor++) {
        size_t rows = tensor->rows ? tensor->rows : 1;
        if (tensor->bytes != data)
            fail("%s: %s: expected it right behind the array before it", path, tensor->name);
        data += rows * tensor->columns * width(tensor->dtype);
    }
    if (data != end)
        fail("%s: expected the arrays to end with the file, found more bytes", path);
    qsort(all, weights->count, sizeof *all, by_name);
    for (size_t i = 1; i < weights->count; i++)
        if (strcmp(all[i - 1].name, all[i].name) == 0)
            fail("%s: %s: expected each array once", all[i].file, all[i].name);
}

static Weights load_weights(const char *directory) { /* from every *.safetensors in it */
    Weights weights = {0};
    struct dirent *entry;
    DIR *listing = opendir(directory);
    if (!listing)
        fail("%s: %s", directory, strerror(errno));
    while ((entry = readdir(listing))) {
        const char *ending = strrchr(entry->d_name, '.');
        if (ending && strcmp(ending, ".safetensors") == 0)
            read_tensors(&weights, text("%s/%s", directory, entry->d_name));
    }
    closedir(listing);
    if (weights.count == 0)
        fail("%s: expected arrays in *.safetensors, found none", directory);
    return weights;
}

static Tensor *find(const Weights *weights, const char *name) {
    const Tensor wanted = {.name = name};
    return bsearch(&wanted, weights->all, weights->count, sizeof wanted, by_name);
}

static Tensor *take(const Weights *weights, const char *name, size_t rows, size_t columns,
                    int packed) {
    Tensor *tensor = find(weights, name);
    if (!tensor)
        fail("%s: expected such an array, found none", name);
    if (tensor->rows != rows || tensor->columns != columns || (tensor->dtype == U8) != packed)
        fail("%s: %s: expected %s (%zu, %zu), found %s (%zu, %zu)", tensor->file, name,
             packed ? "bytes" : "floats", rows, columns, tensor->dtype == U8 ? "bytes" : "floats",
             tensor->rows, tensor->columns);
    if (!tensor->used)
        check_numbers(tensor);
    tensor->used = 1;
    return tensor;
}

static void check_used(const Weights *weights) {
    for (size_t i = 0; i < weights->count; i++)
        if (!weights->all[i].used && !strstr(weights->all[i].name, "rotary_emb.inv_freq"))
            fail("%s: %s: expected no such array", weights->all[i].file, weights->all[i].name);
}

/* ---- Text: of each id the bytes that it stands for ------------------------------------------- */

typedef struct {
    size_t count, *lengths;
    char **bytes;
} Vocabulary;

/* A token is spelled with a letter for each byte: its own where that can be seen, else one of the
   letters from U+0100 on, in order. Here letters, in UTF-8, become bytes, in place. */
static size_t spell(char *letters, const char *path) {
    char *out = letters;
    for (const uint8_t *at = (const uint8_t *)letters; *at;) {
        int two = *at >= 0x80, letter = two ? (at[0] & 31) << 6 | (at[1] & 63) : at[0];
        int byte = 0, unseen = 0x100, seen = 0;
        for (; byte < 256; byte++, unseen += !seen) {
            seen = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
            if (letter == (seen ? byte : unseen))
                break;
        }
        if (byte == 256 || *at >= 0xE0)
            fail("%s: vocab: expected letters that stand for bytes, found others", path);
        *out++ = (char)byte;
        at += 1 + two;
    }
    return (size_t)(out - letters);
}

/* Byte-pair encoding on bytes, as tokenizer.json has it. */
static Vocabulary read_vocabulary(const char *path) {
    Json json = read_json(path), model = get(json, "model"), vocab = get(model, "vocab");
    Vocabulary all = {0};
    if (!is(get(model, "type"), "\"BPE\"") || !vocab || *vocab != '{' ||
        !is(get(get(json, "decoder"), "type"), "\"ByteLevel\""))
        fail("%s: expected a BPE model with a vocab and a ByteLevel decoder, found others", path);
    for (Item in = first(vocab); in.value; in = next(in))
        all.count++;
    all.lengths = array(all.count, sizeof *all.lengths);
    all.bytes = array(all.count, sizeof *all.bytes);
    for (Item in = first(vocab); in.value; in = next(in)) {
        int64_t id = integer(in.value);
        if (id < 0 || (size_t)id >= all.count || all.bytes[id])
            fail("%s: vocab: expected every id from 0 up once", path);
        all.bytes[id] = text("%s", in.key);
    }
    for (Item in = first(get(json, "added_tokens")); in.value; in = next(in)) {
        int64_t id = integer(get(in.value, "id"));
        if (id < 0 || !is(get(in.value, "special"), "true"))
            fail("%s: added_tokens: expected special tokens with ids, found another", path);
        if ((size_t)id < all.count)
            *all.bytes[id] = '\0'; /* it stands for no text */
    }
    for (size_t id = 0; id < all.count; id++)
        all.lengths[id] = spell(all.bytes[id], path);
    return all;
}

/* The text of ids, in UTF-8: U+FFFD for bytes that are none. */
static char *decode(Vocabulary all, const int64_t *ids, size_t T, size_t *length) {
    size_t size = 0;
    for (size_t t = 0; t < T; t++)
        size += (size_t)ids[t] < all.count ? all.lengths[ids[t]] : 0;
    char *bytes = array(size + 1, 1), *end = bytes, *out = array(3 * size + 1, 1);
    for (size_t t = 0; t < T; t++)
        if ((size_t)ids[t] < all.count) {
            memcpy(end, all.bytes[ids[t]], all.lengths[ids[t]]);
            end += all.lengths[ids[t]];
        }
    *length = 0;
    for (const char *at = bytes; at < end;) {
        int n = utf8((const uint8_t *)at, (const uint8_t *)end);
        memcpy(out + *length, n > 0 ? at : "\xEF\xBF\xBD", n > 0 ? (size_t)n : 3);
        *length += n > 0 ? (size_t)n : 3;
        at += abs(n);
    }
    return out;
}

/* ---- The command ----------------------------------------------------------------------------- */

static int64_t *parse_numbers(const char *list, size_t *count) { /* 1,2,3 */
    int64_t *numbers = array(strlen(list) / 2 + 1, sizeof *numbers);
    const char *at = list;
    for (*count = 0;; at++) {
        size_t digits = strspn(at, "0123456789");
        if (digits < 1 || digits > 9 || (at[digits] && at[digits] != ','))
            fail("expected numbers as 1,2,3, found %s", list);
        numbers[(*count)++] = strtol(at, NULL, 10);
        at += digits;
        if (!*at)
            return numbers;
    }
}

static void check_ids(const int64_t *ids, size_t T, const Config *config) {
    if (T == 0)
        fail("expected token ids, found none");
    for (size_t t = 0; t < T; t++)
        if (ids[t] < 0 || (size_t)ids[t] >= config->V)
            fail("expected token ids from 0 to %zu, found %lld", config->V - 1, (long long)ids[t]);
}

static void write_text(const Model *model, const int64_t *ids, size_t T, size_t n,
                       const char *tokenizer) {
    int64_t *new = array(n, sizeof *new);
    size_t count = generate(model, ids, T, n, new), length = 0;
    for (size_t i = 0; i < count; i++)
        printf(i ? " %lld" : "%lld", (long long)new[i]);
    printf("\n");
    if (exists(tokenizer)) {
        const char *decoded = decode(read_vocabulary(tokenizer), new, count, &length);
        fwrite(decoded, 1, length, stdout);
        printf("\n");
    }
    if (fflush(stdout) || ferror(stdout))
        fail("the text could not be written");
}

/* Every stage of a text that is read in pieces of so many tokens. */
static void write_trace(const Model *model, const int64_t *ids, size_t T, const int64_t *pieces,
                        size_t count, const char *path) {
    Cache cache = new_cache(&model->config, T);
    size_t sum = 0;
    for (size_t i = 0; i < count; sum += (size_t)pieces[i++])
        if (pieces[i] < 1)
            fail("expected pieces of a token at least, found %lld", (long long)pieces[i]);
    if (sum != T)
        fail("expected pieces of %zu tokens together, found %zu", T, sum);
    FILE *trace = open_file(path, "wb");
    fprintf(trace, "ids int64 %zu\n", T);
    fwrite(ids, sizeof *ids, T, trace);
    for (size_t i = 0; i < count; i++) {
        void *since = mark();
        forward(model, ids + cache.start, (size_t)pieces[i], &cache, 0, trace);
        release(since);
    }
    if (ferror(trace) | fclose(trace))
        fail("%s: could not be written", path);
}

int main(int argc, char **argv) {
    const uint16_t one = 1;
    const int traced = argc > 1 && strcmp(argv[1], "--trace") == 0;
    char **words = argv + (traced ? 3 : 1); /* DIR IDS, and N or PIECES */
    const int count = argc - (traced ? 3 : 1);
    size_t T, n;
    if (*(const uint8_t *)&one != 1)
        fail("expected a little-endian machine, as the files are");
    if (count < 2 || count > 3 || words[0][0] == '-')
        fail("expected DIR IDS [N], or --trace FILE DIR IDS [PIECES]");
    const int64_t *ids = parse_numbers(words[1], &T);
    const char *list = count == 3 ? words[2] : traced ? text("%zu", T) : "20";
    const int64_t *numbers = parse_numbers(list, &n);
    const Model model = load(words[0]);
    check_ids(ids, T, &model.config);
    if (traced)
        write_trace(&model, ids, T, numbers, n, argv[2]);
    else if (n == 1)
        write_text(&model, ids, T, (size_t)numbers[0], text("%s/tokenizer.json", words[0]));
    else
        fail("expected one number of tokens, found %s", list);
    return 0;
}
