"""For ports: what a right implementation computes, by name.

Names
    `hashes`      arrays in a few letters
    `names`       every stage, its shape and what other programs call it
    `selftest`    whether the arithmetic is exact here, and a copy of 2B4T the real one

Two programs side by side
    `traces`      every array of a forward pass, in a file
    `orders`      the right numbers in another order
    `patterns`    what kind of difference two arrays have, in words
    `judge`       whether a difference is a mistake, or only another arithmetic
    `compare`     two traces: where they part first, and what that is

Fingerprints
    `fingerprints`     what a model computes, in kilobytes
    `fingerprintfile`  written and read
    `matching`         where a model is another than a fingerprint says

Test vectors
    `draws`       random numbers that any language can draw
    `quirky`      small models in which nothing is what one takes for granted
    `operations`  each operation of the model, computed by the page
    `refusals`    what a port must refuse
    `cases`       which inputs tell a right port from a wrong one
    `catches`     which vectors notice which bugs
    `vectors`     all of it as files that any language can read
    `vectorset`   those files read back
    `exports`     the same as C headers, and for Verilog
    `recognize`   which known bug gives just a wrong answer
    `answers`     one array of a port beside the right one
    `outcome`     what became of it, and the level it counts for
    `report`      levels, counts, the first difference
    `conform`     how far a port agrees with the vectors

Other arithmetics
    `rungs`      the page in float32 and bfloat16
    `precision`  how far apart right programs are

Known bugs
    `zoo`         forty-three ways to get it wrong
    `port`        a port run on a model
    `dumps`         the numbers of a port, in whatever form
    `evalcallback`  as llama.cpp prints them
    `seen`          what of a forward pass they show
    `evidence`      how near each bug comes to them
    `diagnose`      which of the forty-three it is
"""
