"""What lies on disk or on the hub: JSON, arrays, downloads.

In this order
    `jsonfile`      a JSON object, each key checked as it is taken
    `tensorheader`  where the arrays of a safetensors file are, checked
    `tensorfile`    a safetensors file: a header and bytes
    `gguf`          a GGUF file: metadata, a list of tensors, their bytes
    `ggufwriter`    the same, written
    `writing`       files that appear whole, or not at all
    `published`     what is published about 2B4T
    `hub`           a model's files from the Hugging Face hub
    `progress`      a line or a bar, where something takes a while
    `webfolder`     folders for a browser on this machine
"""
