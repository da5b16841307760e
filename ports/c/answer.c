/* The port's answers to a set of test vectors: each operation of bitnet.c, alone.

       cc -O2 -ffp-contract=off answer.c -lm -o answer
       ./answer SET OUT            then: minibitnet conform OUT

   SET/manifest.json lists the vectors. Of each the inputs are read, the operation is called, and
   its outputs are written, raw, to the files that the manifest names, under OUT. A whole forward
   pass is answered by its trace. Each vector is answered in a process of its own, so that what
   must be refused may end in `fail`, and a crash costs one answer. */

#define main bitnet_main
#include "bitnet.c"
#undef main
#include "sampling.c"
#include "tokenizer.c"
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    Json vector, parameters;
    const char *set, *out; /* the directories of questions and answers */
} Question;

typedef struct { /* an input */
    void *values;
    size_t shape[3], count; /* an axis that is missing is 1 long */
} Input;

static const char *word(Json object, const char *key) {
    Json value = get(object, key);
    if (!value || *value != '"')
        fail("manifest.json: %s: expected a string, found none", key);
    return string(value);
}

static const char *inside(Json object, const char *key) { /* a path that leads nowhere else */
    const char *file = word(object, key);
    if (file[0] == '/' || strstr(file, ".."))
        fail("manifest.json: %s: expected a path inside the set, found %s", key, file);
    return file;
}

/* Large inputs are not in files: a generator of random numbers makes them. */
static void *draw(Json generator, size_t count) {
    const int codes = is(get(generator, "kind"), "\"codes\"");
    uint32_t state = (uint32_t)number(generator, "seed", 0, 0, 4294967295.0, "manifest.json");
    uint8_t *bytes = array(count, 1);
    for (size_t i = 0; i < count; i++) {
        uint32_t v = ((state = 1664525 * state + 1013904223) >> 16) * 81 >> 16; /* four digits */
        uint32_t packed = v % 3 | v / 3 % 3 << 2 | v / 9 % 3 << 4 | v / 27 << 6;
        bytes[i] = (uint8_t)(codes ? state >> 24 : packed);
    }
    return bytes;
}

/* An input of so many numbers (0: as many as it says). */
static Input input(const Question *q, const char *name, const char *dtype, size_t count) {
    Json json = get(get(q->vector, "inputs"), name);
    size_t each = strstr(dtype, "8") ? 1 : strstr(dtype, "16") ? 2 : strstr(dtype, "32") ? 4 : 8;
    size_t axes = 0, size;
    Input x = {.shape = {1, 1, 1}, .count = 1};
    if (strcmp(word(json, "dtype"), dtype))
        fail("manifest.json: %s: expected %s, found %s", name, dtype, word(json, "dtype"));
    for (Item in = first(get(json, "shape")); in.value; in = next(in)) {
        if (axes == 3 || integer(in.value) < 0 || integer(in.value) > MOST || x.count > MOST)
            fail("manifest.json: %s: expected at most three axes, none too long", name);
        x.shape[axes] = (size_t)integer(in.value);
        x.count *= x.shape[axes++];
    }
    if (count && x.count != count)
        fail("manifest.json: %s: expected %zu numbers, found %zu", name, count, x.count);
    if (get(json, "generator")) {
        if (each != 1)
            fail("manifest.json: %s: expected a generator of bytes alone", name);
        x.values = draw(get(json, "generator"), x.count);
        return x;
    }
    x.values = read_file(text("%s/%s", q->set, inside(json, "file")), &size);
    if (size != x.count * each)
        fail("manifest.json: %s: expected %zu bytes, found %zu", name, x.count * each, size);
    return x;
}

static int64_t *input_ids(const Question *q, size_t *T) {
    Input ids = input(q, "ids", "int32", 0);
    int64_t *wide = array(ids.count, sizeof *wide);
    for (size_t i = 0; i < ids.count; i++)
        wide[i] = ((const int32_t *)ids.values)[i];
    *T = ids.count;
    return wide;
}

/* Of texts and files the bytes, with a 0 behind them. */
static const char *input_text(const Question *q, const char *name, size_t *size) {
    Input bytes = input(q, name, "uint8", 0);
    *size = bytes.count;
    return memcpy(array(bytes.count + 1, 1), bytes.values, bytes.count);
}

static const char *new_path(const Question *q, const char *file) { /* its folders are made */
    char *path = text("%s/%s", q->out, file);
    for (char *slash = path + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        mkdir(path, 0777); /* where it cannot be made, the file cannot be opened */
    }
    return path;
}

/* An output: its bytes, in the file that the manifest names. */
static void output(const Question *q, const char *name, const void *values, size_t size) {
    const char *path = new_path(q, inside(get(get(q->vector, "outputs"), name), "file"));
    FILE *file = open_file(path, "wb");
    fwrite(values, 1, size, file);
    if (ferror(file) | fclose(file))
        fail("%s: could not be written", path);
}

static void output_ids(const Question *q, const int64_t *ids, size_t count) {
    int32_t *narrow = array(count, sizeof *narrow);
    for (size_t i = 0; i < count; i++)
        narrow[i] = (int32_t)ids[i];
    output(q, "ids", narrow, count * 4);
}

static const char *model_of(const Question *q) {
    return text("%s/%s", q->set, inside(q->parameters, "model"));
}

static void answer_quantize_activations(const Question *q) {
    Input x = input(q, "x", "float32", 0);
    Codes codes = quantize_activations(x.values, x.shape[0], x.shape[1]);
    output(q, "codes", codes.codes, x.count);
    output(q, "scale", codes.scale, x.shape[0] * 4);
}

static void answer_quantize_weights(const Question *q) {
    Input W = input(q, "W", "float32", 0);
    int8_t *codes = array(W.count, 1);
    float scale = quantize_weights(W.values, W.shape[0], W.shape[1], codes);
    output(q, "codes", codes, W.count);
    output(q, "scale", &scale, 4);
}

static void answer_pack(const Question *q) {
    Input codes = input(q, "codes", "int8", 0);
    size_t M = codes.shape[0], N = codes.shape[1], R = (M + 3) / 4;
    uint8_t *packed = array(R * N, 1);
    pack(codes.values, M, N, packed);
    output(q, "packed", packed, R * N);
}

static void answer_unpack(const Question *q) {
    size_t M = whole(q->parameters, "M", "manifest.json"), R = (M + 3) / 4;
    size_t N = input(q, "packed", "uint8", 0).shape[1];
    const uint8_t *packed = input(q, "packed", "uint8", R * N).values;
    int8_t *codes = array(M * N, 1);
    for (size_t i = 0; i < M * N; i++) /* code i % N of row i / N */
        codes[i] = (int8_t)unpack(packed[i % (R * N)], i / (R * N));
    output(q, "codes", codes, M * N);
}

static void answer_product(const Question *q) {
    Input x = input(q, "x_codes", "int8", 0);
    size_t T = x.shape[0], N = x.shape[1], M = whole(q->parameters, "M", "manifest.json");
    Matrix w = {M, N, input(q, "packed", "uint8", (M + 3) / 4 * N).values, 1};
    output(q, "acc", product((Codes){T, N, x.values, NULL}, &w), T * M * 4);
}

static void answer_rescale(const Question *q) {
    Input acc = input(q, "acc", "int32", 0);
    size_t T = acc.shape[0], M = acc.shape[1];
    float w_scale = *(const float *)input(q, "w_scale", "float32", 1).values;
    if (is(get(q->parameters, "divides"), "true"))
        w_scale = 1 / w_scale;
    const float *y = rescale(acc.values, T, M, input(q, "x_scale", "float32", T).values, w_scale);
    output(q, "y", y, T * M * 4);
}

static void answer_rms_norm(const Question *q) {
    Input x = input(q, "x", "float32", 0);
    size_t T = x.shape[0], N = x.shape[1];
    double eps = number(q->parameters, "eps", 1e-5, 0, 1, "manifest.json");
    output(q, "y", rms_norm(x.values, T, N, input(q, "gain", "float32", N).values, eps), T * N * 4);
}

static void answer_rotations(const Question *q) {
    Input positions = input(q, "positions", "int32", 0);
    size_t T = positions.count, d = whole(q->parameters, "d", "manifest.json");
    float *cosine = array(T * d / 2, 4), *sine = array(T * d / 2, 4);
    double theta = number(q->parameters, "theta", 500000, 1, 1e30, "manifest.json");
    rotations(positions.values, T, d, theta, cosine, sine);
    output(q, "cos", cosine, T * d / 2 * 4);
    output(q, "sin", sine, T * d / 2 * 4);
}

static void answer_rotate(const Question *q) {
    Input x = input(q, "x", "float32", 0);
    size_t T = x.shape[0], heads = x.shape[1], d = x.shape[2], count = T * d / 2;
    const float *cosine = input(q, "cos", "float32", count).values;
    const float *sine = input(q, "sin", "float32", count).values;
    rotate(x.values, T, heads, d, cosine, sine);
    output(q, "y", x.values, T * heads * d * 4);
}

static void answer_attend(const Question *p) {
    Input q = input(p, "q", "float32", 0), k = input(p, "k", "float32", 0);
    size_t T = q.shape[0], H = q.shape[1], d = q.shape[2], S = k.shape[0], G = k.shape[1];
    const float *v = input(p, "v", "float32", S * G * d).values;
    if (S < T || G == 0 || H % G || k.shape[2] != d)
        fail("manifest.json: expected S tokens, T of them the last, in G groups of heads");
    output(p, "attn", attend(q.values, k.values, v, T, S, H, G, d), T * H * d * 4);
}

static void answer_relu2_gate(const Question *q) {
    Input gate = input(q, "gate", "float32", 0);
    int squared = is(get(q->parameters, "activation"), "\"relu2\"");
    const float *up = input(q, "up", "float32", gate.count).values;
    output(q, "y", relu2_gate(gate.values, up, gate.count, squared), gate.count * 4);
}

static void answer_widen(const Question *q) {
    Input bits = input(q, "bits", "uint16", 0);
    float *values = array(bits.count, 4);
    widen(bits.values, BF16, bits.count, values);
    output(q, "values", values, bits.count * 4);
}

static void answer_logits(const Question *q) {
    Input h = input(q, "h", "float32", 0), head = input(q, "head", "uint16", 0);
    size_t T = h.shape[0], D = h.shape[1], V = head.shape[0];
    Tensor stored = {.dtype = BF16, .rows = V, .columns = D, .bytes = head.values};
    if (head.shape[1] != D)
        fail("manifest.json: head: expected rows of %zu, found %zu", D, head.shape[1]);
    output(q, "logits", head_logits(h.values, T, &stored), T * V * 4);
}

static void answer_greedy(const Question *q) {
    Input logits = input(q, "logits", "float32", 0);
    int32_t id = (int32_t)greedy(logits.values, logits.count);
    output(q, "id", &id, 4);
}

static void answer_probabilities(const Question *q) {
    Input logits = input(q, "logits", "float32", 0);
    Json top_k = get(q->parameters, "top_k");
    double temperature = number(q->parameters, "temperature", 1, DBL_MIN, DBL_MAX, "manifest.json");
    double top_p = number(q->parameters, "top_p", 1, DBL_MIN, 1, "manifest.json");
    if (logits.count == 0 || (top_k && integer(top_k) < 0))
        fail("manifest.json: expected logits, and a top_k from 0 up");
    size_t kept = top_k ? (size_t)integer(top_k) : 0;
    const double *p = probabilities(logits.values, logits.count, temperature, kept, top_p);
    output(q, "p", p, logits.count * sizeof *p);
}

static void answer_pick(const Question *q) {
    Input p = input(q, "p", "float64", 0);
    const double u = *(const double *)input(q, "u", "float64", 1).values;
    int32_t id = (int32_t)pick(p.values, p.count, u);
    output(q, "id", &id, 4);
}

static Tokenizer tokenizer_of(const Question *q) {
    return read_tokenizer(text("%s/tokenizer.json", model_of(q)));
}

static void answer_encode(const Question *q) {
    size_t size;
    const char *bytes = input_text(q, "text", &size);
    const Tokenizer tokenizer = tokenizer_of(q);
    Ids ids = encode(&tokenizer, bytes, size, is(get(q->parameters, "bos"), "true"));
    output_ids(q, ids.all, ids.count);
}

static void answer_chat(const Question *q) {
    size_t size;
    const char *bytes = input_text(q, "messages", &size);
    const Tokenizer tokenizer = tokenizer_of(q);
    Ids ids = chat(&tokenizer, check_json(bytes, size, '[', "messages"));
    output_ids(q, ids.all, ids.count);
}

static void answer_decode(const Question *q) {
    size_t T, length;
    const int64_t *ids = input_ids(q, &T);
    Vocabulary vocabulary = read_vocabulary(text("%s/tokenizer.json", model_of(q)));
    const char *decoded = decode(vocabulary, ids, T, &length);
    output(q, "text", decoded, length);
}

static void answer_forward(const Question *q) { /* a trace under the vector's id */
    size_t T, count = 0;
    const int64_t *ids = input_ids(q, &T);
    int64_t *pieces = array(T, sizeof *pieces);
    Model model = load(model_of(q));
    char *id = text("%s", word(q->vector, "id"));
    for (char *slash = id; (slash = strchr(slash, '/'));)
        *slash = '.';
    for (Item in = first(get(q->parameters, "pieces")); in.value && count < T; in = next(in))
        pieces[count++] = integer(in.value);
    check_ids(ids, T, &model.config);
    if (strstr(id, ".."))
        fail("manifest.json: expected an id that is a name, found %s", id);
    write_trace(&model, ids, T, pieces, count, new_path(q, text("arrays/%s.trace", id)));
}

static void answer_generate(const Question *q) {
    size_t T, n = whole(q->parameters, "n", "manifest.json"), count;
    const int64_t *ids = input_ids(q, &T);
    Model model = load(model_of(q));
    int64_t *new = array(n, sizeof *new);
    check_ids(ids, T, &model.config);
    count = generate(&model, ids, T, n, new);
    output_ids(q, new, count);
}

/* What is not what its name says must end in `fail`. What comes to the end was not refused. */
static void answer_refuse(const Question *q) {
    Item in = first(get(q->vector, "inputs"));
    const char *kind = in.key ? in.key : "";
    const char *path = get(in.value, "file") ? text("%s/%s", q->set, inside(in.value, "file")) : "";
    Weights weights = {0};
    if (strcmp(kind, "packed") == 0) {
        Input x = input(q, kind, "uint8", 0);
        size_t M = whole(q->parameters, "M", "manifest.json");
        Tensor packed = {"packed", path, U8, x.shape[0], x.shape[1], x.values, NULL, 0, 0};
        weights = (Weights){&packed, 1};
        take(&weights, "packed", (M + 3) / 4, x.shape[1], 1);
    } else if (strcmp(kind, "w_scale") == 0) {
        check_scale("w_scale", *(const float *)input(q, kind, "float32", 1).values);
    } else if (strcmp(kind, "ids") == 0) {
        size_t T;
        const int64_t *ids = input_ids(q, &T);
        Config config = load_config(text("%s/config.json", model_of(q)), "");
        check_ids(ids, T, &config);
    } else if (strcmp(kind, "safetensors") == 0) {
        read_tensors(&weights, path);
    } else if (strcmp(kind, "config") == 0) {
        load_config(path, "");
    } else if (strcmp(kind, "tokenizer") == 0) {
        read_tokenizer(path);
    }
    output(q, "refused", "", 1);
}

static const struct {
    const char *operation;
    void (*answer)(const Question *);
} ANSWERS[] = {
    {"quantize_activations", answer_quantize_activations},
    {"quantize_weights", answer_quantize_weights},
    {"pack", answer_pack},
    {"unpack", answer_unpack},
    {"product", answer_product},
    {"rescale", answer_rescale},
    {"rms_norm", answer_rms_norm},
    {"rotations", answer_rotations},
    {"rotate", answer_rotate},
    {"attend", answer_attend},
    {"relu2_gate", answer_relu2_gate},
    {"widen", answer_widen},
    {"logits", answer_logits},
    {"greedy", answer_greedy},
    {"probabilities", answer_probabilities},
    {"pick", answer_pick},
    {"encode", answer_encode},
    {"decode", answer_decode},
    {"chat", answer_chat},
    {"forward", answer_forward},
    {"generate", answer_generate},
    {"refuse", answer_refuse},
};

static void answer(const Question *q) {
    const char *operation = word(q->vector, "operation");
    for (size_t i = 0; i < sizeof ANSWERS / sizeof *ANSWERS; i++) {
        int status = 0;
        if (strcmp(operation, ANSWERS[i].operation))
            continue;
        pid_t child = fork();
        if (child < 0)
            fail("%s", strerror(errno));
        if (child == 0) {
            ANSWERS[i].answer(q);
            exit(0);
        }
        waitpid(child, &status, 0);
        int failed = WIFEXITED(status) && WEXITSTATUS(status) == 1;
        if (failed && strcmp(operation, "refuse") == 0)
            output(q, "refused", "\1", 1);
    }
}

int main(int argc, char **argv) {
    if (argc != 3)
        fail("expected SET OUT, as vectors/v1 and a new folder");
    const char *path = text("%s/manifest.json", argv[1]);
    Json manifest = read_json(path);
    if (!is(get(manifest, "format"), "\"minibitnet-vectors\"") ||
        !is(get(manifest, "contract"), "2"))
        fail("%s: expected minibitnet-vectors of contract 2, found others", path);
    for (Item in = first(get(manifest, "vectors")); in.value; in = next(in)) {
        Question q = {in.value, get(in.value, "parameters"), argv[1], argv[2]};
        answer(&q);
    }
    return 0;
}
