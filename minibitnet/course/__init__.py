"""The course: what its notebooks check answers with.

The notebooks are in ``notebooks/``, in reading order (``minibitnet course`` copies them
to a folder of yours). Each ends in exercises, and each exercise has a check in the
module here that is named like the notebook::

    from minibitnet.course.absmean import check_codes

In this order
    `exercise`    an answer is not there yet, right, or a mistake with a name
    `difference`  how an answer differs, in a few short lines
    `drawing`     pictures of mistakes
    `absmean`, `absmax`, `packing`, `matmul`, `bitlinear`                notebooks 1-5
    `rmsnorm`, `feedforward`, `rope`, `attention`, `model`               6-10
    `checkpoint`, `sampling`, `tokenizer`                                11-13
    `kernels`, `costs`, `training`, `stages`, `layouts`                  14-18
"""
