"""The course: what its notebooks check answers with.

The notebooks lie in ``notebooks/``, in reading order. Each ends in exercises, and each
exercise has a check in the module here that is named like the notebook::

    from minibitnet.course.absmean import check_codes

In this order
    `exercise`  an answer is not there yet, right, or a mistake with a name
    `absmean`   notebook 1
    `absmax`    notebook 2
    `packing`   notebook 3
    `matmul`    notebook 4
    `bitlinear`, `rmsnorm`, `feedforward`, `rope`, `attention`, `model`, `checkpoint`,
    `sampling`  notebooks 5 to 12
"""
