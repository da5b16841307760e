/* Byte-pair encoding: text to ids, by tokenizer.json. To be included behind bitnet.c, which has the
   way back (`decode`).

   It is minibitnet/bpe.py and tokenizerfile.py in C: what is not the kind of Llama 3 and of 2B4T is
   refused. A text is cut at the special tokens that it spells, then into pieces (`piece`); each
   piece becomes tokens by merges in the order of their rank. */

#include "unicode.h"

/* ---- Splitting: the pattern of Llama 3, scanned by hand -------------------------------------- */

static const char SPLIT[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

static const Range SPACES[] = {
    {0x9, 0xd},       {0x20, 0x20},     {0x85, 0x85},     {0xa0, 0xa0},     {0x1680, 0x1680},
    {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000},
};

enum { LETTER = 1, NUMBER = 2, SPACE = 4, LINE_END = 8, SIGN = 16 }; /* SPACE: any other */

typedef struct {
    uint32_t code;
    int kind; /* 0 behind the last */
    const uint8_t *bytes;
} Character;

static int against(const void *code, const void *range) {
    const uint32_t c = *(const uint32_t *)code;
    const Range *r = range;
    return (c > r->last) - (c < r->first);
}

static int among(uint32_t code, const Range *ranges, size_t size) {
    return bsearch(&code, ranges, size / sizeof *ranges, sizeof *ranges, against) != NULL;
}

static int kind_of(uint32_t code) {
    if (code == '\r' || code == '\n')
        return LINE_END;
    return among(code, LETTERS, sizeof LETTERS)   ? LETTER
           : among(code, NUMBERS, sizeof NUMBERS) ? NUMBER
           : among(code, SPACES, sizeof SPACES)   ? SPACE
                                                  : SIGN;
}

/* The characters of a text, and behind them one of kind 0. */
static Character *characters(const uint8_t *at, const uint8_t *end, size_t *count) {
    static const uint8_t lead[] = {0, 0x7F, 0x1F, 0x0F, 0x07}; /* its bits, by length */
    Character *all = array((size_t)(end - at) + 1, sizeof *all), *c = all;
    for (int n; at < end; at += n, c++) {
        if ((n = utf8(at, end)) < 0)
            fail("expected text in UTF-8, found a byte %02x", (unsigned)*at);
        c->code = at[0] & lead[n];
        for (int i = 1; i < n; i++)
            c->code = c->code << 6 | (at[i] & 63);
        c->kind = kind_of(c->code);
        c->bytes = at;
    }
    c->bytes = end;
    *count = (size_t)(c - all);
    return all;
}

static int lower(uint32_t code) { /* of ASCII; the long s is an s where case does not matter */
    if (code >= 128)
        return code == 0x17F ? 's' : 0;
    return (int)code + (code >= 'A' && code <= 'Z' ? 32 : 0);
}

static size_t contraction(const Character *c) { /* its length; 0 if there is none */
    const int one = c->code == '\'' ? lower(c[1].code) : 0;
    if (one && strchr("stmd", one))
        return 2;
    if (one && strchr("rvl", one) && lower(c[2].code) == (one == 'l' ? 'l' : 'e'))
        return 3;
    return 0;
}

static size_t run(const Character *c, int kinds) { /* so many of these kinds stand here */
    size_t n = 0;
    while (c[n].kind & kinds)
        n++;
    return n;
}

/* How many characters the piece has that begins here: the first line that fits. */
static size_t piece(const Character *c) {
    size_t n = contraction(c), before = (c->kind & (SPACE | SIGN)) != 0;
    if (n) /* (?i:'s|'t|'re|'ve|'m|'ll|'d) */
        return n;
    if ((n = run(c + before, LETTER))) /* [^\r\n\p{L}\p{N}]?\p{L}+ */
        return before + n;
    while (n < 3 && c[n].kind == NUMBER) /* \p{N}{1,3} */
        n++;
    if (n)
        return n;
    before = c->code == ' ';
    if ((n = run(c + before, SIGN))) /*  ?[^\s\p{L}\p{N}]+[\r\n]* */
        return before + n + run(c + before + n, LINE_END);
    const size_t spaces = run(c, SPACE | LINE_END);
    for (n = spaces; n > 0; n--) /* \s*[\r\n]+ */
        if (c[n - 1].kind == LINE_END)
            return n;
    return spaces > 1 && c[spaces].kind ? spaces - 1 : spaces; /* \s+(?!\S)|\s+ */
}

/* ---- Merging --------------------------------------------------------------------------------- */

typedef struct {
    const char *spelled; /* in tokenizer.json; a special token: as in a text */
    int64_t id;
} Token;

typedef struct {
    int64_t left, right, merged;
    size_t rank;
} Merge;

typedef struct {
    Token *tokens, *special; /* tokens by spelling */
    Merge *merges;           /* by left, then right */
    size_t count, special_count, merge_count, bos_count;
    char letters[256][3]; /* that spell the bytes, in UTF-8 */
    int64_t byte_ids[256], *bos_ids;
    int ignore_merges; /* a piece in the vocabulary is one token */
} Tokenizer;

typedef struct {
    int64_t *all;
    size_t count;
} Ids;

static int by_spelling(const void *a, const void *b) {
    return strcmp(((const Token *)a)->spelled, ((const Token *)b)->spelled);
}

static int by_pair(const void *a, const void *b) {
    const Merge *x = a, *y = b;
    int left = (x->left > y->left) - (x->left < y->left);
    return left ? left : (x->right > y->right) - (x->right < y->right);
}

static int64_t find_token(const Tokenizer *t, const char *spelled) { /* -1 if there is none */
    const Token wanted = {spelled, 0};
    const Token *found = bsearch(&wanted, t->tokens, t->count, sizeof wanted, by_spelling);
    return found ? found->id : -1;
}

static const Merge *find_merge(const Tokenizer *t, const int64_t *pair) {
    const Merge wanted = {pair[0], pair[1], 0, 0};
    return bsearch(&wanted, t->merges, t->merge_count, sizeof wanted, by_pair);
}

/* The tokens of a piece, in place: its bytes, merged two by two, the lowest rank first. */
static size_t merge(const Tokenizer *t, int64_t *tokens, size_t count) {
    const Merge **pairs = array(count, sizeof *pairs); /* of each token and the next; or NULL */
    for (size_t i = 0; i + 1 < count; i++)
        pairs[i] = find_merge(t, tokens + i);
    for (;;) {
        size_t best = count;
        for (size_t i = 0; i + 1 < count; i++) /* of equals the leftmost */
            if (pairs[i] && (best == count || pairs[i]->rank < pairs[best]->rank))
                best = i;
        if (best == count)
            return count;
        tokens[best] = pairs[best]->merged;
        count--;
        memmove(tokens + best + 1, tokens + best + 2, (count - best - 1) * sizeof *tokens);
        memmove(pairs + best, pairs + best + 1, (count - best) * sizeof *pairs);
        if (best > 0)
            pairs[best - 1] = find_merge(t, tokens + best - 1);
        if (best + 1 < count)
            pairs[best] = find_merge(t, tokens + best);
    }
}

static void encode_piece(const Tokenizer *t, const uint8_t *at, const uint8_t *end, Ids *ids) {
    int64_t *new = ids->all + ids->count, whole;
    char *spelled = array(2 * (size_t)(end - at) + 1, 1), *letter = spelled;
    for (const uint8_t *byte = at; byte < end; byte++)
        for (const char *from = t->letters[*byte]; *from;)
            *letter++ = *from++;
    if (t->ignore_merges && (whole = find_token(t, spelled)) >= 0) {
        ids->all[ids->count++] = whole;
        return;
    }
    for (const uint8_t *byte = at; byte < end; byte++)
        new[byte - at] = t->byte_ids[*byte];
    ids->count += merge(t, new, (size_t)(end - at));
}

/* A special token spelled out is text as any. */
static void encode_ordinary(const Tokenizer *t, const uint8_t *at, const uint8_t *end, Ids *ids) {
    void *start = mark();
    size_t count;
    const Character *c = characters(at, end, &count);
    for (size_t n; c->kind; c += n) {
        void *since = mark();
        n = piece(c);
        encode_piece(t, c->bytes, c[n].bytes, ids);
        release(since);
    }
    release(start);
}

static const Token *special_at(const Tokenizer *t, const uint8_t *at, const uint8_t *end) {
    const Token *found = NULL; /* where two fit, the longer */
    for (const Token *token = t->special; token < t->special + t->special_count; token++) {
        size_t length = strlen(token->spelled);
        if (*at == (uint8_t)*token->spelled && length <= (size_t)(end - at) &&
            memcmp(at, token->spelled, length) == 0 &&
            (!found || length > strlen(found->spelled)))
            found = token;
    }
    return found;
}

/* The ids of a text; with one begin-of-text before them, if so wished. */
static Ids encode(const Tokenizer *t, const char *bytes, size_t size, int bos) {
    const uint8_t *at = (const uint8_t *)bytes, *end = at + size, *start = at;
    Ids ids = {array(t->bos_count + size, sizeof *ids.all), 0}; /* a byte is at most one */
    while (at < end) {
        const Token *special = special_at(t, at, end);
        if (!special) {
            at++;
            continue;
        }
        encode_ordinary(t, start, at, &ids);
        ids.all[ids.count++] = special->id;
        start = at += strlen(special->spelled);
    }
    encode_ordinary(t, start, end, &ids);
    const size_t bos_size = t->bos_count * sizeof *ids.all;
    if (bos && (ids.count < t->bos_count || memcmp(ids.all, t->bos_ids, bos_size))) {
        memmove(ids.all + t->bos_count, ids.all, ids.count * sizeof *ids.all);
        memcpy(ids.all, t->bos_ids, bos_size);
        ids.count += t->bos_count;
    }
    return ids;
}

/* ---- Chat: `Role: content<|eot_id|>` for each message, then `Assistant: ` -------------------- */

static int is_white(const Character *c) { /* to Python, the separators of ASCII are as well */
    return c->kind & (SPACE | LINE_END) || (c->code >= 0x1C && c->code <= 0x1F);
}

static char *stripped(const char *content) { /* of the white space around it */
    const uint8_t *bytes = (const uint8_t *)content;
    size_t count;
    const Character *c = characters(bytes, bytes + strlen(content), &count), *end = c + count;
    while (c < end && is_white(c))
        c++;
    while (c < end && is_white(end - 1))
        end--;
    return text("%.*s", (int)(end->bytes - c->bytes), (const char *)c->bytes);
}

static char *capitalized(const char *role) {
    char *name = text("%s", role);
    for (char *c = name; *c; c++) {
        if ((uint8_t)*c >= 128)
            fail("role: expected it in ASCII, found %s", role);
        if (c == name ? *c >= 'a' && *c <= 'z' : *c >= 'A' && *c <= 'Z')
            *c ^= 32; /* the other case */
    }
    return name;
}

static const char *text_in(Json message, const char *key) {
    Json value = get(message, key);
    if (!value || *value != '"')
        fail("messages: %s: expected a text, found none", key);
    return string(value);
}

/* The ids of a conversation that the model is to continue. What a message spells out is text. */
static Ids chat(const Tokenizer *t, Json messages) {
    static const Rule in_message[] = {{" role content ", NULL}, {NULL, NULL}};
    const char *end = "<|eot_id|>", *answer = "Assistant: ";
    const Token *end_of_turn =
        special_at(t, (const uint8_t *)end, (const uint8_t *)end + strlen(end));
    size_t size = t->bos_count + strlen(answer);
    if (!end_of_turn || strcmp(end_of_turn->spelled, end))
        fail("expected a special token %s, found none", end);
    if (!first(messages).value)
        fail("messages: expected one at least, found none");
    for (Item in = first(messages); in.value; in = next(in)) /* capitals may be no longer */
        size += (size_t)(in.end - in.value) + 3;
    Ids ids = {array(size, sizeof *ids.all), t->bos_count};
    memcpy(ids.all, t->bos_ids, t->bos_count * sizeof *ids.all);
    for (Item in = first(messages); in.value; in = next(in)) {
        check_keys(in.value, in_message, "messages");
        const char *turn = text("%s: %s", capitalized(text_in(in.value, "role")),
                                stripped(text_in(in.value, "content")));
        const uint8_t *bytes = (const uint8_t *)turn;
        encode_ordinary(t, bytes, bytes + strlen(turn), &ids);
        ids.all[ids.count++] = end_of_turn->id;
    }
    encode_ordinary(t, (const uint8_t *)answer, (const uint8_t *)answer + strlen(answer), &ids);
    return ids;
}

/* ---- Reading tokenizer.json ------------------------------------------------------------------ */

static int spells(Json value, const char *word) {
    return value && *value == '"' && strcmp(string(value), word) == 0;
}

static size_t count_items(Json list) {
    size_t count = 0;
    for (Item in = first(list); in.value; in = next(in))
        count++;
    return count;
}

static void check_file(Json json, const char *path) {
    static const Rule in_file[] = {
        {" version ", " \"1.0\" "},
        {" truncation padding added_tokens pre_tokenizer post_processor decoder model ", NULL},
        {NULL, NULL}};
    static const Rule in_model[] = {
        {" type vocab merges ", NULL},
        {" ignore_merges ", " true false "},
        {" dropout unk_token continuing_subword_prefix end_of_word_suffix ", " \"\" "},
        {NULL, NULL}};
    check_keys(json, in_file, path);
    check_keys(get(json, "model"), in_model, path);
    Json steps = get(json, "pre_tokenizer"), all = get(steps, "pretokenizers");
    Json split = first(all).value, bytes = count_items(all) == 2 ? next(first(all)).value : NULL;
    if (!get(json, "version") || !spells(get(steps, "type"), "Sequence") ||
        !spells(get(split, "type"), "Split") || !is(get(split, "invert"), "false") ||
        !spells(get(get(split, "pattern"), "Regex"), SPLIT) ||
        !spells(get(split, "behavior"), "Isolated") || !spells(get(bytes, "type"), "ByteLevel") ||
        !is(get(bytes, "add_prefix_space"), "false") || !is(get(bytes, "use_regex"), "false"))
        fail("%s: pre_tokenizer: expected the pattern of Llama 3, then bytes", path);
}

static void read_tokens(Tokenizer *t, Json vocab, const char *path) {
    t->count = count_items(vocab);
    t->tokens = array(t->count, sizeof *t->tokens);
    size_t i = 0;
    for (Item in = first(vocab); in.value; in = next(in)) {
        spell(text("%s", in.key), path); /* fails at letters that stand for no byte */
        t->tokens[i++] = (Token){in.key, integer(in.value)};
    }
    qsort(t->tokens, t->count, sizeof *t->tokens, by_spelling);
    for (i = 1; i < t->count; i++)
        if (by_spelling(t->tokens + i - 1, t->tokens + i) == 0)
            fail("%s: vocab: expected each token once, found %s twice", path, t->tokens[i].spelled);
    for (int byte = 0, unseen = 0x100; byte < 256; byte++) {
        int seen = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
        int letter = seen ? byte : unseen++;
        char *spelled = t->letters[byte];
        if (letter >= 128)
            *spelled++ = (char)(0xC0 | letter >> 6);
        *spelled = (char)(letter < 128 ? letter : 0x80 | (letter & 63));
        if ((t->byte_ids[byte] = find_token(t, t->letters[byte])) < 0)
            fail("%s: vocab: expected a token for each byte, found none for %02x", path, byte);
    }
}

/* A merge is "a b" or ["a", "b"]; its rank is its place in the list. */
static Merge read_merge(const Tokenizer *t, Json pair, size_t rank, const char *path) {
    Json other = *pair == '[' && count_items(pair) == 2 ? next(first(pair)).value : NULL;
    char *a = NULL, *b = NULL;
    if (*pair == '"') {
        a = string(pair);
        b = strchr(a, ' ');
    } else if (other && *other == '"' && *first(pair).value == '"') {
        a = string(first(pair).value);
        b = string(other);
    }
    if (*pair == '"' && b)
        *b++ = '\0';
    if (!b)
        fail("%s: merges: expected two tokens, found %.20s", path, pair);
    Merge merge = {find_token(t, a), find_token(t, b), find_token(t, text("%s%s", a, b)), rank};
    if (merge.left < 0 || merge.right < 0 || merge.merged < 0)
        fail("%s: merges: expected two tokens that make a third, found %.20s", path, pair);
    return merge;
}

static void read_merges(Tokenizer *t, Json merges, const char *path) {
    if (!merges || *merges != '[')
        fail("%s: merges: expected a list, found none", path);
    t->merges = array(count_items(merges), sizeof *t->merges);
    for (Item in = first(merges); in.value; in = next(in), t->merge_count++)
        t->merges[t->merge_count] = read_merge(t, in.value, t->merge_count, path);
    qsort(t->merges, t->merge_count, sizeof *t->merges, by_pair);
    for (size_t i = 1; i < t->merge_count; i++)
        if (by_pair(t->merges + i - 1, t->merges + i) == 0)
            fail("%s: merges: expected each pair once, found the one of rank %zu again", path,
                 t->merges[i].rank);
}

static int64_t find_special(const Tokenizer *t, const char *content) { /* -1 if there is none */
    for (size_t i = 0; i < t->special_count; i++)
        if (strcmp(t->special[i].spelled, content) == 0)
            return t->special[i].id;
    return -1;
}

/* Their ids are those of the vocabulary, or the next that are unused; no flag may be set. */
static void read_special(Tokenizer *t, Json added, const char *path) {
    static const char *const flags[] = {"single_word", "lstrip", "rstrip", "normalized"};
    static const Rule in_added[] = {{" id content special ", NULL}, {NULL, NULL}};
    int64_t unused = (int64_t)t->count;
    if (!added || *added != '[')
        fail("%s: added_tokens: expected a list, found none", path);
    t->special = array(count_items(added), sizeof *t->special);
    for (Item in = first(added); in.value; in = next(in)) {
        check_keys(in.value, in_added, path);
        Json content = get(in.value, "content");
        const char *spelled = content && *content == '"' ? string(content) : "";
        int64_t id = find_token(t, spelled);
        int right = *spelled && is(get(in.value, "special"), "true");
        for (const char *c = spelled; *c; c++)
            right = right && (uint8_t)*c < 128;
        for (size_t i = 0; i < 4; i++)
            right = right && is(get(in.value, flags[i]), "false");
        id = id < 0 ? unused++ : id;
        if (!right || integer(get(in.value, "id")) != id || find_special(t, spelled) >= 0)
            fail("%s: added_tokens: expected new special tokens of ASCII, without flags, with the "
                 "next id; found %s", path, spelled);
        t->special[t->special_count++] = (Token){spelled, id};
    }
}

/* What the post-processor puts before a text: tokens up to the text itself, or nothing. */
static void read_bos(Tokenizer *t, Json processor, const char *path) {
    Json both = get(processor, "processors");
    if (spells(get(processor, "type"), "Sequence") && count_items(both) == 2 &&
        spells(get(first(both).value, "type"), "ByteLevel")) /* which leaves the ids alone */
        processor = next(first(both)).value;
    if (!processor || is(processor, "null") || spells(get(processor, "type"), "ByteLevel"))
        return;
    Json single = get(processor, "single"), named = get(processor, "special_tokens");
    int texts = 0, right = spells(get(processor, "type"), "TemplateProcessing");
    t->bos_ids = array(count_items(single), sizeof *t->bos_ids);
    for (Item in = first(single); in.value; in = next(in)) {
        Json name = get(get(in.value, "SpecialToken"), "id");
        if (spells(get(get(in.value, "Sequence"), "id"), "A")) {
            texts++;
            continue;
        }
        const char *spelled = name && *name == '"' ? string(name) : "";
        Json ids = get(get(named, spelled), "ids");
        int64_t id = find_special(t, spelled);
        right = right && id >= 0 && count_items(ids) == 1 && integer(first(ids).value) == id;
        if (!texts)
            t->bos_ids[t->bos_count++] = id;
    }
    if (!right || texts != 1)
        fail("%s: post_processor: expected special tokens around the text, or none", path);
}

static Tokenizer read_tokenizer(const char *path) {
    Tokenizer t = {.bos_ids = array(0, sizeof *t.bos_ids)};
    read_vocabulary(path); /* checks the kind of model, ids and letters */
    Json json = read_json(path), model = get(json, "model");
    check_file(json, path);
    read_tokens(&t, get(model, "vocab"), path);
    read_merges(&t, get(model, "merges"), path);
    read_special(&t, get(json, "added_tokens"), path);
    read_bos(&t, get(json, "post_processor"), path);
    t.ignore_merges = is(get(model, "ignore_merges"), "true");
    return t;
}
