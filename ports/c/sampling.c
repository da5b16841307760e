/* Sampling, minibitnet/sampling.py in C, without the penalty and min-p: from logits to one token.
   To be included behind bitnet.c. All in double; the last bits are those of exp. */

typedef struct {
    double scaled;
    size_t id;
} Candidate;

static int by_likelihood(const void *a, const void *b) { /* of equals the lowest id first */
    const Candidate *x = a, *y = b;
    if (x->scaled != y->scaled)
        return x->scaled > y->scaled ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* logits (V,) -> p (V,): what may come next; top_k 0 and top_p 1 keep all */
static double *probabilities(const float *logits, size_t V, double temperature, size_t top_k,
                             double top_p) {
    const size_t kept = top_k && top_k < V ? top_k : V;
    Candidate *likely = array(V, sizeof *likely);
    double *powers = array(V, sizeof *powers), *p = array(V, sizeof *p), before = 0, sum = 0;
    for (size_t i = 0; i < V; i++)
        if (!(fabsf(logits[i]) <= FLT_MAX))
            fail("expected finite logits, found others");
    const double largest = (double)logits[greedy(logits, V)];
    for (size_t i = 0; i < V; i++)
        likely[i] = (Candidate){((double)logits[i] - largest) / temperature, i};
    qsort(likely, V, sizeof *likely, by_likelihood);
    for (size_t i = 0; i < kept; i++)
        powers[i] = likely[i].scaled;
    softmax(powers, kept);
    for (size_t i = 0; i < kept; i++) { /* before: the mass of those more likely */
        if (before < top_p || top_p == 1)
            sum += p[likely[i].id] = powers[i];
        before += powers[i];
    }
    for (size_t i = 0; i < V; i++)
        p[i] /= sum;
    return p;
}

/* The first token whose running sum of p (V,) is above u, from 0 to 1. */
static size_t pick(const double *p, size_t V, double u) {
    double total = 0, sum = 0;
    for (size_t i = 0; i < V; i++)
        total += p[i];
    for (size_t i = 0; i < V; i++)
        if ((sum += p[i]) / total > u)
            return i;
    fail("expected probabilities and a number below 1, found others");
    return V;
}
