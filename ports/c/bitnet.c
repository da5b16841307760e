/* BitNet b1.58 2B4T on one page, in C99: from a checkpoint's files to the next token, libm alone.

   It is minibitnet/one_page.py function for function and name for name, to be ported on by whoever
   reads C. The model stands first, from `load` to `generate`: a third of the file. Behind it stands
   what Python has and C has not (memory, JSON), then the files of a checkpoint, text, test vectors.

   A sum of floats is carried in double and rounded to float once, so that no order of adding shows.
   Everything else is float or an integer. Rounding to an integer takes ties to the even one. The
   compiler must round a product before it adds to it: -ffp-contract=off, and never -ffast-math.

   T tokens now, S tokens so far, D hidden size, H query heads, G key/value heads, d head size,
   F feed-forward size, V vocabulary size, L layers; a matrix has M rows (outputs) and N columns
   (inputs). An array is its numbers, row after row: element t, n of x (T, N) is x[t * N + n].

       cc -O2 -ffp-contract=off bitnet.c -lm -o bitnet
       ./bitnet DIR 128000,9906,11 [N]                 the next N (20) token ids, and their text
       ./bitnet --trace FILE.trace DIR IDS [3,1,1]     every array of the computation (in pieces)
       ./bitnet --vectors SET OUT                      answers to a set of test vectors           */

#define _POSIX_C_SOURCE 200809L /* to list and make directories, which C99 cannot */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#if FLT_EVAL_METHOD != 0
#error "a float must be computed as a float (on a 32-bit x86: -msse2 -mfpmath=sse)"
#endif

/* ---- What stands at the end of the file ------------------------------------------------------ */

typedef struct Json { /* a value of a JSON text */
    enum { NOTHING, NO, YES, NUMBER, STRING, LIST, OBJECT } kind;
    double number;
    int whole;              /* a number without point and exponent */
    char *text;             /* of a string, in UTF-8 */
    size_t length;          /* of a string, in bytes; of a list or object, how many values */
    char *key;              /* under which it stands in its object */
    struct Json *in, *next; /* the first value inside; the next one beside */
} Json;

typedef struct { /* an array of a safetensors file: a matrix, or with 0 rows a vector */
    const char *name, *file;
    enum { U8, BF16, F16, F32 } dtype;
    size_t rows, columns, count;
    const uint8_t *bytes;
    int used;
} Tensor;

typedef struct {
    Tensor *all; /* in the order of their names */
    size_t count;
} Tensors;

enum { MOST = (1 << 24) - 1 }; /* of any axis: int32 then holds every sum of products */

static void fail(const char *format, ...);     /* one line on stderr, and status 1 */
static void *array(size_t count, size_t size); /* memory, never NULL */
static void *mark(void);                       /* remembers what memory there is, */
static void release(void *since);              /* to free all that came later */
static char *text(const char *format, ...);    /* printf, into memory */
static int exists(const char *path);
static Json *read_json(const char *path);
static const Json *get(const Json *object, const char *key); /* NULL if missing or null */
static int is(const Json *value, const char *word);
static int is_a(const Json *value, int kind);
static size_t whole(const Json *object, const char *key, const char *path);
static double number(const Json *object, const char *key, double low, double high,
                     const char *path);
static int is_end(const Json *eos_token_id, int64_t id);
static void refuse_others(const Json *config, const char *path);
static Tensors load_tensors(const char *directory);
static Tensor *find(const Tensors *tensors, const char *name); /* NULL if missing */
static const Tensor *take(const Tensors *tensors, const char *name, size_t rows, size_t columns,
                          int packed); /* a vector has 0 rows */
static void check_packed(const char *name, const uint8_t *packed, size_t count);
static void check_scale(const char *name, float scale);
static void refuse_ternary(const Tensor *stored, const float *W);
static void refuse_unused(const Tensors *tensors);

/* ---- Numbers, arrays, and the one thing that changes ----------------------------------------- */

typedef struct {
    size_t H, G, D, F, V, L, d;
    double rope_theta, rms_norm_eps;
    int bitnet;               /* 2B4T's architecture, or else Llama's */
    int relu2;                /* or else SiLU */
    int divides;              /* a stored weight_scale, which otherwise multiplies */
    int quantized;            /* config.json says how the matrices are stored */
    int online;               /* and that floats are masters, to be made ternary */
    int untied;               /* the head must be an array of its own */
    const Json *eos_token_id; /* one or several */
} Config;

typedef struct { /* a ternary matrix: real weights are codes * scale */
    size_t M, N;
    const uint8_t *packed; /* (R, N), where R is M / 4 rounded up */
    float scale;
} Matrix;

typedef struct {
    float *input_layernorm, *post_attention_layernorm; /* (D,) */
    float *attn_sub_norm, *ffn_sub_norm;               /* (H * d,) and (F,); NULL in Llama's */
    Matrix q, k, v, o, gate, up, down;
} Layer;

typedef struct {
    Config config;
    const Tensor *embed_tokens, *lm_head; /* (V, D) */
    Layer *layers;                        /* L of them */
    float *norm;                          /* (D,) */
} Model;

typedef struct { /* keys and values of the tokens so far */
    size_t start;   /* how many tokens */
    float **k, **v; /* of each layer (S, G, d) */
} Cache;

typedef struct { /* activations: real values are codes * scale */
    size_t T, N;
    int8_t *codes; /* (T, N) */
    float *scale;  /* (T, 1) */
} Codes;

typedef struct { /* where the stages go: into a stream, to a test vector, or nowhere */
    FILE *stream;
    struct Vector *vector;
    const char *prefix; /* of the layer */
} Trace;

/* ---- The model ------------------------------------------------------------------------------- */

static Config load_config(const char *path, const char *generation) /* what the files say */
{
    const Json *json = read_json(path), *rope, *quantization;
    Config c = {.rope_theta = 500000.0, .rms_norm_eps = 1e-5}; /* what a missing key means */

    refuse_others(json, path);
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
    if (get(json, "rms_norm_eps"))
        c.rms_norm_eps = number(json, "rms_norm_eps", 1e-30, 1, path);
    if (get(json, "rope_theta"))
        c.rope_theta = number(json, "rope_theta", 1, 1e30, path);
    rope = get(json, "rope_parameters"); /* where newer files have rope_theta */
    if (get(rope, "rope_theta"))
        c.rope_theta = number(rope, "rope_theta", 1, 1e30, path);
    quantization = get(json, "quantization_config");
    c.bitnet = is(get(json, "model_type"), "bitnet");
    c.relu2 = is(get(json, "hidden_act"), "relu2");
    c.divides = !is(get(quantization, "linear_class"), "autobitlinear");
    c.quantized = get(quantization, "quant_method") || get(quantization, "linear_class");
    c.online = is(get(quantization, "quantization_mode"), "online");
    c.untied = is_a(get(json, "tie_word_embeddings"), NO);
    c.eos_token_id = get(json, "eos_token_id");
    if (exists(generation)) /* 2B4T's config.json names only one of its two end-of-text ids */
        c.eos_token_id = get(read_json(generation), "eos_token_id");
    return c;
}

static float half(uint16_t bits) /* float16: a sign, 5 bits of exponent, 10 of fraction */
{
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float size = exponent == 31  ? fraction ? NAN : INFINITY
                 : exponent == 0 ? ldexpf((float)fraction, -24)
                                 : ldexpf((float)(1024 + fraction), exponent - 25);
    return bits >> 15 ? -size : size;
}

static void widen(const uint8_t *stored, int dtype, size_t count, float *values)
{
    if (dtype == F32)
        memcpy(values, stored, 4 * count); /* a file does not align its numbers */
    for (size_t i = 0; i < count && dtype != F32; i++) {
        uint16_t bits;
        uint32_t upper;
        memcpy(&bits, stored + 2 * i, 2);
        upper = (uint32_t)bits << 16; /* bfloat16 is the upper half of a float */
        memcpy(&values[i], &upper, 4);
        if (dtype == F16)
            values[i] = half(bits);
    }
}

static float *widened(const Tensor *stored) /* a whole array */
{
    float *values = array(stored->count, sizeof *values);
    widen(stored->bytes, stored->dtype, stored->count, values);
    return values;
}

static void unpack(const uint8_t *packed, size_t M, size_t N, int8_t *codes) /* -> (M, N) */
{
    size_t R = (M + 3) / 4; /* a byte has rows r, R + r, 2R + r, 3R + r; codes are stored plus 1 */
    for (size_t m = 0; m < M; m++)
        for (size_t n = 0; n < N; n++)
            codes[m * N + n] = (int8_t)((packed[m % R * N + n] >> 2 * (m / R) & 3) - 1);
}

static void pack(const int8_t *codes, size_t M, size_t N, uint8_t *packed) /* only for masters */
{
    size_t R = (M + 3) / 4;
    memset(packed, 0, R * N);
    for (size_t m = 0; m < M; m++)
        for (size_t n = 0; n < N; n++)
            packed[m % R * N + n] |= (uint8_t)((codes[m * N + n] + 1) << 2 * (m / R));
}

static float clip(float x, float low, float high)
{
    return x > low ? x < high ? x : high : low;
}

/* W (M, N) -> codes -1, 0, +1 (M, N) and one scale: only for masters */
static float quantize_weights(const float *W, size_t M, size_t N, int8_t *codes)
{
    double sum = 0;
    float scale;
    for (size_t i = 0; i < M * N; i++)
        sum += fabs((double)W[i]);
    scale = (float)(sum / (double)(M * N));
    scale = scale > 1e-5f ? scale : 1e-5f;
    for (size_t i = 0; i < M * N; i++)
        codes[i] = (int8_t)clip(rintf(W[i] / scale), -1, 1);
    return scale;
}

/* x (T, N) -> int8 codes (T, N) and a scale per token (T, 1) */
static Codes quantize_activations(const float *x, size_t T, size_t N)
{
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

/* A matrix (M, N) by its name. The page makes it at each use, this once. */
static Matrix ternary(const Config *config, const Tensors *tensors, const char *name, size_t M,
                      size_t N)
{
    size_t R = (M + 3) / 4;
    const Tensor *stored = find(tensors, text("%s.weight", name));
    Matrix matrix = {.M = M, .N = N};
    if (stored && stored->dtype != U8) { /* a master in full precision */
        uint8_t *packed = array(R * N, 1);
        void *since = mark();
        int8_t *codes = array(M * N, 1);
        const float *W = widened(take(tensors, stored->name, M, N, 0));
        if (!config->bitnet && !config->quantized)
            fail("%s: expected a BitNet model, found full-precision weights", stored->name);
        if (!config->online)
            refuse_ternary(stored, W);
        matrix.scale = quantize_weights(W, M, N, codes);
        pack(codes, M, N, packed);
        release(since);
        matrix.packed = packed;
        return matrix;
    }
    matrix.packed = take(tensors, text("%s.weight", name), R, N, 1)->bytes;
    matrix.scale = *widened(take(tensors, text("%s.weight_scale", name), 0, 1, 0));
    check_packed(name, matrix.packed, R * N);
    check_scale(name, matrix.scale);
    if (!config->quantized)
        fail("%s: expected config.json to say what its scale means, found nothing", name);
    if (config->divides)
        matrix.scale = 1 / matrix.scale; /* stored the other way round; in 2B4T it multiplies */
    return matrix;
}

/* Gains of a norm by its name. */
static float *gain(const Tensors *tensors, size_t layer, const char *name, size_t N)
{
    return widened(take(tensors, text("model.layers.%zu.%s.weight", layer, name), 0, N, 0));
}

static Model load(const char *directory)
{
    Model model = {.config = load_config(text("%s/config.json", directory),
                                         text("%s/generation_config.json", directory))};
    const Config *c = &model.config;
    const Tensors all = load_tensors(directory), *tensors = &all;
    const size_t H = c->H, G = c->G, D = c->D, F = c->F, V = c->V, d = c->d;

    model.embed_tokens = take(tensors, "model.embed_tokens.weight", V, D, 0);
    model.lm_head = model.embed_tokens; /* in 2B4T the embedding once more */
    if (c->untied || find(tensors, "lm_head.weight"))
        model.lm_head = take(tensors, "lm_head.weight", V, D, 0);
    model.norm = widened(take(tensors, "model.norm.weight", 0, D, 0));
    if (c->L > all.count)
        fail("%s: expected %zu layers, found %zu arrays", directory, c->L, all.count);
    model.layers = array(c->L, sizeof *model.layers);
    for (size_t n = 0; n < c->L; n++) {
        const char *name = text("model.layers.%zu", n);
        Layer layer = {
            .input_layernorm = gain(tensors, n, "input_layernorm", D),
            .q = ternary(c, tensors, text("%s.self_attn.q_proj", name), H * d, D),
            .k = ternary(c, tensors, text("%s.self_attn.k_proj", name), G * d, D),
            .v = ternary(c, tensors, text("%s.self_attn.v_proj", name), G * d, D),
            .o = ternary(c, tensors, text("%s.self_attn.o_proj", name), D, H * d),
            .post_attention_layernorm = gain(tensors, n, "post_attention_layernorm", D),
            .gate = ternary(c, tensors, text("%s.mlp.gate_proj", name), F, D),
            .up = ternary(c, tensors, text("%s.mlp.up_proj", name), F, D),
            .down = ternary(c, tensors, text("%s.mlp.down_proj", name), D, F),
        };
        if (c->bitnet || find(tensors, text("%s.self_attn.attn_sub_norm.weight", name)))
            layer.attn_sub_norm = gain(tensors, n, "self_attn.attn_sub_norm", H * d);
        if (c->bitnet || find(tensors, text("%s.mlp.ffn_sub_norm.weight", name)))
            layer.ffn_sub_norm = gain(tensors, n, "mlp.ffn_sub_norm", F);
        model.layers[n] = layer;
    }
    refuse_unused(tensors);
    return model;
}

/* The sum of a[i] * b[i], in eight sums that a compiler can carry side by side. */
static double dot(const float *a, const float *b, size_t N)
{
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
static float *rms_norm(const float *x, size_t T, size_t N, const float *gain, double eps)
{
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
                      float *sine)
{
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
                   const float *sine)
{
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

static void softmax(double *scores, size_t S) /* in place */
{
    double largest = scores[0], sum = 0;
    for (size_t s = 0; s < S; s++)
        if (scores[s] > largest)
            largest = scores[s];
    for (size_t s = 0; s < S; s++)
        sum += scores[s] = exp(scores[s] - largest);
    for (size_t s = 0; s < S; s++)
        scores[s] /= sum;
}

/* q (T, H, d) of the last T of S tokens, k and v (S, G, d) -> attn (T, H * d) */
static float *attend(const float *q, const float *k, const float *v, size_t T, size_t S, size_t H,
                     size_t G, size_t d)
{
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

static float relu2(float gate)
{
    return gate > 0 ? gate * gate : 0;
}

static float silu(float gate) /* other models only: in 2B4T it gives fluent nonsense */
{
    return (float)((double)gate / (1 + exp(-(double)gate)));
}

/* gate, up (T, F) -> y (T, F) */
static float *relu2_gate(const float *gate, const float *up, size_t count, int squared)
{
    float *y = array(count, sizeof *y);
    for (size_t i = 0; i < count; i++)
        y[i] = (squared ? relu2(gate[i]) : silu(gate[i])) * up[i];
    return y;
}

/* codes (T, N), w (M, N) -> acc (T, M): add, subtract, skip */
static int32_t *product(Codes x, const Matrix *w)
{
    size_t T = x.T, N = w->N, M = w->M, R = (M + 3) / 4;
    int32_t *acc = array(T * M, sizeof *acc);
    int16_t *wide = array(T * N, sizeof *wide); /* a compiler multiplies 16 of these at once */
    for (size_t i = 0; i < T * N; i++)
        wide[i] = x.codes[i];
    for (size_t r = 0; r < R; r++)
        for (size_t t = 0; t < T; t++) {
            const uint8_t *row = w->packed + r * N;
            const int16_t *codes = wide + t * N;
            int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0; /* of rows r, R + r, 2R + r, 3R + r */
            for (size_t n = 0; n < N; n++) {
                int16_t byte = row[n];
                int16_t code0 = (byte & 3) - 1, code1 = (byte >> 2 & 3) - 1;
                int16_t code2 = (byte >> 4 & 3) - 1, code3 = (byte >> 6) - 1;
                sum0 += code0 * codes[n];
                sum1 += code1 * codes[n];
                sum2 += code2 * codes[n];
                sum3 += code3 * codes[n];
            }
            const int32_t sums[4] = {sum0, sum1, sum2, sum3};
            for (size_t band = 0; band < 4; band++) {
                size_t m = band * R + r;
                if (m < M)
                    acc[t * M + m] = sums[band];
            }
        }
    return acc;
}

/* acc (T, M), x_scale (T, 1) -> y (T, M) */
static float *rescale(const int32_t *acc, size_t T, size_t M, const float *x_scale, float w_scale)
{
    float *y = array(T * M, sizeof *y);
    for (size_t t = 0; t < T; t++)
        for (size_t m = 0; m < M; m++)
            y[t * M + m] = (float)acc[t * M + m] * (x_scale[t] * w_scale);
    return y;
}

/* h (T, D), head (V, D) -> logits (T, V) */
static float *head_logits(const float *h, size_t T, const Tensor *head)
{
    size_t V = head->rows, D = head->columns;
    float *logits = array(T * V, sizeof *logits), *row = array(D, sizeof *row);
    for (size_t token = 0; token < V; token++) {
        widen(head->bytes + token * D * (head->dtype == F32 ? 4 : 2), head->dtype, D, row);
        for (size_t t = 0; t < T; t++)
            logits[t * V + token] = (float)dot(h + t * D, row, D);
    }
    return logits;
}

/* Every array (T, rows, columns) of the computation has a name; 0 columns: it is (T, rows). Here
   it is written where it is wanted, and ends the program if it is not finite. */
static void stage(const Trace *trace, const char *name, const char *dtype, const void *values,
                  size_t T, size_t rows, size_t columns);

/* Quantize what one or several matrices read, x (T, N). */
static Codes quantize(const Trace *trace, const char *name, const float *x, size_t T, size_t N)
{
    Codes codes = quantize_activations(x, T, N);
    stage(trace, text("%s.codes", name), "int8", codes.codes, T, N, 0);
    stage(trace, text("%s.scale", name), "float32", codes.scale, T, 1, 0);
    return codes;
}

/* x (T, N), w (M, N) -> y (T, M) */
static float *linear(const Trace *trace, const char *name, Codes x, const Matrix *w)
{
    int32_t *acc = product(x, w);
    float *y = rescale(acc, x.T, w->M, x.scale, w->scale);
    stage(trace, text("%s.acc", name), "int32", acc, x.T, w->M, 0);
    stage(trace, name, "float32", y, x.T, w->M, 0);
    return y;
}

/* ids (T,) -> logits of the last `wanted` tokens (wanted, V); the cache has room for T more. */
static float *forward(const Model *model, const int64_t *ids, size_t T, Cache *cache,
                      size_t wanted, Trace *trace)
{
    const Config *c = &model->config;
    const size_t H = c->H, G = c->G, D = c->D, F = c->F, d = c->d, start = cache->start;
    const double eps = c->rms_norm_eps;
    float *cosine = array(T * d / 2, sizeof *cosine), *sine = array(T * d / 2, sizeof *sine);
    float *h = array(T * D, sizeof *h), *logits;
    int32_t *positions = array(T, sizeof *positions);

    for (size_t t = 0; t < T; t++) {
        const Tensor *embedding = model->embed_tokens;
        size_t width = embedding->dtype == F32 ? 4 : 2;
        positions[t] = (int32_t)(start + t);
        widen(embedding->bytes + (size_t)ids[t] * D * width, embedding->dtype, D, h + t * D);
    }
    rotations(positions, T, d, c->rope_theta, cosine, sine);
    trace->prefix = "";
    stage(trace, "embed", "float32", h, T, D, 0);
    for (size_t n = 0; n < c->L; n++) {
        const Layer *layer = &model->layers[n];
        void *since = mark();
        trace->prefix = text("layers.%zu.", n);

        float *x = rms_norm(h, T, D, layer->input_layernorm, eps);
        stage(trace, "attn_norm", "float32", x, T, D, 0);
        Codes attn_in = quantize(trace, "attn_in", x, T, D);
        float *q = linear(trace, "q", attn_in, &layer->q);
        float *k = linear(trace, "k", attn_in, &layer->k);
        float *v = linear(trace, "v", attn_in, &layer->v);
        rotate(q, T, H, d, cosine, sine);
        stage(trace, "q.rope", "float32", q, T, H, d);
        rotate(k, T, G, d, cosine, sine);
        stage(trace, "k.rope", "float32", k, T, G, d);
        memcpy(cache->k[n] + start * G * d, k, T * G * d * sizeof *k);
        memcpy(cache->v[n] + start * G * d, v, T * G * d * sizeof *v);
        x = attend(q, cache->k[n], cache->v[n], T, start + T, H, G, d);
        stage(trace, "attn", "float32", x, T, H * d, 0);
        if (layer->attn_sub_norm) {
            x = rms_norm(x, T, H * d, layer->attn_sub_norm, eps);
            stage(trace, "attn_sub_norm", "float32", x, T, H * d, 0);
        }
        Codes attn_out = quantize(trace, "attn_out", x, T, H * d);
        float *o = linear(trace, "o", attn_out, &layer->o);
        for (size_t i = 0; i < T * D; i++)
            h[i] += o[i];
        stage(trace, "attn_residual", "float32", h, T, D, 0);

        x = rms_norm(h, T, D, layer->post_attention_layernorm, eps);
        stage(trace, "ffn_norm", "float32", x, T, D, 0);
        Codes ffn_in = quantize(trace, "ffn_in", x, T, D);
        float *gate = linear(trace, "gate", ffn_in, &layer->gate);
        float *up = linear(trace, "up", ffn_in, &layer->up);
        x = relu2_gate(gate, up, T * F, c->relu2);
        stage(trace, "relu2_gate", "float32", x, T, F, 0);
        if (layer->ffn_sub_norm) {
            x = rms_norm(x, T, F, layer->ffn_sub_norm, eps);
            stage(trace, "ffn_sub_norm", "float32", x, T, F, 0);
        }
        Codes ffn_out = quantize(trace, "ffn_out", x, T, F);
        float *down = linear(trace, "down", ffn_out, &layer->down);
        for (size_t i = 0; i < T * D; i++)
            h[i] += down[i];
        stage(trace, "ffn_residual", "float32", h, T, D, 0);
        release(since);
    }
    trace->prefix = "";
    h = rms_norm(h, T, D, model->norm, eps);
    stage(trace, "final_norm", "float32", h, T, D, 0);
    logits = head_logits(h + (T - wanted) * D, wanted, model->lm_head);
    stage(trace, "logits", "float32", logits, wanted, c->V, 0);
    cache->start += T;
    return logits;
}

static size_t greedy(const float *logits, size_t V) /* of equals the first */
{
    size_t best = 0;
    for (size_t token = 0; token < V; token++)
        if (logits[token] > logits[best])
            best = token;
    return best;
}

static Cache new_cache(const Config *config, size_t tokens)
{
    size_t each = tokens * config->G * config->d;
    Cache cache = {.k = array(config->L, sizeof *cache.k), .v = array(config->L, sizeof *cache.v)};
    for (size_t n = 0; n < config->L; n++) {
        cache.k[n] = array(each, sizeof **cache.k);
        cache.v[n] = array(each, sizeof **cache.v);
    }
    return cache;
}

/* At most n new ids, each time the most likely one; returns how many. */
static size_t generate(const Model *model, const int64_t *ids, size_t T, size_t n, int64_t *new)
{
    Cache cache = new_cache(&model->config, T + n);
    Trace nowhere = {0};
    for (size_t i = 0; i < n; i++) {
        void *since = mark();
        const float *logits = forward(model, ids, T, &cache, 1, &nowhere);
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

typedef union Block { /* stands before each piece of memory */
    union Block *earlier;
    long double alignment;
} Block;

static Block *blocks;     /* the latest first */
static jmp_buf *refusing; /* where `fail` goes while vectors are answered */

static void fail(const char *format, ...)
{
    char line[500];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    for (char *c = line; *c; c++)
        if (*c < ' ' || *c > '~') /* a name from a file could steer the terminal */
            *c = '?';
    fprintf(stderr, "bitnet: %s\n", line);
    if (refusing)
        longjmp(*refusing, 1);
    exit(1);
}

static void *array(size_t count, size_t size)
{
    Block *block = NULL;
    if (count < (SIZE_MAX - sizeof *block) / size)
        block = malloc(sizeof *block + count * size);
    if (!block)
        fail("expected memory for %zu numbers, found none", count);
    block->earlier = blocks;
    blocks = block;
    return block + 1;
}

static void *mark(void)
{
    return blocks;
}

static void release(void *since)
{
    while (blocks != since) {
        Block *block = blocks;
        blocks = block->earlier;
        free(block);
    }
}

static char *text(const char *format, ...)
{
    char *written;
    int length;
    va_list arguments;
    va_start(arguments, format);
    length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    written = array((size_t)length + 1, 1);
    va_start(arguments, format);
    vsnprintf(written, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return written;
}

static FILE *open_file(const char *path, const char *mode)
{
    FILE *file = fopen(path, mode);
    if (!file)
        fail("%s: %s", path, strerror(errno));
    return file;
}

static void close_file(FILE *file, const char *path)
{
    int broken = ferror(file);
    if (fclose(file) || broken)
        fail("%s: could not be written", path);
}

static int exists(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0;
}

/* The bytes of a file, a 0 behind them. */
static void *read_file(const char *path, size_t *size)
{
    struct stat status;
    FILE *file;
    char *bytes;
    if (stat(path, &status))
        fail("%s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode)) /* a pipe would wait for ever */
        fail("%s: expected a file, found something else", path);
    *size = (size_t)status.st_size;
    bytes = array(*size + 1, 1);
    file = open_file(path, "rb");
    if (fread(bytes, 1, *size, file) != *size) {
        fclose(file);
        fail("%s: expected %zu bytes, found fewer", path, *size);
    }
    fclose(file);
    bytes[*size] = '\0';
    return bytes;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* The bytes of the UTF-8 character at `at`; if there is none, minus those that began one. */
static int utf8(const uint8_t *at, const uint8_t *end)
{
    int more = (*at >= 0xC2) + (*at >= 0xE0) + (*at >= 0xF0);
    int low = *at == 0xE0 ? 0xA0 : *at == 0xF0 ? 0x90 : 0x80; /* no longer than it must be, */
    int high = *at == 0xED ? 0x9F : *at == 0xF4 ? 0x8F : 0xBF; /* no surrogate, not too large */
    for (int i = 1; i <= more; i++, low = 0x80, high = 0xBF)
        if (at + i >= end || at[i] < low || at[i] > high)
            return -i;
    return (*at >= 0x80 && *at < 0xC2) || *at >= 0xF5 ? -1 : more + 1;
}

typedef struct {
    const char *path;
    char *at; /* the text ends in a 0 */
    int depth;
} Reader;

static void expected(Reader *reader, const char *what)
{
    const char *found = *reader->at ? reader->at : "its end";
    fail("%s: expected %s in JSON, found %.10s", reader->path, what, found);
}

static char *skip_space(Reader *reader)
{
    reader->at += strspn(reader->at, " \t\r\n");
    return reader->at;
}

static unsigned read_hex(Reader *reader) /* XXXX, behind the \u */
{
    char digits[5] = {0};
    if (strspn(reader->at, "0123456789abcdefABCDEF") < 4)
        expected(reader, "four hexadecimal digits");
    memcpy(digits, reader->at, 4);
    reader->at += 4;
    return (unsigned)strtoul(digits, NULL, 16);
}

static char *write_utf8(char *out, unsigned code)
{
    static const unsigned first[] = {0, 0xC0, 0xE0, 0xF0};
    int more = (code >= 0x80) + (code >= 0x800) + (code >= 0x10000);
    *out++ = (char)(first[more] | code >> 6 * more);
    while (more--)
        *out++ = (char)(0x80 | (code >> 6 * more & 63));
    return out;
}

/* A string, unescaped where it stands: it only gets shorter. */
static char *read_string(Reader *reader, size_t *length)
{
    char *start = ++reader->at, *out = start;
    while (*reader->at != '"') {
        const char *escapes = "\"\"\\\\//b\bf\fn\nr\rt\t", *escape;
        unsigned code;
        if ((unsigned char)*reader->at < 0x20)
            expected(reader, "the end of a string");
        if (*reader->at != '\\') {
            *out++ = *reader->at++;
            continue;
        }
        reader->at += 2;
        if (reader->at[-1] == 'u') {
            code = read_hex(reader);
            if (code >> 10 == 0x36 && reader->at[0] == '\\' && reader->at[1] == 'u') {
                unsigned low = (reader->at += 2, read_hex(reader)); /* two halves of a pair */
                code = low >> 10 == 0x37 ? 0x10000 + ((code & 1023) << 10 | (low & 1023)) : 0;
            }
            if (code == 0 || code >> 11 == 0x1B)
                expected(reader, "a character");
            out = write_utf8(out, code);
            continue;
        }
        for (escape = escapes; *escape && *escape != reader->at[-1];)
            escape += 2;
        if (!*escape)
            reader->at--, expected(reader, "an escape");
        *out++ = escape[1];
    }
    reader->at++;
    *out = '\0';
    *length = (size_t)(out - start);
    return start;
}

static void read_number(Reader *reader, Json *value)
{
    const char *start = reader->at, *digits = start + (*start == '-');
    size_t length = strspn(start, "+-.0123456789eE");
    const char *point = memchr(start, '.', length);
    int leading_zero = digits[0] == '0' && isdigit((unsigned char)digits[1]);
    value->kind = NUMBER;
    value->number = strtod(start, &reader->at);
    value->whole = digits + strspn(digits, "0123456789") == reader->at;
    if (!isdigit((unsigned char)digits[0]) || leading_zero || reader->at != start + length ||
        (point && !isdigit((unsigned char)point[1]))) {
        reader->at = (char *)start;
        expected(reader, "a value");
    }
}

static Json *read_value(Reader *reader, char *key)
{
    static const char *const words[] = {"null", "false", "true"};
    Json *value = array(1, sizeof *value), **last = &value->in;
    char opened = *skip_space(reader), closing = opened == '{' ? '}' : ']';
    *value = (Json){.key = key};
    if (opened == '"') {
        value->kind = STRING;
        value->text = read_string(reader, &value->length);
        return value;
    }
    if (opened != '{' && opened != '[') {
        for (int kind = NOTHING; kind <= YES; kind++) {
            size_t length = strlen(words[kind]);
            if (strncmp(reader->at, words[kind], length) == 0) {
                value->kind = kind;
                reader->at += length;
                return value;
            }
        }
        read_number(reader, value);
        return value;
    }
    value->kind = opened == '{' ? OBJECT : LIST;
    if (++reader->depth > 100)
        expected(reader, "at most 100 levels");
    reader->at++;
    while (*skip_space(reader) != closing) {
        char *name = NULL;
        size_t length;
        if (value->length++ && *reader->at++ != ',')
            reader->at--, expected(reader, "a comma");
        if (opened == '{') {
            if (*skip_space(reader) != '"')
                expected(reader, "a key");
            name = read_string(reader, &length);
            if (*skip_space(reader) != ':')
                expected(reader, "a colon");
            reader->at++;
        }
        *last = read_value(reader, name);
        last = &(*last)->next;
    }
    reader->at++;
    reader->depth--;
    return value;
}

/* An object of JSON; the text is changed. */
static Json *parse_json(char *bytes, size_t size, const char *path)
{
    Reader reader = {path, bytes, 0};
    const uint8_t *at = (const uint8_t *)bytes, *end = at + size;
    Json *json;
    for (int n; at < end; at += n)
        if ((n = utf8(at, end)) < 0 || *at == 0)
            fail("%s: expected JSON in UTF-8, found a byte %02x", path, (unsigned)*at);
    if (*skip_space(&reader) != '{')
        expected(&reader, "an object");
    json = read_value(&reader, NULL);
    if (*skip_space(&reader))
        expected(&reader, "the end");
    return json;
}

static Json *read_json(const char *path)
{
    size_t size;
    char *bytes = read_file(path, &size);
    return parse_json(bytes, size, path);
}

static const Json *get(const Json *object, const char *key)
{
    const Json *found = NULL, *value = object && object->kind == OBJECT ? object->in : NULL;
    for (; value; value = value->next)
        if (strcmp(value->key, key) == 0) {
            if (found)
                fail("%s: expected the key once, found it twice", key);
            found = value;
        }
    return found && found->kind != NOTHING ? found : NULL;
}

static int is(const Json *value, const char *word)
{
    return value && value->kind == STRING && strcmp(value->text, word) == 0;
}

static int is_a(const Json *value, int kind)
{
    return value && (int)value->kind == kind;
}

static size_t whole(const Json *object, const char *key, const char *path)
{
    const Json *value = get(object, key);
    if (!value || !value->whole || value->number < 1 || value->number > MOST)
        fail("%s: %s: expected a whole number from 1 to %d", path, key, MOST);
    return (size_t)value->number;
}

static double number(const Json *object, const char *key, double low, double high,
                     const char *path)
{
    const Json *value = get(object, key);
    if (!value || value->kind != NUMBER || !(value->number >= low && value->number <= high))
        fail("%s: %s: expected a number from %g to %g", path, key, low, high);
    return value->number;
}

static const char *word(const Json *object, const char *key, const char *allowed, const char *path)
{
    const Json *value = get(object, key);
    if (!value || value->kind != STRING || (allowed && !strstr(allowed, text(" %s ", value->text))))
        fail("%s: %s: found %s, expected%s", path, key,
             value && value->kind == STRING ? value->text : "something else",
             allowed ? allowed : " text");
    return value->text;
}
/* ---- The files of a checkpoint --------------------------------------------------------------- */

/* A key nobody reads may be the one that makes another model of the weights. So what is neither
   read nor known to be harmless must be null or false. */
static void refuse_keys(const Json *object, const char *known, const char *path)
{
    for (const Json *value = object ? object->in : NULL; value; value = value->next) {
        const char *at = strstr(known, text(" %s ", value->key));
        if ((!at || strchr(value->key, ' ')) && value->kind != NOTHING && value->kind != NO)
            fail("%s: %s: expected no such key (if it changes no number, take it out)", path,
                 value->key);
    }
}

static void refuse_others(const Json *json, const char *path)
{
    const Json *quantization = get(json, "quantization_config"), *class, *value;
    const char *const ropes[] = {"rope_parameters", "rope_scaling"};
    const char *const ones[] = {"pretraining_tp", "partial_rotary_factor", "logits_scaling",
                                "residual_multiplier", "embedding_multiplier"};

    refuse_keys(json,
                " architectures model_type hidden_size intermediate_size num_hidden_layers "
                "num_attention_heads num_key_value_heads head_dim vocab_size hidden_act "
                "rms_norm_eps rope_theta rope_parameters rope_scaling quantization_config "
                "eos_token_id tie_word_embeddings max_position_embeddings bos_token_id "
                "pad_token_id auto_map attention_dropout dtype torch_dtype initializer_range "
                "transformers_version use_cache _name_or_path input_bits pretraining_tp "
                "partial_rotary_factor logits_scaling residual_multiplier embedding_multiplier ",
                path);
    refuse_keys(quantization, " quant_method linear_class quantization_mode rms_norm_eps "
                "modules_to_not_convert ", path);
    word(json, "model_type", " bitnet llama ", path);
    word(json, "hidden_act", " relu2 silu ", path);
    if (get(quantization, "quant_method"))
        word(quantization, "quant_method", " bitnet ", path);
    class = get(quantization, "linear_class");
    if (class)
        word(quantization, "linear_class", " autobitlinear bitlinear ", path);
    value = get(json, "architectures");
    for (value = value ? value->in : NULL; value; value = value->next)
        if (!is(value, "BitNetForCausalLM") && !is(value, "LlamaForCausalLM"))
            fail("%s: architectures: expected BitNetForCausalLM or LlamaForCausalLM", path);
    for (size_t i = 0; i < 2; i++) { /* no scaling */
        const Json *rope = get(json, ropes[i]);
        refuse_keys(rope, i == 0 ? " rope_type type rope_theta " : " rope_type type ", path);
        if (get(rope, "rope_type"))
            word(rope, "rope_type", " default ", path);
        if (get(rope, "type"))
            word(rope, "type", " default ", path);
    }
    for (size_t i = 0; i < sizeof ones / sizeof *ones; i++)
        if (get(json, ones[i]))
            number(json, ones[i], 1, 1, path);
    if (get(json, "input_bits"))
        number(json, "input_bits", 8, 8, path);
    value = get(quantization, "modules_to_not_convert");
    for (value = value ? value->in : NULL; value; value = value->next)
        if (!is(value, "lm_head") && !is(value, "model.embed_tokens") && !is(value, "model.norm"))
            fail("%s: modules_to_not_convert: expected no ternary matrix in it", path);
}

static void check_packed(const char *name, const uint8_t *packed, size_t count)
{
    uint8_t threes = 0; /* two bits that are 3 are no code */
    for (size_t i = 0; i < count; i++)
        threes |= packed[i] & packed[i] >> 1 & 0x55;
    if (threes)
        fail("%s: expected 2-bit codes 0, 1 and 2, found a 3", name);
}

static void check_scale(const char *name, float scale)
{
    if (!(scale >= FLT_MIN && scale < INFINITY))
        fail("%s: expected a scale above 0, found %g", name, (double)scale);
}

/* Some files have codes times scale in place of a master; absmean would make the scale smaller. */
static void refuse_ternary(const Tensor *stored, const float *W)
{
    float largest = 0;
    size_t others = 0;
    for (size_t i = 0; i < stored->count; i++)
        if (fabsf(W[i]) > largest)
            largest = fabsf(W[i]);
    for (size_t i = 0; i < stored->count; i++)
        others += W[i] != 0 && fabsf(W[i]) != largest;
    if (!others && largest > 0)
        fail("%s: expected weights in full precision, found ternary ones", stored->name);
}

static void check_finite(const Tensor *stored)
{
    float values[256];
    size_t width = stored->dtype == F32 ? 4 : 2;
    for (size_t i = 0; i < stored->count && stored->dtype != U8; i += 256) {
        size_t count = stored->count - i < 256 ? stored->count - i : 256, wrong = 0;
        widen(stored->bytes + width * i, (int)stored->dtype, count, values);
        for (size_t n = 0; n < count; n++)
            wrong += !(fabsf(values[n]) <= FLT_MAX);
        if (wrong)
            fail("%s: %s: expected finite numbers, found others", stored->file, stored->name);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const Tensor *)a)->name, ((const Tensor *)b)->name);
}

static int by_place(const void *a, const void *b)
{
    const uint8_t *x = ((const Tensor *)a)->bytes, *y = ((const Tensor *)b)->bytes;
    return (x > y) - (x < y);
}

static int are_whole(const Json *list, size_t most)
{
    const Json *value = is_a(list, LIST) && list->length <= most ? list->in : NULL;
    for (; value; value = value->next)
        if (!value->whole || value->number < 0 || value->number > 1e15)
            return 0;
    return is_a(list, LIST) && list->length <= most;
}

/* The bytes of one safetensors file: a header that says where each array is, and the arrays. */
static void read_tensors(Tensors *tensors, const char *path)
{
    static const char *const names[] = {"U8", "BF16", "F16", "F32"};
    static const size_t widths[] = {1, 2, 2, 4};
    size_t size, header = 0, before = tensors->count;
    const uint8_t *bytes = read_file(path, &size), *data;
    const Json *json, *entry;
    Tensor *all;
    char *copy;

    for (size_t i = 0; i < 8 && size >= 8; i++)
        header |= (size_t)bytes[i] << 8 * i;
    if (size < 8 || header > size - 8)
        fail("%s: expected a header and arrays behind it, found %zu bytes", path, size);
    copy = array(header + 1, 1);
    memcpy(copy, bytes + 8, header);
    copy[header] = '\0';
    json = parse_json(copy, header, path);
    data = bytes + 8 + header;
    size -= 8 + header;
    all = array(before + json->length, sizeof *all);
    if (before)
        memcpy(all, tensors->all, before * sizeof *all);
    tensors->all = all;
    for (entry = json->in; entry; entry = entry->next) {
        const Json *shape = get(entry, "shape"), *offsets = get(entry, "data_offsets"), *axis;
        Tensor tensor = {.name = entry->key, .file = path, .columns = 1, .count = 1};
        size_t begin, end, dtype = 0;
        if (strcmp(entry->key, "__metadata__") == 0)
            continue;
        while (dtype < 4 && !is(get(entry, "dtype"), names[dtype]))
            dtype++;
        if (dtype == 4 || !are_whole(shape, 2) || !are_whole(offsets, 2) || offsets->length != 2)
            fail("%s: %s: expected U8, BF16, F16 or F32, a shape and two offsets", path,
                 entry->key);
        for (axis = shape->in; axis; axis = axis->next) {
            if (axis->number < 1 || axis->number > MOST)
                fail("%s: %s: expected axes of 1 to %d", path, entry->key, MOST);
            if (axis->next)
                tensor.rows = (size_t)axis->number;
            tensor.columns = (size_t)axis->number;
            tensor.count *= (size_t)axis->number;
        }
        begin = (size_t)offsets->in->number;
        end = (size_t)offsets->in->next->number;
        if (begin > end || end > size || end - begin != tensor.count * widths[dtype])
            fail("%s: %s: expected %zu bytes of %zu, found bytes %zu to %zu", path, entry->key,
                 tensor.count * widths[dtype], size, begin, end);
        tensor.dtype = dtype;
        tensor.bytes = data + begin;
        all[tensors->count++] = tensor;
        check_finite(&tensor);
    }
    /* The arrays must be the bytes end to end: else one of them is not what it says. */
    qsort(all + before, tensors->count - before, sizeof *all, by_place);
    for (size_t i = before; i < tensors->count; i++) {
        if (all[i].bytes != data)
            fail("%s: %s: expected it right behind the array before it", path, all[i].name);
        data += all[i].count * widths[all[i].dtype];
        size -= all[i].count * widths[all[i].dtype];
    }
    if (size)
        fail("%s: expected the arrays to end with the file, found %zu bytes more", path, size);
    qsort(all, tensors->count, sizeof *all, by_name);
    for (size_t i = 1; i < tensors->count; i++)
        if (strcmp(all[i - 1].name, all[i].name) == 0)
            fail("%s: %s: expected each array once", all[i].file, all[i].name);
}

static Tensors load_tensors(const char *directory) /* of every *.safetensors in it */
{
    Tensors tensors = {0};
    struct dirent *entry;
    DIR *listing = opendir(directory);
    if (!listing)
        fail("%s: %s", directory, strerror(errno));
    while ((entry = readdir(listing))) {
        const char *ending = strrchr(entry->d_name, '.');
        if (ending && strcmp(ending, ".safetensors") == 0)
            read_tensors(&tensors, text("%s/%s", directory, entry->d_name));
    }
    closedir(listing);
    if (tensors.count == 0)
        fail("%s: expected arrays in *.safetensors, found none", directory);
    return tensors;
}

static Tensor *find(const Tensors *tensors, const char *name)
{
    const Tensor wanted = {.name = name};
    return bsearch(&wanted, tensors->all, tensors->count, sizeof wanted, by_name);
}

static const Tensor *take(const Tensors *tensors, const char *name, size_t rows, size_t columns,
                          int packed)
{
    Tensor *tensor = find(tensors, name);
    if (!tensor)
        fail("%s: expected such an array, found none", name);
    if (tensor->rows != rows || tensor->columns != columns || (tensor->dtype == U8) != packed)
        fail("%s: %s: expected %s (%zu, %zu), found %s (%zu, %zu)", tensor->file, name,
             packed ? "bytes" : "floats", rows, columns, tensor->dtype == U8 ? "bytes" : "floats",
             tensor->rows, tensor->columns);
    tensor->used = 1;
    return tensor;
}

static void refuse_unused(const Tensors *tensors)
{
    for (size_t i = 0; i < tensors->count; i++)
        if (!tensors->all[i].used && !strstr(tensors->all[i].name, "rotary_emb.inv_freq"))
            fail("%s: %s: expected no such array", tensors->all[i].file, tensors->all[i].name);
}

/* ---- Text and ids ---------------------------------------------------------------------------- */

typedef struct { /* of each id the bytes that it stands for */
    size_t count, *lengths;
    char **bytes;
} Vocabulary;

/* A token is spelled with a letter for each byte: its own where that can be seen, else one of the
   letters from U+0100 on, in order. */
static int byte_of(int letter, const char *path)
{
    int unseen = 0x100;
    for (int byte = 0; byte < 256; byte++) {
        int seen = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
        if (letter == (seen ? byte : unseen))
            return byte;
        unseen += !seen;
    }
    fail("%s: vocab: expected letters that stand for bytes, found U+%04X", path, (unsigned)letter);
    return 0;
}

/* Byte-pair encoding on bytes, as tokenizer.json has it. */
static Vocabulary read_vocabulary(const char *path)
{
    const Json *json = read_json(path), *model = get(json, "model"), *token;
    Vocabulary all = {0};
    if (!is(get(model, "type"), "BPE") || !is(get(get(json, "decoder"), "type"), "ByteLevel"))
        fail("%s: expected a BPE model and a ByteLevel decoder, found others", path);
    if (!is_a(get(model, "vocab"), OBJECT))
        fail("%s: vocab: expected an object, found none", path);
    all.count = get(model, "vocab")->length;
    all.lengths = array(all.count, sizeof *all.lengths);
    all.bytes = array(all.count, sizeof *all.bytes);
    memset(all.bytes, 0, all.count * sizeof *all.bytes);
    for (token = get(model, "vocab")->in; token; token = token->next) {
        double id = token->whole ? token->number : -1;
        if (!(id >= 0 && id < (double)all.count) || all.bytes[(size_t)id])
            fail("%s: vocab: expected every id from 0 up once, found %g", path, id);
        all.bytes[(size_t)id] = token->key;
    }
    token = get(json, "added_tokens");
    for (token = token ? token->in : NULL; token; token = token->next) {
        const Json *id = get(token, "id");
        if (!id || !id->whole || id->number < 0 || !is_a(get(token, "special"), YES))
            fail("%s: added_tokens: expected special tokens with ids, found another", path);
        if (id->number < (double)all.count)
            *all.bytes[(size_t)id->number] = '\0'; /* it stands for no text */
    }
    for (size_t id = 0; id < all.count; id++) {
        const uint8_t *at = (const uint8_t *)all.bytes[id];
        char *out = all.bytes[id]; /* in place: a letter takes one or two bytes, or is wrong */
        while (*at) {
            int two = *at >= 0x80, letter = two ? (at[0] & 31) << 6 | (at[1] & 63) : at[0];
            *out++ = (char)byte_of(*at < 0xE0 ? letter : 0xFFFD, path);
            at += 1 + two;
        }
        all.lengths[id] = (size_t)(out - all.bytes[id]);
    }
    return all;
}

/* The text of ids, in UTF-8: U+FFFD for bytes that are none. */
static const char *decode(Vocabulary all, const int64_t *ids, size_t T, size_t *length)
{
    size_t size = 0;
    char *bytes, *out;
    for (size_t t = 0; t < T; t++)
        size += ids[t] < (int64_t)all.count ? all.lengths[ids[t]] : 0;
    bytes = array(size + 1, 1);
    out = array(3 * size + 1, 1);
    size = *length = 0;
    for (size_t t = 0; t < T; t++)
        if (ids[t] < (int64_t)all.count) {
            memcpy(bytes + size, all.bytes[ids[t]], all.lengths[ids[t]]);
            size += all.lengths[ids[t]];
        }
    for (const char *at = bytes; at < bytes + size;) {
        int n = utf8((const uint8_t *)at, (const uint8_t *)bytes + size);
        memcpy(out + *length, n > 0 ? at : "\xEF\xBF\xBD", n > 0 ? (size_t)n : 3);
        *length += n > 0 ? (size_t)n : 3;
        at += abs(n);
    }
    return out;
}

static int is_end(const Json *eos, int64_t id) /* one id or a list of them */
{
    const Json *one = eos && eos->kind == LIST ? eos->in : eos;
    for (; one; one = eos->kind == LIST ? one->next : NULL) {
        if (!one->whole)
            fail("eos_token_id: expected token ids, found something else");
        if (one->number == (double)id)
            return 1;
    }
    return 0;
}


/* ---- Traces and test vectors ----------------------------------------------------------------- */

typedef struct Vector {
    const Json *json;
    const char *set, *out; /* the directories of questions and answers */
    int continues;         /* the rows of earlier tokens are written already */
} Vector;

/* A file that a manifest names, which lies inside its set. */
static const char *inside(const Json *object, const char *key)
{
    const char *file = word(object, key, NULL, "manifest.json");
    if (file[0] == '/' || strstr(file, ".."))
        fail("manifest.json: %s: expected a path inside the set, found %s", key, file);
    return file;
}

typedef struct { /* an input of a vector */
    const void *values;
    size_t shape[3], count; /* an axis that is missing is 1 long */
} Input;

/* Large inputs are not in files: a generator of random numbers makes them. */
static const void *draw(const Json *generator, size_t count)
{
    const char *kind = word(generator, "kind", " codes packed ", "manifest.json");
    uint32_t state = (uint32_t)number(generator, "seed", 0, 4294967295.0, "manifest.json");
    uint8_t *bytes = array(count, 1);
    for (size_t i = 0; i < count; i++) {
        uint32_t v = ((state = 1664525 * state + 1013904223) >> 16) * 81 >> 16; /* four digits */
        uint32_t packed = v % 3 | v / 3 % 3 << 2 | v / 9 % 3 << 4 | v / 27 << 6;
        bytes[i] = (uint8_t)(strcmp(kind, "codes") == 0 ? state >> 24 : packed);
    }
    return bytes;
}

/* An input of so many numbers (0: as many as it says). */
static Input input(const Vector *vector, const char *name, size_t count)
{
    const Json *json = get(get(vector->json, "inputs"), name), *axis;
    const char *dtype = word(json, "dtype", NULL, "manifest.json");
    size_t axes = 0, size;
    size_t each = strstr(dtype, "64") ? 8 : strstr(dtype, "32") ? 4 : strstr(dtype, "16") ? 2 : 1;
    Input x = {.shape = {1, 1, 1}, .count = 1};
    for (axis = get(json, "shape") ? get(json, "shape")->in : NULL; axis; axis = axis->next) {
        if (axes == 3 || !(axis->number >= 0 && axis->number <= MOST))
            fail("manifest.json: %s: expected at most three axes", name);
        x.shape[axes++] = (size_t)axis->number;
        x.count *= (size_t)axis->number;
    }
    if (count && x.count != count)
        fail("manifest.json: %s: expected %zu numbers, found %zu", name, count, x.count);
    if (get(json, "generator")) {
        x.values = draw(get(json, "generator"), x.count);
    } else {
        x.values = read_file(text("%s/%s", vector->set, inside(json, "file")), &size);
        if (size != x.count * each)
            fail("manifest.json: %s: expected %zu bytes, found %zu", name, x.count * each, size);
    }
    return x;
}

/* An output: its bytes, in a file of the same name under OUT. */
static void output(const Vector *vector, const char *name, const void *values, size_t size)
{
    const Json *json = get(get(vector->json, "outputs"), name);
    char *path, *slash;
    FILE *stream;
    if (!json) /* not asked for */
        return;
    path = text("%s/%s", vector->out, inside(json, "file"));
    for (slash = path + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        mkdir(path, 0777); /* where it cannot be made, the file cannot be opened */
    }
    stream = open_file(path, vector->continues ? "ab" : "wb");
    fwrite(values, 1, size, stream);
    close_file(stream, path);
}

static void stage(const Trace *trace, const char *name, const char *dtype, const void *values,
                  size_t T, size_t rows, size_t columns)
{
    size_t each = strcmp(dtype, "int8") == 0 ? 1 : 4;
    size_t size = T * rows * (columns ? columns : 1) * each;
    if (strcmp(dtype, "float32") == 0)
        for (size_t i = 0; i < size / each; i++)
            if (!(fabsf(((const float *)values)[i]) <= FLT_MAX))
                fail("%s%s: expected finite numbers, found others", trace->prefix, name);
    if (trace->stream) {
        fprintf(trace->stream, "%s%s %s %zu %zu", trace->prefix, name, dtype, T, rows);
        fprintf(trace->stream, columns ? " %zu\n" : "\n", columns);
        fwrite(values, 1, size, trace->stream);
    }
    if (trace->vector)
        output(trace->vector, text("%s%s", trace->prefix, name), values, size);
}

static void check_ids(const int64_t *ids, size_t T, const Config *config)
{
    if (T == 0)
        fail("expected token ids, found none");
    for (size_t t = 0; t < T; t++)
        if (ids[t] < 0 || (size_t)ids[t] >= config->V)
            fail("expected token ids from 0 to %zu, found %lld", config->V - 1, (long long)ids[t]);
}

static void check_pieces(const int64_t *pieces, size_t count, size_t T)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += (size_t)pieces[i];
        if (pieces[i] < 1)
            fail("expected pieces of a token at least, found %lld", (long long)pieces[i]);
    }
    if (sum != T)
        fail("expected pieces of %zu tokens together, found %zu", T, sum);
}

/* Every stage of a text that is read in pieces of so many tokens. */
static void forward_in_pieces(const Model *model, const int64_t *ids, size_t T,
                              const int64_t *pieces, size_t count, Trace *trace)
{
    Cache cache = new_cache(&model->config, T);
    for (size_t i = 0; i < count; i++) {
        size_t size = (size_t)pieces[i];
        void *since = mark();
        forward(model, ids + cache.start, size, &cache, size, trace);
        if (trace->vector)
            trace->vector->continues = 1;
        release(since);
    }
}

static int64_t *input_ids(const Vector *vector, const char *name, size_t *T)
{
    Input ids = input(vector, name, 0);
    int64_t *wide = array(ids.count, sizeof *wide);
    for (size_t i = 0; i < ids.count; i++)
        wide[i] = ((const int32_t *)ids.values)[i];
    *T = ids.count;
    return wide;
}

/* An array of the manifest's whole numbers. */
static int64_t *whole_list(const Json *list, size_t *count)
{
    int64_t *numbers = array(list ? list->length : 0, sizeof *numbers);
    *count = 0;
    for (const Json *value = list ? list->in : NULL; value; value = value->next)
        if (value->whole && value->number >= 0 && value->number <= MOST)
            numbers[(*count)++] = (int64_t)value->number;
    return numbers;
}

static const char *model_of(const Vector *vector)
{
    return text("%s/%s", vector->set, inside(get(vector->json, "parameters"), "model"));
}

/* What passes for something else must end in `fail`. */
static void refuse(const Vector *vector, const Json *parameters)
{
    const Json *inputs = get(vector->json, "inputs");
    const char *kind = inputs && inputs->in ? inputs->in->key : "", *path = NULL;
    Input x = input(vector, kind, 0);
    if (get(inputs->in, "file"))
        path = text("%s/%s", vector->set, inside(inputs->in, "file"));
    if (strcmp(kind, "packed") == 0) {
        if (x.shape[0] != (whole(parameters, "M", "manifest.json") + 3) / 4)
            fail("packed: expected a row for four of the matrix");
        check_packed("packed", x.values, x.count);
    } else if (strcmp(kind, "w_scale") == 0) {
        check_scale("w_scale", *(const float *)x.values);
    } else if (strcmp(kind, "ids") == 0) {
        size_t T;
        const int64_t *ids = input_ids(vector, kind, &T);
        Config config = load_config(text("%s/config.json", model_of(vector)), "");
        check_ids(ids, T, &config);
    } else if (strcmp(kind, "safetensors") == 0) {
        Tensors none = {0};
        read_tensors(&none, path);
    } else if (strcmp(kind, "config") == 0) {
        load_config(path, "");
    } else if (strcmp(kind, "tokenizer") == 0) {
        read_vocabulary(path);
        return; /* right so far, but only what decoding needs was read */
    } else {
        return; /* not attempted */
    }
    output(vector, "refused", "", 1); /* 0: it was not refused */
}

/* The outputs of a vector; nothing for an operation that is not one of this page. */
static void answer(Vector *vector)
{
    const Json *p = get(vector->json, "parameters"), *operation = get(vector->json, "operation");
    const char *where = "manifest.json";

    if (is(operation, "quantize_activations")) {
        Input x = input(vector, "x", 0);
        Codes codes = quantize_activations(x.values, x.shape[0], x.shape[1]);
        output(vector, "codes", codes.codes, x.count);
        output(vector, "scale", codes.scale, x.shape[0] * 4);
    } else if (is(operation, "quantize_weights")) {
        Input W = input(vector, "W", 0);
        int8_t *codes = array(W.count, 1);
        float scale = quantize_weights(W.values, W.shape[0], W.shape[1], codes);
        output(vector, "codes", codes, W.count);
        output(vector, "scale", &scale, 4);
    } else if (is(operation, "pack")) {
        Input codes = input(vector, "codes", 0);
        size_t M = codes.shape[0], N = codes.shape[1], R = (M + 3) / 4;
        uint8_t *packed = array(R * N, 1);
        pack(codes.values, M, N, packed);
        output(vector, "packed", packed, R * N);
    } else if (is(operation, "unpack")) {
        size_t M = whole(p, "M", where), N = input(vector, "packed", 0).shape[1];
        int8_t *codes = array(M * N, 1);
        unpack(input(vector, "packed", (M + 3) / 4 * N).values, M, N, codes);
        output(vector, "codes", codes, M * N);
    } else if (is(operation, "product")) {
        Input x = input(vector, "x_codes", 0);
        size_t T = x.shape[0], N = x.shape[1], M = whole(p, "M", where);
        Codes codes = {T, N, (int8_t *)x.values, NULL};
        Matrix w = {M, N, input(vector, "packed", (M + 3) / 4 * N).values, 1};
        output(vector, "acc", product(codes, &w), T * M * 4);
    } else if (is(operation, "rescale")) {
        Input acc = input(vector, "acc", 0);
        size_t T = acc.shape[0], M = acc.shape[1];
        const float *x_scale = input(vector, "x_scale", T).values;
        float w_scale = *(const float *)input(vector, "w_scale", 1).values;
        if (is_a(get(p, "divides"), YES))
            w_scale = 1 / w_scale;
        output(vector, "y", rescale(acc.values, T, M, x_scale, w_scale), T * M * 4);
    } else if (is(operation, "rms_norm")) {
        Input x = input(vector, "x", 0);
        size_t T = x.shape[0], N = x.shape[1];
        const float *gains = input(vector, "gain", N).values;
        double eps = number(p, "eps", 0, 1, where);
        output(vector, "y", rms_norm(x.values, T, N, gains, eps), T * N * 4);
    } else if (is(operation, "rotations")) {
        Input positions = input(vector, "positions", 0);
        size_t T = positions.count, d = whole(p, "d", where);
        float *cosine = array(T * d / 2, 4), *sine = array(T * d / 2, 4);
        rotations(positions.values, T, d, number(p, "theta", 1, 1e30, where), cosine, sine);
        output(vector, "cos", cosine, T * d / 2 * 4);
        output(vector, "sin", sine, T * d / 2 * 4);
    } else if (is(operation, "rotate")) {
        Input x = input(vector, "x", 0);
        size_t T = x.shape[0], heads = x.shape[1], d = x.shape[2];
        const float *cosine = input(vector, "cos", T * d / 2).values;
        const float *sine = input(vector, "sin", T * d / 2).values;
        rotate((float *)x.values, T, heads, d, cosine, sine);
        output(vector, "y", x.values, T * heads * d * 4);
    } else if (is(operation, "attend")) {
        Input q = input(vector, "q", 0), k = input(vector, "k", 0);
        size_t T = q.shape[0], H = q.shape[1], d = q.shape[2], S = k.shape[0], G = k.shape[1];
        const float *v = input(vector, "v", S * G * d).values;
        if (S < T || G == 0 || H % G || k.shape[2] != d)
            fail("%s: expected S tokens, T of them the last, in G groups of heads", where);
        output(vector, "attn", attend(q.values, k.values, v, T, S, H, G, d), T * H * d * 4);
    } else if (is(operation, "relu2_gate")) {
        Input gate = input(vector, "gate", 0);
        const float *up = input(vector, "up", gate.count).values;
        int squared = is(get(p, "activation"), "relu2");
        output(vector, "y", relu2_gate(gate.values, up, gate.count, squared), gate.count * 4);
    } else if (is(operation, "widen")) {
        Input bits = input(vector, "bits", 0);
        float *values = array(bits.count, 4);
        widen(bits.values, BF16, bits.count, values);
        output(vector, "values", values, bits.count * 4);
    } else if (is(operation, "logits")) {
        Input h = input(vector, "h", 0), head = input(vector, "head", 0);
        size_t T = h.shape[0], D = h.shape[1], V = head.shape[0];
        Tensor tensor = {.dtype = BF16, .rows = V, .columns = D, .bytes = head.values};
        if (head.shape[1] != D)
            fail("%s: head: expected rows of %zu, found %zu", where, D, head.shape[1]);
        output(vector, "logits", head_logits(h.values, T, &tensor), T * V * 4);
    } else if (is(operation, "greedy")) {
        Input logits = input(vector, "logits", 0);
        int32_t id = (int32_t)greedy(logits.values, logits.count);
        output(vector, "id", &id, 4);
    } else if (is(operation, "decode")) {
        size_t T, length;
        const int64_t *ids = input_ids(vector, "ids", &T);
        Vocabulary vocabulary = read_vocabulary(text("%s/tokenizer.json", model_of(vector)));
        const char *decoded = decode(vocabulary, ids, T, &length);
        output(vector, "text", decoded, length);
    } else if (is(operation, "forward")) {
        size_t T, count;
        const int64_t *ids = input_ids(vector, "ids", &T);
        const int64_t *pieces = whole_list(get(p, "pieces"), &count);
        Model model = load(model_of(vector));
        Trace trace = {.vector = vector};
        check_ids(ids, T, &model.config);
        check_pieces(pieces, count, T);
        forward_in_pieces(&model, ids, T, pieces, count, &trace);
    } else if (is(operation, "generate")) {
        size_t T, n = whole(p, "n", where), written;
        const int64_t *ids = input_ids(vector, "ids", &T);
        Model model = load(model_of(vector));
        int64_t *new = array(n, sizeof *new);
        int32_t *narrow = array(n, sizeof *narrow);
        check_ids(ids, T, &model.config);
        written = generate(&model, ids, T, n, new);
        for (size_t i = 0; i < written; i++)
            narrow[i] = (int32_t)new[i];
        output(vector, "ids", narrow, written * 4);
    } else if (is(operation, "refuse")) {
        refuse(vector, p);
    }
}

static void answer_or_refuse(Vector *vector)
{
    jmp_buf here;
    void *since = mark();
    refusing = &here;
    if (setjmp(here) == 0) {
        answer(vector);
        refusing = NULL;
    } else {
        refusing = NULL;
        if (is(get(vector->json, "operation"), "refuse"))
            output(vector, "refused", "\1", 1);
    }
    release(since);
}

/* ---- The command ----------------------------------------------------------------------------- */

static int64_t *parse_ids(const char *list, size_t *count) /* 1,2,3 */
{
    int64_t *ids = array(strlen(list) / 2 + 1, sizeof *ids);
    const char *at = list;
    for (*count = 0;; at++) {
        size_t digits = strspn(at, "0123456789");
        if (digits < 1 || digits > 9 || !strchr(",", at[digits]))
            fail("expected numbers as 1,2,3, found %s", list);
        ids[(*count)++] = strtol(at, NULL, 10);
        at += digits;
        if (!*at)
            return ids;
    }
}

static void write_text(const char *directory, const char *ids, const char *n)
{
    Model model = load(directory);
    size_t T, count, wanted = n ? (size_t)*parse_ids(n, &count) : 20, written, length;
    int64_t *read = parse_ids(ids, &T), *new = array(wanted, sizeof *new);
    const char *path = text("%s/tokenizer.json", directory), *decoded;
    if (n && count != 1)
        fail("expected one number of tokens, found %s", n);
    check_ids(read, T, &model.config);
    written = generate(&model, read, T, wanted, new);
    for (size_t i = 0; i < written; i++)
        printf(i ? " %lld" : "%lld", (long long)new[i]);
    printf("\n");
    if (exists(path)) {
        decoded = decode(read_vocabulary(path), new, written, &length);
        fwrite(decoded, 1, length, stdout);
        printf("\n");
    }
}

static void write_trace(const char *path, const char *directory, const char *ids,
                        const char *pieces)
{
    Model model = load(directory);
    size_t T, count = 1;
    const int64_t *read = parse_ids(ids, &T), whole_text = (int64_t)T;
    const int64_t *sizes = pieces ? parse_ids(pieces, &count) : &whole_text;
    Trace trace = {0};
    check_ids(read, T, &model.config);
    check_pieces(sizes, count, T);
    trace.stream = open_file(path, "wb");
    fprintf(trace.stream, "ids int64 %zu\n", T);
    fwrite(read, sizeof *read, T, trace.stream);
    forward_in_pieces(&model, read, T, sizes, count, &trace);
    close_file(trace.stream, path);
}

static void answer_vectors(const char *set, const char *out)
{
    const char *path = text("%s/manifest.json", set);
    const Json *manifest = read_json(path), *json = get(manifest, "vectors");
    number(manifest, "contract", 2, 2, path);
    word(manifest, "format", " minibitnet-vectors ", path);
    for (json = json ? json->in : NULL; json; json = json->next) {
        Vector vector = {.json = json, .set = set, .out = out};
        answer_or_refuse(&vector);
    }
}

int main(int argc, char **argv)
{
    const uint16_t one = 1;
    if (*(const uint8_t *)&one != 1)
        fail("expected a little-endian machine, as the files are");
    if (argc == 4 && strcmp(argv[1], "--vectors") == 0)
        answer_vectors(argv[2], argv[3]);
    else if ((argc == 5 || argc == 6) && strcmp(argv[1], "--trace") == 0)
        write_trace(argv[2], argv[3], argv[4], argv[5]);
    else if ((argc == 3 || argc == 4) && argv[1][0] != '-')
        write_text(argv[1], argv[2], argv[3]);
    else
        fail("expected DIR IDS [N], --trace FILE DIR IDS [PIECES] or --vectors SET OUT");
    if (fflush(stdout) || ferror(stdout))
        fail("the text could not be written");
    return 0;
}
