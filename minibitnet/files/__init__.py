"""What lies on disk or on the hub: JSON, arrays, downloads.

================================  ====================================================
`minibitnet.files.jsonfile`       a JSON object, each key checked as it is taken
`minibitnet.files.tensorfile`     a safetensors file: a header and bytes
`minibitnet.files.published`      what is published about 2B4T
`minibitnet.files.hub`            a model's files from the Hugging Face hub
================================  ====================================================
"""
