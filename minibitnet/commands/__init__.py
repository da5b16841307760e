"""What the command ``minibitnet`` can do: one module for each subcommand.

A command reads its options, calls the library and prints; what it knows belongs to the
library.

In this order
    `generate`  continue a text
    `chat`      talk with a model
    `play`      a small model at work, in a browser
    `inspect`   what a checkpoint holds, and where its bytes go
    `detect`    how the weights in a file are packed
    `download`  fetch a model from the hub
    `synth`     write a random checkpoint in the real layout
    `convert`  packed, masters, GGUF: from one form to another
    `trace`     write every array of a forward pass
    `compare`   two traces: where they part first
    `fingerprint`  what a model computes, in kilobytes
    `precision`  how far apart right programs are
    `vectors`   write the test vectors for ports
    `conform`   the answers of a port against them
    `perplexity`  how well a model predicts a text
    `train`     train a small ternary model on text files
    `bench`     how fast, and in how much memory
    `costs`     count bytes, operations and joules
    `diagnose`  which known mistake a port makes
    `course`    copy the notebooks and start Jupyter
    `doctor`    whether all is well here
    `options`   the options that several of them take
    `streams`   standard input, output and error
"""
