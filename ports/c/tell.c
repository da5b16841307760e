/* Text in, text out: the port with its tokenizer.

       cc -O2 -ffp-contract=off tell.c -lm -o tell
       ./tell DIR TEXT [N]         the text, and at most N new tokens of it, each the likeliest */

#define main bitnet_main
#include "bitnet.c"
#undef main
#include "tokenizer.c"

int main(int argc, char **argv) {
    if (argc < 3 || argc > 4)
        fail("expected DIR TEXT [N]");
    const char *path = text("%s/tokenizer.json", argv[1]);
    const Tokenizer tokenizer = read_tokenizer(path);
    const Ids prompt = encode(&tokenizer, argv[2], strlen(argv[2]), 1);
    size_t T = prompt.count, count, size;
    const size_t n = (size_t)*parse_numbers(argc == 4 ? argv[3] : "20", &count);
    if (count != 1)
        fail("expected one number of tokens, found %s", argv[3]);
    const Model model = load(argv[1]);
    check_ids(prompt.all, T, &model.config);
    int64_t *ids = array(T + n, sizeof *ids);
    memcpy(ids, prompt.all, T * sizeof *ids);
    T += generate(&model, prompt.all, T, n, ids + T);
    const char *decoded = decode(read_vocabulary(path), ids, T, &size);
    fwrite(decoded, 1, size, stdout);
    printf("\n");
    if (fflush(stdout) || ferror(stdout))
        fail("the text could not be written");
    return 0;
}
